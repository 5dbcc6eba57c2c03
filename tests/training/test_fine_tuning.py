"""Fine-tuning after the head: from a cut, by small steps, kept only where it helps, resumed to the bit."""

import dataclasses

import keras
import numpy as np
import pytest

from experiment.data import backbone_checks
from experiment.run.lifecycle import RunFailed
from experiment.run.story import Options, train_and_evaluate
from experiment.store.directory import RunDirectory
from experiment.store.journal import read_metrics
from experiment.training import checkpoints, fine_tuning, models, pretrained, trainer
from params.spec import Params
from tests.training.test_pretrained import WEIGHTS, build_tiny, dataset, logits_of, parameters

pytestmark = pytest.mark.slow

__all__ = ["dataset"]
BLOCK = "block2"


@pytest.fixture(autouse=True)
def _tiny(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(models, "build_backbone", build_tiny)
    monkeypatch.setattr(backbone_checks, "block_names", lambda backbone: ("block1", "block2"))  # noqa: ARG005
    for module in (models, pretrained, backbone_checks):
        monkeypatch.setattr(module, "find_weights", lambda backbone, asked: WEIGHTS)  # noqa: ARG005


def tune(dataset, budget=10**9, **values):
    """Fine-tune after the head; return the model, its weights before, the verdict, all val_losses."""
    get_parameter = parameters(fine_tune_epochs=2, fine_tune_from=BLOCK, **values)
    keras.utils.set_random_seed(0)
    model = models.build_model(get_parameter, dataset.train.images.shape[1:], 10)
    trainer.compile_model(model, get_parameter, len(dataset.train))
    stage = pretrained.head_stage(model, dataset, get_parameter, lambda *_: None, pytest.fail)
    losses = trainer.fit(stage.model, stage.dataset, get_parameter).history.history["val_loss"]
    before = model.get_weights()
    training, verdict = fine_tuning.fine_tune(
        *(model, dataset, get_parameter, lambda keeping, began: [keeping], {"val_loss": losses}, None),  # noqa: ARG005
        budget=budget,
        on_step_losses=lambda *_: None,
    )
    return model, before, verdict, losses + training.history.history["val_loss"]


def changed(model, before):
    """Return the names of the layers whose weights are not what they were."""
    pairs = zip(model.weights, before, model.get_weights(), strict=True)
    return {weight.path.split("/")[-2] for weight, old, new in pairs if not np.array_equal(old, new)}


@pytest.mark.parametrize("flip", [False, True])
def test_the_blocks_from_the_cut_on_are_trained_but_no_batch_normalization(dataset, flip):
    model, before, verdict, losses = tune(dataset, fine_tune_lr=0.01, augment_flip=flip)
    assert changed(model, before) == {"block2_conv", "logits"}
    assert verdict["fine_tuning_kept"]
    assert min(losses[2:]) < losses[1]
    assert losses[verdict["kept_epoch"] - 1] == min(losses)
    assert int(model.optimizer.iterations) == 2 * 10  # of its own: Adam corrects its averages by them


def test_activations_at_the_cut_and_whole_pictures_train_to_the_same(dataset):
    from_cut, from_pixels = (tune(dataset, budget, fine_tune_lr=0.01)[3] for budget in (10**9, 0))
    np.testing.assert_allclose(from_cut, from_pixels, rtol=1e-3)


def test_the_weights_of_the_head_are_kept_where_validation_does_not_get_better(dataset):
    model, before, verdict, losses = tune(dataset, fine_tune_lr=5.0)
    assert min(losses[2:]) > losses[1]
    assert verdict == {"fine_tuning_kept": False, "kept_epoch": 2}
    assert changed(model, before) == set()


@pytest.mark.parametrize("file", ["model.h5", "model.keras"])
def test_a_fine_tuned_model_is_saved_whole_with_its_optimizer(dataset, tmp_path, file):
    model = tune(dataset, fine_tune_lr=0.01)[0]
    reloaded = checkpoints.load_model(checkpoints.save_model(model, tmp_path / file))
    np.testing.assert_array_equal(logits_of(reloaded, dataset.test), logits_of(model, dataset.test))
    assert len(reloaded.trainable_variables) == 4
    if file.endswith(".h5"):  # of which Keras reads no optimizer's state, whatever the model
        return
    for one, other in zip(reloaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


class Kill(keras.callbacks.Callback):
    """Ends a run after so many epochs, once their checkpoint is written."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self._epochs = epochs

    def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
        if epoch + 1 == self._epochs:
            raise OSError("killed")


@pytest.fixture
def larger(digits):
    """The digits, as large as a backbone wants them."""
    sides = ((0, 0), (2, 2), (2, 2))
    return {name: np.pad(each, sides) if each.ndim == 3 else each for name, each in digits.items()}


def curves(directory):
    points = list(read_metrics(directory / "metrics.jsonl"))
    return [(each.name, each.step, each.value) for each in points if "seconds" not in each.name]


def test_a_run_killed_at_or_after_the_boundary_goes_on_to_the_same_bits(larger, tmp_path):
    params = Params(
        model="pretrained",
        epochs=2,
        batch_size=32,
        optimizer="adam",
        validation=0.2,
        fine_tune_epochs=2,
        fine_tune_from=BLOCK,
        fine_tune_lr=0.01,
        augment_flip=True,
    )
    options = Options(mode="disabled", quiet=True, runs=tmp_path / "runs")
    whole = train_and_evaluate(params, dataset=larger, options=options)
    assert whole.results["fine_tuning_kept"]
    assert whole.results["epochs"] == 4
    for epochs in (2, 3):
        killing = dataclasses.replace(options, callbacks=[Kill(epochs)], runs=tmp_path / str(epochs))
        with pytest.raises(RunFailed):
            train_and_evaluate(params, dataset=larger, options=killing)
        (path,) = (tmp_path / str(epochs)).iterdir()
        resumed = train_and_evaluate(params, dataset=larger, options=options, resume=RunDirectory(path))
        for name in ("test_loss", "test_accuracy", "kept_epoch", "temperature"):
            assert resumed.results[name] == whole.results[name], (epochs, name)
        assert curves(path) == curves(tmp_path / "runs" / whole.key)
    losses = [step for name, step, _ in curves(path) if name == "batch_loss"]
    assert losses == list(range(1, len(losses) + 1))
    assert [step for name, step, _ in curves(path) if name == "val_loss"] == losses[
        len(losses) // 4 - 1 :: len(losses) // 4
    ]
