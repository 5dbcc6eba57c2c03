"""Keras' own settings, in the environment, in keras.json or in the caller's process, never spoil a run."""

import json
from pathlib import Path

import keras
import pytest

from experiment.run.story import Options, train_and_evaluate
from experiment.system import keras_settings
from params.spec import Params
from tests.support.processes import TRAIN, run_python, train_here

# A program that tells Keras' settings, and the modules it has imported, when it ends.
TELLING = """
import json, os, runpy, sys
end = os._exit
def tell(code):
    config = sys.modules["keras"].config
    names = ("backend", "floatx", "image_data_format", "max_epochs", "max_steps_per_epoch")
    settings = {name: getattr(config, name)() for name in names}
    said = {"settings": settings | {"policy": config.dtype_policy().name}, "modules": [*sys.modules]}
    print(json.dumps(said), file=sys.stderr, flush=True)
    end(code)
os._exit = tell
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
FOREIGN = {"backend": "torch", "floatx": "float16", "image_data_format": "channels_first", "epsilon": 1e-3}


@pytest.fixture(scope="module")
def trained(digits_file, tmp_path_factory):
    """What a run under settings of others printed, and what it told when it ended."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "keras.json").write_text(json.dumps(FOREIGN | {"nnx_enabled": True}))
    arguments = ("--model", "cnn", "--filters", "2", "--epochs", "1", "--mode", "disabled", "--json")
    variables = {
        "KERAS_HOME": str(folder),
        "KERAS_BACKEND": "tensorfow",
        "KERAS_MAX_EPOCHS": "one",
        "KERAS_MAX_STEPS_PER_EPOCH": "1",
    }
    done = run_python("-c", TELLING, TRAIN, "--dataset", digits_file, *arguments, cwd=folder, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), json.loads(done.stderr.splitlines()[-1])


@pytest.mark.slow
def test_settings_of_the_environment_and_of_keras_json_are_put_right(trained):
    assert trained[1]["settings"] == {
        "backend": "tensorflow",
        "floatx": "float32",
        "policy": "float32",
        "image_data_format": "channels_last",
        "max_epochs": None,
        "max_steps_per_epoch": None,
    }


@pytest.mark.slow
def test_a_run_trains_whatever_keras_json_says(trained):
    assert trained[0]["status"] == "finished"


@pytest.mark.slow
def test_a_run_imports_what_it_takes_alone(trained):
    imported = set(trained[1]["modules"])
    assert {"keras", "comet_ml", "matplotlib.figure"} <= imported
    # Keras and the SDK import them where they can, which would take longer than all else but TensorFlow.
    assert not imported & {"pandas", "sklearn", "scipy.special", "matplotlib.pyplot", "plotly.graph_objects"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"floatx": "float8"}', "floatx = 'float8': should be one of ('float16', 'float32', 'float64')"),
        ('{"image_data_format": 3}', "image_data_format = 3: should be one of"),
        ('{"epsilon": 1}', "epsilon = 1: should be a float"),
        ("[]", "holds no JSON object"),
    ],
)
def test_a_keras_json_that_keras_cannot_read_refuses_the_run(tmp_path, monkeypatch, digits_file, text, said):
    (tmp_path / "keras.json").write_text(text)
    monkeypatch.delitem(keras_settings.sys.modules, "keras")
    done = train_here("--dataset", digits_file, cwd=tmp_path, KERAS_HOME=str(tmp_path))
    assert done.returncode == 2
    assert f"{tmp_path / 'keras.json'}" in done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("text", [None, "", "{", '{"floatx": "float16"}'])
def test_a_keras_json_that_keras_reads_or_passes_over_is_no_obstacle(tmp_path, monkeypatch, text):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delitem(keras_settings.sys.modules, "keras")
    if text is not None:
        (tmp_path / "keras.json").write_text(text)
    keras_settings.check()


@pytest.mark.parametrize(
    ("setting", "value", "usual"),
    [("floatx", "float16", "float32"), ("image_data_format", "channels_first", "channels_last")]
    + [("max_epochs", 1, None), ("max_steps_per_epoch", 5, None)],
)
def test_a_callers_keras_with_other_settings_is_refused_before_anything_is_written(
    digits, setting, value, usual
):
    change = getattr(keras.config, f"set_{setting}")
    change(value)
    try:
        with pytest.raises(
            ValueError, match=rf"keras.config.{setting}\(\) = {value!r} in this process"
        ) as told:
            train_and_evaluate(Params(), dataset=digits, options=Options(mode="disabled", quiet=True))
    finally:
        change(usual)
    assert f"call keras.config.set_{setting}({usual!r}) before" in str(told.value)
    assert not Path("runs").exists()


def test_a_callers_keras_on_another_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(
        ValueError, match=r"backend\(\) = 'jax' in this process.* import experiment before keras"
    ):
        keras_settings.check()
