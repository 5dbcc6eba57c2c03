"""Keras' settings for this pipeline: on TensorFlow, float32, channels last, whatever ``keras.json`` says.

The package itself sees to variables of the environment, as Keras reads those when it is imported.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from experiment.errors import UserError
from experiment.system import imports, machine
from experiment.system.console import without_stderr

# What Keras imports for those who give it data frames, or ask it for wrappers and plots.
OPTIONAL = ("matplotlib.patches", "matplotlib.pyplot", "pandas", "scipy", "sklearn")
REQUIRED = "the pipeline needs TensorFlow, float32 or float64, channels_last, and no limit of epochs or steps"


def check() -> None:
    """Refuse what cannot be mended here: settings of a caller's Keras, or a file that Keras cannot read.

    Raises:
        UserError: with the setting, its value and what to do.
    """
    if "keras" not in sys.modules:
        _check_file(_file())
        return
    import keras

    wrong = {
        "keras.config.backend()": (keras.config.backend(), ("tensorflow",)),
        "keras.config.floatx()": (keras.config.floatx(), ("float32", "float64")),
        "keras.config.image_data_format()": (keras.config.image_data_format(), ("channels_last",)),
        "keras.config.max_epochs()": (keras.config.max_epochs(), (None,)),
        "keras.config.max_steps_per_epoch()": (keras.config.max_steps_per_epoch(), (None,)),
    }
    for name, (value, allowed) in wrong.items():
        if value not in allowed:
            remedy = (
                "import experiment before keras, or set KERAS_BACKEND=tensorflow"
                if name == "keras.config.backend()"
                else f"call {name.replace('config.', 'config.set_')[:-2]}({allowed[0]!r}) before"
            )
            raise UserError(f"{name} = {value!r} in this process: {REQUIRED}; {remedy}")


def import_keras() -> Any:
    """Return Keras; where nobody imported it before, with the pipeline's settings over ``keras.json``."""
    first = "keras" not in sys.modules
    # TensorFlow greets with four lines that no setting turns off.
    with without_stderr() if first else contextlib.nullcontext(), imports.quickly(*OPTIONAL):
        import keras
    if not first:
        return keras
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    return keras


def seed(number: int) -> None:
    """Seed what Keras draws from; where TensorFlow has a GPU, let it take operations that repeat their bits.

    On a CPU the operations of a run do so anyway, but to other bits: there it stays off. On a GPU some add in
    the order in which threads end, unless TensorFlow is told otherwise; an operation without another way then
    raises an error (TensorFlow's documentation of ``enable_op_determinism``; not seen on a GPU).
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(number)
    if has_gpu():
        tf.config.experimental.enable_op_determinism()


def has_gpu() -> bool:
    """Tell whether TensorFlow computes on a GPU."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def threads() -> int:
    """Return on how many threads TensorFlow computes an operation."""
    import tensorflow as tf

    # 0 means that TensorFlow chooses: one thread a core.
    return int(tf.config.threading.get_intra_op_parallelism_threads()) or machine.cores()


def _file() -> Path:
    """Return the path of ``keras.json``, found as Keras finds it."""
    # As Keras does where a home cannot be written to.
    home = Path.home() if os.access(Path.home(), os.W_OK) else Path("/tmp")  # noqa: S108
    return Path(os.environ.get("KERAS_HOME", home / ".keras")).expanduser() / "keras.json"


def _check_file(path: Path) -> None:
    try:
        values = json.loads(path.read_text()) if path.exists() else {}
    except ValueError:
        return  # Keras passes over a file that is no JSON
    except OSError as error:
        raise UserError(f"'{path}' cannot be read, so Keras cannot be imported: {error.strerror}") from None
    known: dict[str, tuple[Any, ...]] = {
        "floatx": ("float16", "float32", "float64"),
        "image_data_format": ("channels_last", "channels_first"),
    }
    remedy = "mend or remove the file"
    if not isinstance(values, dict):
        raise UserError(f"'{path}' holds no JSON object, so Keras cannot be imported: {remedy}")
    for name, allowed in known.items():
        if name in values and values[name] not in allowed:
            raise UserError(f"'{path}': {name} = {values[name]!r}: should be one of {allowed}; {remedy}")
    if not isinstance(values.get("epsilon", 1e-7), float):
        raise UserError(f"'{path}': epsilon = {values['epsilon']!r}: should be a float; {remedy}")
