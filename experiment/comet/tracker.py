"""The experiment as a run uses it: what it logs, with failures turned into notices; its parameters."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec

from experiment.comet.settings import import_comet

ONLINE = "online"
Given = ParamSpec("Given")


def _guarded(
    method: Callable[Concatenate[Tracker, Given], None],
) -> Callable[Concatenate[Tracker, Given], None]:
    """Turn what a method raises into a notice: a run must not end for its tracker's sake."""

    @functools.wraps(method)
    def guarded(self: Tracker, *arguments: Given.args, **named: Given.kwargs) -> None:
        try:
            method(self, *arguments, **named)
        # Whatever the SDK raises: its own errors, those of requests, of a full disk.
        except Exception as error:
            self.notify(f"Comet did not take {method.__name__}: {type(error).__name__}: {error}")

    return guarded


class Tracker:
    """Comet's experiment, online, offline or disabled: the methods that runs use, under the SDK's names.

    What could not be logged must not stay unsaid: each failure is one notice, and the run goes on.

    Attributes:
        experiment: the SDK's.
        mode: online, offline or disabled.
        notify: called with one sentence for each thing that the user should know.
        replaces: whether a file takes the place of one of its name, as a resumed run logs some again.
    """

    def __init__(
        self, experiment: Any, mode: str, notify: Callable[[str], None], *, replaces: bool = False
    ) -> None:
        self.experiment = experiment
        self.mode = mode
        self.notify = notify
        self.replaces = replaces

    @property
    def url(self) -> str | None:
        """The run's page in Comet, None where there is none yet."""
        return self.experiment.url if self.mode == ONLINE else None

    def get_parameter(self, name: str) -> Any:
        """Read a logged parameter back; one that was not logged raises the SDK's own exception."""
        # By the SDK's rule for new experiments: one that is gone on with would ask the server, and get texts.
        return import_comet().CometExperiment.get_parameter(self.experiment, name)

    @contextlib.contextmanager
    def test(self) -> Iterator[None]:
        """Let what is logged meanwhile be shown as of the test set: ``test_accuracy``."""
        with self.experiment.test():
            yield

    @_guarded
    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Log parameters by their names: numbers, texts, truth values."""
        self.experiment.log_parameters(dict(parameters))

    @_guarded
    def log_parameter(self, name: str, value: Any) -> None:
        """Log one parameter."""
        self.experiment.log_parameter(name, value)

    @_guarded
    def log_metric(self, name: str, value: float, *, step: int, epoch: int) -> None:
        """Log a point of a metric; ``step`` counts optimizer steps, ``epoch`` begins at 1."""
        self.experiment.log_metric(name, value, step=step, epoch=epoch)

    @_guarded
    def log_message(self, message: Any) -> None:
        """Log one of ``comet.messages``, from any thread: step and context of what training logs stay."""
        if self.experiment.alive:
            self.experiment._enqueue_message(message)

    @_guarded
    def log_other(self, name: str, value: Any) -> None:
        """Log a single value about the run; Comet cuts a text after 1,000 characters."""
        self.experiment.log_other(name, value)

    @_guarded
    def log_others(self, values: Mapping[str, Any]) -> None:
        """Log single values about the run by their names."""
        self.experiment.log_others(dict(values))

    @_guarded
    def log_asset(self, path: str, *, file_name: str, step: int | None = None) -> None:
        """Log a file, called so in Comet."""
        self.experiment.log_asset(path, file_name=file_name, step=step, overwrite=self.replaces)

    @_guarded
    def log_asset_data(self, data: str, name: str, *, step: int | None = None) -> None:
        """Log a text as a file, called so in Comet."""
        self.experiment.log_asset_data(data, name=name, step=step, overwrite=self.replaces)

    @_guarded
    def log_code(self, *, code_name: str, file_name: str | None = None, code: str | None = None) -> None:
        """Log a file of code, or its text, called so in Comet."""
        self.experiment.log_code(file_name, code=code, code_name=code_name, overwrite=self.replaces)

    @_guarded
    def log_image(self, path: str, *, name: str) -> None:
        """Log a picture's file."""
        self.experiment.log_image(path, name=name, overwrite=self.replaces)

    @_guarded
    def log_histogram_3d(self, values: Any, *, name: str, step: int) -> None:
        """Log a histogram of values [N]; Comet stacks those of a name by their steps."""
        self.experiment.log_histogram_3d(values, name=name, step=step)

    @_guarded
    def log_confusion_matrix(
        self,
        y_true: Sequence[int],
        y_predicted: Sequence[int],
        *,
        labels: Sequence[str],
        images: Any,
        max_categories: int,
        max_examples_per_cell: int,
        title: str,
    ) -> None:
        """Log a confusion matrix with sample images behind its cells.

        Args:
            y_true: classes [N], from 0.
            y_predicted: likewise.
            labels: the classes' names.
            images: the examples' [N], each uint8 [H, W] or [H, W, C]; those that are shown are asked for.
            max_categories: how many classes get a row of their own.
            max_examples_per_cell: how many images a cell shows.
            title: the matrix's.
        """
        self.experiment.log_confusion_matrix(
            y_true=y_true,
            y_predicted=y_predicted,
            labels=labels,
            images=images,
            max_categories=max_categories,
            max_examples_per_cell=max_examples_per_cell,
            title=title,
            overwrite=self.replaces,
        )

    @_guarded
    def log_model(self, name: str, path: str, *, file_name: str) -> None:
        """Log a file of a saved model."""
        self.experiment.log_model(name, path, file_name=file_name, overwrite=self.replaces)

    @_guarded
    def register_model(self, name: str, *, registry_name: str) -> None:
        """Put a logged model into the workspace's registry; only online."""
        self.experiment.register_model(name, registry_name=registry_name)

    @_guarded
    def log_optimization(
        self,
        optimization_id: str,
        metric_name: str,
        metric_value: float | None,
        parameters: Mapping[str, Any] | None,
        objective: str,
    ) -> None:
        """Log which sweep a trial belongs to; ``objective`` is maximum or minimum."""
        self.experiment.log_optimization(optimization_id, metric_name, metric_value, parameters, objective)

    @_guarded
    def set_model_graph(self, graph: str) -> None:
        """Log the model's architecture as Keras' JSON."""
        self.experiment.set_model_graph(graph)

    @_guarded
    def set_pip_packages(self) -> None:
        """Log which packages are installed."""
        self.experiment.set_pip_packages()

    @_guarded
    def send_notification(self, title: str, *, status: str, additional_data: Mapping[str, Any]) -> None:
        """Let Comet notify the account's owner; only online."""
        # Of a run that is gone on with the SDK's own method does nothing.
        send = import_comet().Experiment.send_notification
        send(self.experiment, title, status, dict(additional_data))

    @_guarded
    def end(self) -> None:
        """End the experiment: what is still on its way is sent or written."""
        self.experiment.end()
