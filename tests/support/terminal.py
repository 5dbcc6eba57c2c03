"""What a view in the terminal shows, as lines of text."""

from __future__ import annotations

from typing import Any


def text_of(app: Any) -> list[str]:
    """Return the lines that a textual app shows now, one a row of its terminal."""
    return ["".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips()]
