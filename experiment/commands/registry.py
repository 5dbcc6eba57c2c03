"""``python -m experiment register``; and ``registry:…`` where a run is named."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiment.store.find import Runs, UnknownRun
from experiment.store.record import KEY
from experiment.system import streams
from experiment.system.environment import read_environment
from experiment.system.names import short

RUNS = "key, its beginning, name, directory, or registry:WORKSPACE/NAME[:VERSION or tag]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "run", metavar="RUN", help="key, its beginning, name, or directory; or a key in Comet"
    )
    parser.add_argument("--name", required=True, help="of the model in the registry")
    parser.add_argument("--version", help="such as 1.2.0 (default: 1.0.0, then the next minor one)")
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="tag; may be repeated")
    parser.add_argument("--status", help="one that the workspace has, such as Production")


def run(options: argparse.Namespace) -> int:
    """Make a run's model a version in Comet's registry."""
    read_environment()
    from experiment.comet import registry

    key = _key(options.runs, options.run)
    place = registry.register(
        key, options.name, version=options.version, tags=options.tag, status=options.status
    )
    if options.json:
        told = {"workspace": place.workspace, "name": place.name, "version": place.wanted}
        streams.print_json({"key": key, **told, "place": str(place)})
    else:
        print(f"run {short(key)}: {place.workspace}/{place.name}, version {place.wanted}")
        print(f"next     python -m experiment predict {place} IMAGE|DIR")
    return 0


def _key(runs: Path, run: str) -> str:
    """Return the key of a run that is here, or of one that may be in Comet."""
    try:
        return Runs(runs).find(run).key
    except UnknownRun:
        if not KEY.fullmatch(run):
            raise
        return run


def local(run: str) -> str:
    """Return a run's name as it is; of ``registry:…`` the directory that it is downloaded to.

    Raises:
        UserError: there is no API key, or Comet does not have it.
    """
    if not run.startswith("registry:"):
        return run
    read_environment()
    from experiment.comet import registry_cache

    return str(registry_cache.fetch(run))
