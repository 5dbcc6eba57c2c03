"""``RunRecord``, all that anyone knows of a run; and the JSON files of a run directory, checked."""

from __future__ import annotations

import dataclasses
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, RootModel

from experiment.store.files import DamagedFile, Number, Scalar, Schema, Seconds, read_json
from experiment.store.journal import Point
from experiment.store.predictions import Predictions
from experiment.system.names import short

if TYPE_CHECKING:
    import pandas as pd  # half a second that commands do not need

STATUSES = RUNNING, FINISHED, FAILED, INTERRUPTED = "running", "finished", "failed", "interrupted"
DIRECTORY, ARCHIVE, COMET = "run directory", "archive", "Comet"
# Comet's rule for experiment keys.
KEY = re.compile(r"[A-Za-z0-9]{32,50}")


@dataclasses.dataclass(frozen=True, repr=False)
class RunRecord:
    """All that is known of a run; a run directory, an offline archive and Comet's API each yield one.

    What may be large is read when it is called for, from its source, anew at each call.

    Attributes:
        run: what it was made of and how it ended, as in ``run.json``, as far as the source tells.
        params: the parameters as they were logged.
        results: as in ``results.json``; summed up from the points where the source has no such file.
        source: the path, or in Comet the run's page.
        points: all logged points.
        predictions: those of the test set; None where none are kept.
        kind: of the source: DIRECTORY, ARCHIVE or COMET.
        code: SHA-256 of each file of its code, by its name; empty where the source has no code.
        patch: its uncommitted changes, '' where there are none or the source has them not.
        file: what one of its files holds, by its name; None where the source has none of that name.
    """

    key: str
    name: str
    status: str
    mode: str
    run: Mapping[str, Any]
    params: Mapping[str, Any]
    results: Mapping[str, Any]
    source: str
    points: Callable[[], Iterable[Point]] = tuple
    predictions: Callable[[], Predictions | None] = type(None)
    kind: str = DIRECTORY
    code: Callable[[], Mapping[str, str]] = dict
    patch: Callable[[], str] = str
    file: Callable[[str], bytes | None] = lambda name: None  # noqa: ARG005

    def __repr__(self) -> str:
        """Return the run in a few lines; the dataclass' own would be all of ``run.json``."""
        accuracy, loss = (self.results.get(f"test_{name}") for name in ("accuracy", "loss"))
        lines = [f"run {short(self.key)}  {self.name}  {self.status}, {self.mode}", f"  {self.source}"]
        if isinstance(accuracy, float) and isinstance(loss, float):
            epochs = self.results.get("epochs")
            lines.insert(1, f"  test accuracy {accuracy:.4f}, loss {loss:.4f}, after {epochs} epochs")
        return "\n".join(lines)

    @property
    def history(self) -> dict[str, list[float]]:
        """Each metric that has one value an epoch, as Keras' History has it: ``val_loss`` and so on."""
        found: dict[str, dict[int, float]] = {}
        for point in self.points():
            if point.epoch > 0 and not point.name.startswith("batch_"):
                found.setdefault(point.name, {})[point.epoch] = point.value
        epochs = max(map(len, found.values()), default=0)
        return {name: list(values.values()) for name, values in found.items() if len(values) == epochs}

    @property
    def figures(self) -> dict[str, Path]:
        """The PNG files of a run directory by their names: ``curves``, ``mistakes`` and so on."""
        if self.kind != DIRECTORY:
            return {}
        # A name that begins with a dot is of a picture that is being written, or never was.
        found = sorted(Path(self.source, "figures").glob("[!.]*.png"))
        return {path.stem: path for path in found}

    def frame(self) -> pd.DataFrame:
        """Return all logged points as a DataFrame: name, value, step, epoch, and time in UTC."""
        import pandas as pd

        rows = [dataclasses.asdict(point) for point in self.points()]
        found = pd.DataFrame(rows, columns=["name", "value", "step", "epoch", "time"])
        return found.assign(time=pd.to_datetime(found["time"], unit="s", utc=True))

    @property
    def place(self) -> str:
        """What this run is found by from anywhere: the absolute path, or in Comet the key."""
        return self.key if self.kind == COMET else os.path.abspath(self.source)


# The default of what a file may lack: schemas check what is there, and to make what is not takes time.
_ABSENT: Any = None


class _Dataset(Schema):
    name: str = ""
    source: str = ""
    fingerprint: str = ""
    split_fingerprint: str = ""
    test_fingerprint: str = ""
    classes: list[str] = _ABSENT
    image_shape: list[int] = _ABSENT


class _Git(Schema):
    commit: str = ""
    dirty: bool = False


class _OwnCode(Schema):
    builder: str | None = None
    fingerprint: str = ""
    files: dict[str, str] = _ABSENT
    git: _Git = _ABSENT


class _Process(Schema):
    since: Seconds = 0.0


class _Sweep(Schema):
    sweep: str = ""
    number: int = 1
    attempt: int = 1


class _Model(Schema):
    source: str = ""


class _Rerun(Schema):
    of: str = ""
    place: str = ""


class _Run(Schema):
    """What of ``run.json`` is read by anyone; a run of an older version may lack all but the first four."""

    key: Annotated[str, Field(pattern=f"^{KEY.pattern}$")]
    name: str
    status: Literal["running", "finished", "failed", "interrupted"]
    mode: Literal["online", "offline", "disabled"]
    tags: list[str] = _ABSENT
    removed_tags: list[str] = _ABSENT
    note: str | None = None
    labelled: Seconds = 0.0
    workspace: str | None = None
    project: str | None = None
    url: str | None = None
    started: Seconds = 0.0
    ended: Seconds | None = None
    error: str | None = None
    command: list[str] = _ABSENT
    code_fingerprint: str | None = None
    python: str = ""
    packages: dict[str, str] = _ABSENT
    machine: dict[str, Any] = _ABSENT
    usage: dict[str, Number] = _ABSENT
    threads: int | None = None
    dataset: _Dataset = _ABSENT
    git: _Git = _ABSENT
    own_code: _OwnCode = _ABSENT
    process: _Process = _ABSENT
    sweep: _Sweep = _ABSENT
    rerun: _Rerun = _ABSENT
    model: _Model = _ABSENT
    deaths: int = 0


class _Params(RootModel[dict[str, Scalar]]):
    pass


class _Results(Schema):
    epochs: int = 0
    last: dict[str, Number] = _ABSENT
    best: dict[str, Number] = _ABSENT
    test_loss: Number = 0.0
    test_accuracy: Number = 0.0
    test_ece: Number = 0.0
    test_ece_calibrated: Number = 0.0
    temperature: Number = 1.0
    temperature_fitted_on: str = ""
    epoch_s: Number = 0.0
    fit_s: Number = 0.0
    process_s: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    rerun: dict[str, Any] = _ABSENT


def read_run(path: Path) -> dict[str, Any]:
    """Read ``run.json`` in a run directory; it has at least a key, a name, a status and a mode.

    Raises:
        DamagedFile: it is not there, or does not hold what it should.
    """
    return read_json(path / "run.json", _Run)


def read_params(path: Path) -> dict[str, Any]:
    """Read the parameters in a run directory: numbers, texts, booleans.

    Raises:
        DamagedFile: they are not there, or are something else.
    """
    return read_json(path / "params.json", _Params)


def read_results(path: Path) -> dict[str, Any]:
    """Read the results in a run directory, none where it has none yet; what should be numbers are.

    Raises:
        DamagedFile: they are something else.
    """
    return read_json(path / "results.json", _Results) if (path / "results.json").exists() else {}


def demand(content: Mapping[str, Any], where: str, *names: str) -> None:
    """Make sure that entries are there which not every run has; a dot leads into an object.

    Raises:
        DamagedFile: one is missing.
    """
    for name in names:
        inner: Any = content
        for part in name.split("."):
            if part not in inner:
                raise DamagedFile(f"{where} has no {name}")
            inner = inner[part]


def process_identity() -> dict[str, Any]:
    """Return which process on which machine is writing."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
