"""A curve in one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int) -> str:
    """Return a curve as blocks of eight heights, from its least to its greatest value.

    Args:
        values: in their order; one that is not finite is a gap.
        width: characters at most; of more values, each character shows the mean of its share.
    """
    parts = min(width, len(values))
    edges = [round(part * len(values) / parts) for part in range(parts + 1)] if parts else [0]
    shares = [
        [value for value in values[begin:end] if math.isfinite(value)]
        for begin, end in zip(edges, edges[1:], strict=False)
    ]
    means = [math.fsum(share) / len(share) if share else math.nan for share in shares]
    finite = [mean for mean in means if math.isfinite(mean)]
    if not finite:
        return " " * parts
    low, high = min(finite), max(finite)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BLOCKS[round((mean - low) * scale)] if math.isfinite(mean) else " " for mean in means)
