"""What each peer prints: one JSON line."""

import json
import statistics
from collections.abc import Sequence


def report(epoch_seconds: Sequence[float], **fields: float) -> None:
    """Print the median seconds of an epoch after the first, and other fields."""
    print(json.dumps({"epoch_s": statistics.median(epoch_seconds[1:] or epoch_seconds), **fields}))
