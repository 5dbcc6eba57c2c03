"""Tags of a run that Comet has already: what was added or removed here is added or removed there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from experiment.comet.holdings import Holdings
from experiment.comet.server import Server


def settle_tags(server: Server, key: str, run: Mapping[str, Any], has: Holdings) -> bool:
    """Bring a run's tags in Comet up to ``run.json``; tell whether any differed. Those added in Comet stay.

    Raises:
        UserError: Comet does not answer, or cannot remove tags.
    """
    lacking, superfluous = _differences(run, has)
    if not lacking and not superfluous:
        return False
    found = server.find(key)
    if lacking:
        server.ask(lambda: found.add_tags(lacking))
    if superfluous:
        server.ask(lambda: found.delete_tags(superfluous))
    return True


def unsettled(run: Mapping[str, Any], has: Holdings | None) -> list[str]:
    """Return what Comet lacks of a run's tags, or still has, in words: 'tag best'."""
    lacking, superfluous = _differences(run, has or Holdings())
    return [f"tag {tag}" for tag in lacking] + [f"removal of tag {tag}" for tag in superfluous]


def _differences(run: Mapping[str, Any], has: Holdings) -> tuple[list[str], list[str]]:
    wanted: Iterable[str] = run.get("tags") or []
    removed: Iterable[str] = run.get("removed_tags") or []
    return [tag for tag in wanted if tag not in has.tags], [tag for tag in removed if tag in has.tags]
