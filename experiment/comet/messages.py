"""Messages as the SDK's own collectors make them, for ``Tracker.log_message``: no method logs these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiment.comet.settings import import_comet


def system_metric(name: str, value: float, step: int, time: float) -> Any:
    """Return a point of what the machine does, of no context and no epoch.

    Args:
        name: as the System Metrics tab knows it.
        value: percent, bytes, bytes a second.
        step: seconds since the run began.
        time: when, in seconds since 1970.
    """
    message = import_comet().messages.MetricMessage(timestamp=int(time * 1000))
    message.set_metric(name, value, step=step)
    return message


def gpus(described: Sequence[Mapping[str, Any]]) -> Any:
    """Return what the System Metrics tab shows of each GPU: name, uuid, power limit, memory."""
    return import_comet().messages.GpuStaticInfoMessage(list(described))


def output_line(line: str, is_error: bool, time: float) -> Any:
    """Return a line of the Output tab, with its end: of stdout or stderr, printed at a time since 1970."""
    return import_comet().messages.StandardOutputMessage(line, stderr=is_error, timestamp=int(time * 1000))
