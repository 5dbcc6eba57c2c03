"""A network of the user's own, ``--model FILE.py:FUNCTION``: found, joined to the rest, its errors told."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from experiment.data.arrays import Examples
from experiment.errors import UserError
from experiment.run.own_code import is_foreign
from experiment.system import imports, keras_settings, machine
from params.checks import OWN_MODEL
from params.load import check_params
from params.own import with_own
from params.spec import OwnModel, Params
from params.words import did_you_mean

PARAMETERS = "Parameters"  # the class that declares a module's own
_OURS = Path(__file__).resolve().parents[1]
SHOWN_CHARACTERS = 300  # of an error's message
_loaded: dict[tuple[Path, str], ModuleType] = {}  # by the file and its content's SHA-256


class OwnCodeError(Exception):
    """The user's own code raised; the text says where and what, the cause is that error."""


def is_own(model: str) -> bool:
    """Tell whether the parameter ``model`` names a function of the user's."""
    return OWN_MODEL.fullmatch(model) is not None


def spec_of(model: str) -> type[Params]:
    """Return what is declared for a run of a model: with the parameters of one of the user's own.

    Imports Keras and runs the user's module.

    Raises:
        UserError: it cannot be imported, has no such function, or declares what cannot be a parameter.
    """
    found = OWN_MODEL.fullmatch(model)
    if not found:
        return Params
    imports.take_optional()
    keras_settings.check()
    machine.grow_heaps_in_large_steps()
    keras_settings.import_keras()
    place, function = found["place"], found["function"]
    is_file = place.endswith(".py")
    module = _load_file(model, place) if is_file else _import_module(model, place)
    file = Path(module.__file__ or place).resolve()
    build = getattr(module, function, None)
    if not callable(build):
        functions = [name for name, each in vars(module).items() if callable(each) and name[0] != "_"]
        raise UserError(f"model = '{model}': no function '{function}'{did_you_mean(function, functions)}")
    own = OwnModel(
        name=f"{file.name}:{function}" if is_file else model,
        source=f"{file}:{function}" if is_file else model,
        file=file,
        build=_telling(build, file),
    )
    return with_own(own, _declared(module, model))


def with_own_declared(params: Params) -> Params:
    """Return a program's parameters, checked with those of its own network, where ``model`` names one.

    Raises:
        UserError: see ``spec_of``.
    """
    if params.own or not is_own(params.model):
        return params
    values = params.model_dump(by_alias=True, exclude_unset=True)
    return check_params(values, spec_of(params.model))


def check_name(own: OwnModel, get_parameter: Callable[[str], Any]) -> None:
    """Make sure that the network which was imported is the one that was logged."""
    if get_parameter("model") != own.name:
        raise RuntimeError(f"model = '{get_parameter('model')}' was logged, but {own.name} was imported")


def try_out(own: OwnModel, values: Mapping[str, Any], examples: Examples, classes: int) -> None:
    """Build the user's network once before anything is written, and refuse what cannot be trained or saved.

    Args:
        own: the network.
        values: the parameters that apply, by their names.
        examples: some of them are run through it.
        classes: how many logits there should be.

    Raises:
        UserError: the user's code raises, or returns what is no such network.
    """
    import keras

    from experiment.training import model_check, trainer

    try:
        model = own.build(values.__getitem__, examples.images.shape[1:], classes)
    except OwnCodeError as error:
        raise UserError(f"model = '{own.name}': {error}") from error
    model_check.check_model(model, examples, classes)
    trainer.compile_model(model, values.__getitem__, len(examples))
    model_check.check_saving(model, examples, classes, values["model-file"])
    # Layers count themselves in their names: the run's own network is to be the first again.
    keras.backend.clear_session()


@contextlib.contextmanager
def told_as_own(own: OwnModel | None) -> Iterator[None]:
    """Tell what the user's code raises as its own error, with its line, wherever in a run it does.

    Raises:
        OwnCodeError: in place of an error that came out of the user's code.
    """
    try:
        yield
    except (UserError, OwnCodeError):
        raise
    except Exception as error:
        if own and _own_frames(error, own.file):
            raise OwnCodeError(_told(error, own.file)) from error
        raise


def own_traceback(error: OwnCodeError) -> str:
    """Return the traceback of what the user's code raised, without this project's frames that lead to it."""
    cause = error.__cause__
    if cause is None:
        return ""
    trace = cause.__traceback__
    while trace and trace.tb_next and Path(trace.tb_frame.f_code.co_filename).is_relative_to(_OURS):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(cause), cause, trace))


def _telling(build: Callable[..., Any], file: Path) -> Callable[..., Any]:
    """Return a builder whose errors are the user's; a decorator in the way keeps its name and module."""

    @functools.wraps(build)
    def tell(*arguments: Any) -> Any:
        try:
            return build(*arguments)
        except UserError:
            raise
        except Exception as error:
            raise OwnCodeError(_told(error, file)) from error

    return tell


def _load_file(model: str, place: str) -> ModuleType:
    """Run a file as a module; its folder is where it may import from, as when it is run itself."""
    path = Path(os.path.expanduser(place)).resolve()
    if not path.is_file():
        raise UserError(f"model = '{model}': there is no file '{place}'")
    key = path, hashlib.sha256(path.read_bytes()).hexdigest()
    if key in _loaded:
        return _loaded[key]
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    taken = sys.modules.get(path.stem)
    ours = taken is not None and Path(getattr(taken, "__file__", None) or "").resolve() != path
    name = f"own_{path.stem}" if ours else path.stem
    described = importlib.util.spec_from_file_location(name, path)
    if described is None or described.loader is None:
        raise UserError(f"model = '{model}': '{place}' is no Python file")
    module = importlib.util.module_from_spec(described)
    sys.modules[name] = module
    try:
        described.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UserError(f"model = '{model}': {_told(error, path)}") from error
    _loaded[key] = module
    return module


def _import_module(model: str, place: str) -> ModuleType:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and f"{place}.".startswith(f"{error.name}."):
            raise UserError(f"model = '{model}': there is no module '{place}' here") from None
        raise UserError(f"model = '{model}': {_told(error, Path.cwd() / place)}") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"model = '{model}': {_told(error, Path.cwd() / place)}") from error


def _declared(module: ModuleType, model: str) -> type[BaseModel] | None:
    found = getattr(module, PARAMETERS, None)
    if found is None and not hasattr(module, PARAMETERS.upper()):
        return None
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise UserError(
            f"model = '{model}': its parameters should be a pydantic model, class {PARAMETERS}(BaseModel), "
            "with a field for each"
        )
    return found


def _told(error: BaseException, file: Path) -> str:
    """Return where the user's code raised, and what: ``net.py, line 7: ValueError: …``."""
    said = (str(error).strip().splitlines() or ["no message"])[0][:SHOWN_CHARACTERS]
    place = ""
    if isinstance(error, SyntaxError) and error.filename:
        said, place = error.msg, f"{Path(error.filename).name}, line {error.lineno}: "
    elif frames := _own_frames(error, file):
        place = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}: "
    return f"{place}{type(error).__name__}: {said}"


def _own_frames(error: BaseException, file: Path) -> list[traceback.FrameSummary]:
    """Return the frames of an error that are in the user's files: beside or below the model's."""
    folder = file.parent
    return [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if (path := Path(frame.filename).resolve()).is_relative_to(folder) and is_foreign(path)
    ]
