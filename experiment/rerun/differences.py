"""Repeat a run: with which parameters, what is not as it was, and what a verdict will mean then."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from experiment.data.named_sets import DATASETS
from experiment.errors import UserError
from experiment.rerun import code_changes
from experiment.run.setup import MODEL_PARAMETERS
from experiment.store.record import COMET, FINISHED, RunRecord
from experiment.system import keras_settings
from experiment.system.names import short
from params.load import check_params, load_params, names_of
from params.spec import Params, default_parameters

if TYPE_CHECKING:
    pass


@dataclasses.dataclass(frozen=True)
class Difference:
    """One thing that is not as it was."""

    what: str
    then: Any
    now: Any


def parameters(original: RunRecord, flags: Mapping[str, str], spec: type[Params] = Params) -> Params:
    """Return the parameters to repeat a run with: its own, but for those given as flags.

    Raises:
        UserError: it cannot be repeated, with the reason.
    """
    name = short(original.key)
    if unknown := sorted(set(original.params) - set(names_of(spec))):
        raise UserError(f"run {name} cannot be repeated: there is no parameter '{unknown[0]}' any more")
    if "model" not in original.params or original.params.get("dataset") == "arrays":
        raise UserError(f"run {name} cannot be repeated from here: a program gave it its own model or arrays")
    if not original.points():
        raise UserError(f"run {name} has no finished epoch that a rerun could be compared with")
    dataset = original.run["dataset"]
    source = dataset["name"] if dataset["name"] in DATASETS else dataset.get("source")
    if "dataset" not in flags and not (source in DATASETS or (source and os.path.exists(source))):
        where = f"'{source}' is gone" if source else f"of '{dataset['name']}' the {original.kind} has no path"
        raise UserError(f"run {name} cannot be repeated without its data: {where}; give --dataset PATH")
    stored = dict(original.params) | ({} if "dataset" in flags else {"dataset": source})
    if spec.own and "model" not in flags:
        stored["model"] = spec.own.source
    if original.kind == COMET:  # which gives everything as text
        return load_params(
            flags={each: str(value) for each, value in stored.items()} | dict(flags), spec=spec
        )
    given = load_params(flags=flags, spec=spec)
    changed = {each: getattr(given, each.replace("-", "_")) for each in flags}
    return check_params(stored | changed, spec)


def announce(
    original: RunRecord, values: Mapping[str, Any], facts: Mapping[str, Any], say: Callable[[str], None]
) -> dict[str, Any]:
    """Say what is not as it was, and what the verdict will mean; return it for the run's record.

    Args:
        original: the run to repeat.
        values: the parameters that apply to the rerun.
        facts: what the rerun is made of, as in ``run.json``.
        say: called with each sentence.
    """
    found = differences(original, values, facts)
    say(f"rerun of {short(original.key)} ({original.name}), read from its {original.kind}")
    for each in found:
        say(f"  {each.what}: {each.then} → {each.now}")
    notes = [*code_changes.notes(original, facts), *_threads_note(original), _meaning(found)]
    if original.status != FINISHED:
        notes.append(f"the original is {original.status}: it is compared as far as it came")
    for note in notes:
        say(f"  {note}")
    return {
        "of": original.key,
        "source": original.kind,
        "place": original.place,
        "differences": [dataclasses.asdict(each) for each in found],
        "notes": notes,
    }


def differences(original: RunRecord, values: Mapping[str, Any], facts: Mapping[str, Any]) -> list[Difference]:
    """Return what is not as it was: parameters, data, code, packages, machine."""
    then = original.run
    # A run from before a parameter was there had what is its default today.
    defaults = _as_texts(default_parameters())
    stored = _as_texts(original.params)
    # Which of the stock models' parameters a program's own model reads is not known before it is built.
    own = bool(facts.get("own_code", {}).get("builder"))
    unread = [name for name in MODEL_PARAMETERS if own and name not in stored]
    found = [
        Difference(f"parameter {name}", stored.get(name), value)
        for name, value in _as_texts(values).items()
        if name not in ("dataset", *unread) and stored.get(name, defaults.get(name)) != value
    ]
    found += [
        Difference(f"parameter {name}", value, None) for name, value in stored.items() if name not in values
    ]
    found += _data_differences(then["dataset"], facts["dataset"])
    weights = [short(each.get("backbone", {}).get("sha256", "")) for each in (then, facts)]
    if weights[0] != weights[1]:
        found.append(Difference("data of the backbone's weights (SHA-256)", *weights))
    found += [Difference(*each) for each in code_changes.changes(original, facts)]
    if then.get("python") != facts["python"]:
        found.append(Difference("python", then.get("python"), facts["python"]))
    found += _part_differences("package", then.get("packages", {}), facts["packages"], facts["packages"])
    return found + _part_differences(
        "machine", then.get("machine", {}), facts["machine"], _told_of_machines(then.get("machine", {}))
    )


def _part_differences(
    part: str, then: Mapping[str, Any], now: Mapping[str, Any], names: Iterable[str]
) -> list[Difference]:
    return [
        Difference(f"{part} {name}", then.get(name), now.get(name))
        for name in names
        if then.get(name) != now.get(name)
    ]


def _told_of_machines(then: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what of a machine can change a result; older versions did not say whether there was a GPU."""
    gpu = ("gpu", "gpu_driver") if "memory_gb" in then else ()
    return ("system", "processor", "cores", *gpu)


def limit_threads(original: RunRecord, notify: Callable[[str], None]) -> None:
    """Let TensorFlow compute on as many threads as the original did: others give other last bits."""
    import tensorflow as tf

    threads = original.run.get("threads")
    now = keras_settings.threads()
    if not threads or threads == now:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:
        notify(f"TensorFlow runs on {now} threads in this process already, not on the original's {threads}")


def _data_differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    found = []
    if "decoder" in now and then.get("decoder") != now["decoder"]:
        found.append(Difference("decoder of pictures", then.get("decoder"), now["decoder"]))
    if then["fingerprint"] != now["fingerprint"]:
        is_test_same = then.get("test_fingerprint") == now["test_fingerprint"]
        part = "training part" if is_test_same else "test part, at least"
        found.append(
            Difference(
                f"data {now['name']}, {part} (SHA-256)", short(then["fingerprint"]), short(now["fingerprint"])
            )
        )
    elif then.get("split_fingerprint") != now["split_fingerprint"]:
        before = short(str(then.get("split_fingerprint")))
        found.append(Difference("split (SHA-256)", before, short(now["split_fingerprint"])))
    return found


def _threads_note(original: RunRecord) -> list[str]:
    return [] if original.run.get("threads") else ["on how many threads the original computed is not known"]


def _meaning(found: Iterable[Difference]) -> str:
    """Say what the verdict will mean, given what differs."""
    kinds = {each.what.split()[0] for each in found}
    if kinds & {"parameter", "data", "split"}:
        return "so this is another experiment: the verdict tells how much that change matters"
    if kinds & {"code", "decoder", "package", "python", "machine"}:
        return "so equal bits are not promised: a verdict other than bit-identical may come of what differs"
    return "nothing that matters differs: on a CPU, any verdict but bit-identical is a fault"


def _as_texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return values as texts, in which those that Comet gives and our own are comparable."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()
    }
