"""What each peer prints: one JSON line."""

import json
import statistics
from collections.abc import Sequence

EXAMPLES = 10_000  # of an epoch of convolutions


def report(epoch_seconds: Sequence[float], processor_seconds: Sequence[float] = (), **fields: float) -> None:
    """Print the median seconds of an epoch after the first, those of all processors, and other fields."""
    if processor_seconds:
        fields["epoch_cpu_s"] = statistics.median(processor_seconds[1:] or processor_seconds)
    print(json.dumps({"epoch_s": statistics.median(epoch_seconds[1:] or epoch_seconds), **fields}))
