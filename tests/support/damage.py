"""What may have become of a file: cut, overwritten, edited by hand, or another tool's."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

TEXTS = st.text(st.characters(), max_size=8)
NUMBERS = st.integers() | st.just(10**400) | st.floats()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def as_bytes(content: Any) -> bytes:
    return json.dumps(content).encode()


def damaged_bytes(content: bytes) -> st.SearchStrategy[bytes]:
    """Return a file cut anywhere, with some bytes changed, or replaced by others."""
    places = st.integers(0, max(0, len(content) - 1))
    cut = places.map(lambda place: content[:place])
    changed = st.builds(
        lambda place, new: content[:place] + new + content[place + len(new) :],
        places,
        st.binary(min_size=1, max_size=4),
    )
    return st.binary(max_size=40) | cut | changed | st.just(b"[" * 5000) | st.just(b"\xff\xfe{\0}\0")


def damaged_json(content: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """Return a JSON file that is damaged, holds another value, or has entries replaced or left out."""
    edited = st.lists(_edits(content), min_size=1, max_size=2).map(lambda edits: _edited(content, edits))
    return damaged_bytes(as_bytes(content)) | (JSON | edited).map(as_bytes)


def _edits(content: dict[str, Any]) -> st.SearchStrategy[tuple[tuple[str, ...], Any]]:
    paths: list[tuple[str, ...]] = [(name,) for name in content]
    paths += [(name, inner) for name, part in content.items() if isinstance(part, dict) for inner in part]
    return st.tuples(st.sampled_from(paths), JSON | st.just(_edits))  # the latter stands for: left out


def _edited(content: dict[str, Any], edits: list[tuple[tuple[str, ...], Any]]) -> dict[str, Any]:
    whole = json.loads(json.dumps(content))
    for (*outer, name), value in edits:
        part = whole
        for each in outer:
            part = part.get(each) if isinstance(part, dict) else None
        if isinstance(part, dict):
            part.pop(name, None)
            if value is not _edits:
                part[name] = value
    return whole
