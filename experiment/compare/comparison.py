"""Many runs side by side: what differs, groups that differ in their seed alone, and plain verdicts."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiment.compare.directions import direction_of
from experiment.compare.groups import Group, differing_parameters, group_runs, label_of
from experiment.compare.origins import origin_of, plain
from experiment.compare.pairs import Verdict, mcnemar_verdicts, welch_verdicts
from experiment.errors import UserError
from experiment.store.curves import results_of
from experiment.store.record import FINISHED, RunRecord
from experiment.system.names import counted, some

METRIC = "test_accuracy"
# Of a run: the parameter, its value, how it is told, what validation then chose.
_CHOICES = (
    ("early-stopping", "true", "early-stopping", "the best epoch's weights were chosen"),
    ("keep", "best", "keep = best", "the best epoch's weights were chosen"),
    ("schedule", "plateau", "schedule = plateau", "the learning rate was chosen"),
)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Runs in the order they were named, with all that was found out about them."""

    records: Sequence[RunRecord]
    results: Sequence[Mapping[str, Any]]
    parameters: Sequence[str]
    metric: str
    baseline: int
    groups: Sequence[Group]
    verdicts: Sequence[Verdict]
    warnings: Sequence[str]


def compare_runs(
    records: Sequence[RunRecord],
    *,
    metric: str | None = None,
    baseline: RunRecord | None = None,
    all_params: bool = False,
) -> Comparison:
    """Compare runs.

    Args:
        records: the runs; of one that is there twice, the first counts.
        metric: what verdicts and deltas are about; by default the test accuracy.
        baseline: what deltas are taken against; by default the first run.
        all_params: name the parameters that agree in all runs, too.

    Raises:
        UserError: there is nothing to compare, or no run has the metric.
    """
    by_key: dict[str, RunRecord] = {}
    for record in [*records, *([baseline] if baseline else [])]:
        by_key.setdefault(record.key, record)
    unique = list(by_key.values())
    if not unique:
        raise UserError("there are no runs to compare")
    results = [results_of(record) for record in unique]
    metric = _check_metric(metric, results, unique)
    first = next(place for place, each in enumerate(unique) if baseline is None or each.key == baseline.key)
    groups, warnings = group_runs(unique, results, metric)
    repeated = len(records) - len({record.key for record in records})
    if repeated:
        named = counted(repeated, "run was named", "runs were named")
        warnings.insert(0, f"{named} more than once: the first of each counts")
    leader = next((group for group in groups if any(each is unique[first] for each in group.records)), None)
    return Comparison(
        unique,
        results,
        differing_parameters(unique, all_params),
        metric,
        first,
        groups,
        [*welch_verdicts(groups, leader, metric), *mcnemar_verdicts(groups)],
        [*_run_warnings(unique, metric), *warnings],
    )


def _check_metric(
    metric: str | None, results: Sequence[Mapping[str, Any]], records: Sequence[RunRecord]
) -> str:
    monitors = {str(record.params.get("monitor", "val_loss")) for record in records} - {"val_loss"}
    # What all that chose a measure of their own chose; the test set's, as that is the result.
    monitored = [name.replace("val_", "test_", 1) for name in monitors] if len(monitors) == 1 else []
    known = sorted({name for each in results for name in _metric_names(each)})
    if metric is not None and metric not in known:
        raise UserError(f"metric '{metric}' is in none of the runs: they have {', '.join(known) or 'none'}")
    preferred = (*monitored, METRIC, "val_accuracy", "accuracy", "test_loss", "val_loss", "loss", *known)
    return metric or next((name for name in preferred if name in known), METRIC)


def _metric_names(results: Mapping[str, Any]) -> set[str]:
    flat = {name for name, value in results.items() if isinstance(value, (int, float))}
    return (flat | set(results.get("best", {})) | set(results.get("last", {}))) - {"epochs", "epoch"}


def _run_warnings(records: Sequence[RunRecord], metric: str) -> list[str]:
    """Return sentences about what makes runs hard to compare."""
    warnings = []
    for part, what in (
        ("data", "saw different data"),
        ("split", "were trained and validated on different splits"),
        ("test set", "were tested on different test sets"),
        ("code", "come from different code"),
    ):
        prints = Counter(origin_of(record)[part] for record in records)
        known = {value: count for value, count in prints.items() if value}
        if len(known) > 1:
            shown = some([f"{count} × {value[:8]}" for value, count in known.items()], 5)
            warnings.append(f"the runs {what}: {shown}")
        if len(prints) > len(known) and len(records) > 1:
            warnings.append(
                f"of {prints[None]} of {len(records)} runs the {part} is unknown: no fingerprint was kept"
            )
    for status in sorted({record.status for record in records} - {FINISHED}):
        named = _named(record for record in records if record.status == status)
        warnings.append(f"{named} did not finish ({status}): left out of groups and verdicts")
    if direction_of(metric) is None:
        warnings.append(f"the name '{metric}' does not tell whether more of it is better: it is taken to be")
    return warnings + _warnings_of_choice(records, metric)


def _warnings_of_choice(records: Sequence[RunRecord], metric: str) -> list[str]:
    """Return sentences about runs in which the test set had a say in what the metric is taken from."""
    by_test = [record for record in records if record.params.get("validation") == "test"]
    if metric.startswith("val_"):
        choices = [("validation = test", "the best epoch was chosen", by_test)]
    elif "calibrated" in metric:
        choices = [("validation = test", "the temperature was fitted", by_test)]
    elif metric.startswith("test_"):
        choices = [
            (
                f"validation = test and {setting}",
                choice,
                [record for record in by_test if plain(record.params.get(name)) == value],
            )
            for name, value, setting, choice in _CHOICES
        ]
    else:
        choices = []
    sentences = []
    for setting, choice, chosen in choices:
        whose = "every run" if len(chosen) == len(records) else _named(chosen)
        sentence = (
            f"{setting} in {whose}: {choice} on the test set itself, so {metric} looks better than it is"
        )
        sentences += [f"{sentence} on new data"] if chosen else []
    return sentences


def _named(records: Iterable[RunRecord]) -> str:
    return some([label_of(record) for record in records], 4)
