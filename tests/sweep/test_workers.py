"""What a sweep tells its workers."""

from pathlib import Path

import pytest

from experiment.data.named_sets import load_arrays
from experiment.run.own_model import spec_of
from experiment.sweep.file import read_sweep
from experiment.sweep.plan import Plan
from experiment.sweep.settings import Settings
from tests.support.sweeps import write

pytest.importorskip("ray")


@pytest.mark.parametrize(
    ("parameters", "model", "ours"),
    [
        ({"initial-lr": [0.1, 0.2]}, "mlp", True),
        ({"model": ["mlp", "cnn"]}, "mlp", False),
        ({"initial-lr": [0.1, 0.2]}, "net.py:build", False),
    ],
)
def test_workers_leave_out_what_is_optional_where_no_trial_can_have_a_network_of_a_users(
    digits_file, tmp_path, monkeypatch, parameters, model, ours
):
    from experiment.sweep.ray_tune import engine

    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text("def build(get_parameter, image_shape, classes): ...")
    base = spec_of(model)(model=model)
    sweep = read_sweep(str(write(tmp_path, parameters)), base)
    plan = Plan(sweep, base, load_arrays(str(digits_file)).fingerprint, tmp_path, 1, None)
    assert engine._session(plan, Settings(), 1, 1).ours is ours
