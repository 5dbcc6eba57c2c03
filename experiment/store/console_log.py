"""What a run printed, ``console.log``, as messages of Comet's Output tab."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from experiment.store.archive_format import Message

OUTPUT = "standard_output"


def read_console_log(path: Path) -> list[str]:
    """Return the lines of ``console.log`` with their ends; none where it is not there or cannot be read."""
    try:
        text = path.read_bytes().decode(errors="replace")
    except OSError:
        return []
    lines = text.split("\n")
    return [f"{line}\n" for line in (lines[:-1] if lines[-1] == "" else lines)]


def output_messages(lines: Iterable[str], told: Sequence[Message], started: float) -> list[Message]:
    """Return a message for each line, in order: the one that the SDK wrote of it, else a new one.

    The SDK was not told all before a kill, and was told some again after it. Of a line that it was not told,
    stream and time are those of the line before.

    Args:
        lines: with their ends.
        told: messages that the SDK wrote, in order; those of no line come last.
        started: when the run began, in seconds since 1970.
    """
    waiting: dict[str, deque[Message]] = {}
    for message in told:
        waiting.setdefault(message["payload"]["output"], deque()).append(message)
    found: list[Message] = []
    seen: set[str] = set()
    stderr, timestamp = True, int(started * 1000)
    for line in lines:
        seen.add(line)
        if waiting.get(line):
            message = waiting[line].popleft()
            stderr = bool(message["payload"].get("stderr"))
            timestamp = message["payload"].get("local_timestamp") or timestamp
        else:
            payload = {"local_timestamp": timestamp, "output": line, "stderr": stderr}
            message = {"payload": payload, "type": OUTPUT}
        found.append(message)
    return found + [message for message in told if message["payload"]["output"] not in seen]


def lines_of(text: str) -> Counter[str]:
    """Count the lines of a text that are not blank; a server may order them by its own clock."""
    return Counter(line.rstrip() for line in text.splitlines() if line.strip())


def take_lines(text: str, counted: Counter[str]) -> bool:
    """Tell whether all lines of a text are among those counted, which are then that many fewer."""
    lines = lines_of(text)
    if not lines <= counted:
        return False
    counted -= lines
    return True
