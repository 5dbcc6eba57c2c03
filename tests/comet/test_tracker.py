"""The experiment as a run uses it: explicit methods, of which none can end a run."""

import inspect
from collections.abc import Mapping

import pytest

from experiment.comet.settings import import_comet
from experiment.comet.tracker import Tracker

GIVEN: Mapping[str, tuple[tuple, dict]] = {
    "log_parameters": (({"seed": 0},), {}),
    "log_parameter": (("seed", 0), {}),
    "log_metric": (("loss", 0.5), {"step": 1, "epoch": 1}),
    "log_message": (("a message",), {}),
    "log_other": (("threads", 2), {}),
    "log_others": (({"threads": 2},), {}),
    "log_asset": (("a/file",), {"file_name": "file"}),
    "log_asset_data": (("text", "file"), {"step": 0}),
    "log_code": ((), {"file_name": "a/train.py", "code_name": "train.py"}),
    "log_image": (("a/picture.png",), {"name": "picture.png"}),
    "log_histogram_3d": (([1.0],), {"name": "weights", "step": 1}),
    "log_confusion_matrix": (
        ([0], [1]),
        {"labels": ["a", "b"], "images": [], "max_categories": 2, "max_examples_per_cell": 1, "title": "t"},
    ),
    "log_model": (("model", "a/model.h5"), {"file_name": "model.h5"}),
    "register_model": (("model",), {"registry_name": "mine"}),
    "log_optimization": (("sweep", "loss", None, None, "minimum"), {}),
    "set_model_graph": (("{}",), {}),
    "set_pip_packages": ((), {}),
    "end": ((), {}),
}
SENT_AS = {"log_message": "_enqueue_message"}
METHODS = [name for name, _ in inspect.getmembers(Tracker, inspect.isfunction) if name[0] != "_"]


class Experiment:
    """Takes what the SDK's own method of that name would take; fails in each call if it is told to."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.alive = True
        self.called: list[str] = []

    def __getattr__(self, name):
        signature = inspect.signature(getattr(import_comet().OfflineExperiment, name))

        def method(*arguments, **named):
            signature.bind(self, *arguments, **named)
            self.called.append(name)
            if self.failure:
                raise self.failure

        return method


def test_every_method_that_tells_comet_something_is_tried_here():
    by_their_class = {"test", "get_parameter", "send_notification"}
    assert set(METHODS) - by_their_class == set(GIVEN)


@pytest.mark.parametrize("name", GIVEN)
def test_a_method_calls_the_sdks_as_the_sdk_declares_it(name):
    notices: list[str] = []
    experiment = Experiment()
    arguments, named = GIVEN[name]
    assert getattr(Tracker(experiment, "offline", notices.append), name)(*arguments, **named) is None
    assert (experiment.called, notices) == ([SENT_AS.get(name, name)], [])


@pytest.mark.parametrize("name", GIVEN)
def test_a_method_that_fails_is_one_notice_and_raises_nothing(name):
    notices: list[str] = []
    arguments, named = GIVEN[name]
    tracker = Tracker(Experiment(RuntimeError("the disk is full")), "offline", notices.append)
    getattr(tracker, name)(*arguments, **named)
    assert notices == [f"Comet did not take {name}: RuntimeError: the disk is full"]


def test_a_method_that_is_none_of_its_own_is_not_there():
    with pytest.raises(AttributeError):
        Tracker(Experiment(), "offline", print).log_figure  # type: ignore[attr-defined]  # noqa: B018


def test_what_reads_a_parameter_back_hides_no_failure():
    with pytest.raises(RuntimeError):
        Tracker(Experiment(RuntimeError()), "offline", print).get_parameter("seed")
