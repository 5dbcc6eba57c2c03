"""Comet's model registry: a run's model made a version in it, and a version found by what people call it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from experiment.comet.server import Server
from experiment.errors import UserError
from experiment.system.names import printable, short

PREFIX = "registry:"
FIRST_VERSION = "1.0.0"
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-[0-9A-Za-z.-]+)?")
_NAME = re.compile(r"[^/:\s.][^/:\s]*")  # it becomes a folder's name


@dataclasses.dataclass(frozen=True)
class Place:
    """A model in a workspace's registry, and which version of it: a number, a tag, or '' for the newest."""

    workspace: str
    name: str
    wanted: str = ""

    def __str__(self) -> str:
        return f"{PREFIX}{self.workspace}/{self.name}" + (f":{self.wanted}" if self.wanted else "")

    @property
    def is_version(self) -> bool:
        """Whether it says a version, which never becomes another one."""
        return bool(_VERSION.fullmatch(self.wanted))


def parse(text: str) -> Place:
    """Read ``registry:WORKSPACE/NAME[:VERSION or tag]``.

    Raises:
        UserError: it is something else.
    """
    model, colon, wanted = text.removeprefix(PREFIX).partition(":")
    workspace, _, name = model.partition("/")
    parts = [workspace, name, *([wanted] if colon else [])]
    if not text.startswith(PREFIX) or not all(map(_NAME.fullmatch, parts)):
        raise UserError(
            f"'{printable(text)}' should be registry:WORKSPACE/NAME, perhaps with :VERSION or :TAG at its end"
        )
    return Place(workspace, name, wanted)


def register(
    key: str,
    name: str,
    *,
    version: str | None = None,
    tags: Sequence[str] = (),
    status: str | None = None,
) -> Place:
    """Make the model of a run that is in Comet a version in the registry of the run's workspace.

    Args:
        key: the run's.
        name: of the model in the registry; a new one is made where there is none.
        version: three numbers, such as 1.2.0; by default 1.0.0, and after that the next minor one.
        tags: of the version.
        status: one of those that the workspace has.

    Raises:
        UserError: the run or its model is not in Comet, the version is taken, or something is not allowed.
    """
    _check(name, version)
    server = Server(key)
    found = server.find(key)
    if found is None:
        raise UserError(
            f"run {short(key)} is not in Comet: send it first: python -m experiment upload {short(key)}"
        )
    models = server.ask(found.get_model_names)
    if not models:
        raise UserError(f"run {short(key)} has no model in Comet: it did not finish, or is not sent whole")
    workspace = found.workspace
    taken = _versions(server, workspace, name)
    if version in taken:
        raise UserError(f"version {version} of '{workspace}/{name}' is taken; the newest is {_newest(taken)}")
    allowed = server.ask(lambda: server.api.model_registry_allowed_status_values(workspace)) if status else []
    if status and status not in allowed:
        raise UserError(f"status = '{printable(status)}': workspace '{workspace}' has {', '.join(allowed)}")
    version = version or _next(taken)
    details: dict[str, Any] = {"tags": list(tags), "status": status}
    server.ask(lambda: found.register_model(models[0], version=version, registry_name=name, **details))
    return Place(workspace, name, version)


def _check(name: str, version: str | None) -> None:
    if not _NAME.fullmatch(name):
        raise UserError(f"name = '{printable(name)}': should have no space, slash or colon")
    if version is not None and not _VERSION.fullmatch(version):
        raise UserError(f"version = '{printable(version)}': should be three numbers, such as {FIRST_VERSION}")


def find_version(server: Server, place: Place) -> str:
    """Return the version that a place means: the newest with that tag, or the newest of all.

    Raises:
        UserError: the registry has no such model or version, or Comet does not answer.
    """
    model = server.ask(lambda: server.api.get_model(place.workspace, place.name))
    versions = server.ask(model.find_versions)
    if place.is_version or not place.wanted:
        chosen = [place.wanted] if place.wanted in versions else [] if place.wanted else versions
    else:
        chosen = server.ask(lambda: model.find_versions(tag=place.wanted))
    if not chosen:
        raise UserError(f"'{place}' has no such version or tag; there is {', '.join(versions) or 'none'}")
    return str(chosen[0])


def _versions(server: Server, workspace: str, name: str) -> list[str]:
    names = server.ask(lambda: server.api.get_registry_model_names(workspace))
    if name not in names:
        return []
    return list(server.ask(lambda: server.api.get_registry_model_versions(workspace, name)))


def _newest(versions: Sequence[str]) -> str:
    return max(versions, key=_numbers)


def _numbers(version: str) -> tuple[int, ...]:
    found = _VERSION.fullmatch(version)
    return tuple(map(int, found.groups())) if found else ()


def _next(taken: Sequence[str]) -> str:
    numbers = [found for version in taken if (found := _numbers(version))]
    return f"{max(numbers)[0]}.{max(numbers)[1] + 1}.0" if numbers else FIRST_VERSION
