"""Repeat a run: with which parameters, what is not as it was, and what a verdict will mean then."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from experiment.data.named_sets import DATASETS
from experiment.errors import UserError
from experiment.run import provenance
from experiment.run.own_code import PREFIX
from experiment.store.record import COMET, FINISHED, RunRecord
from experiment.system import machine
from experiment.system.names import short, some
from params.load import check_params, load_params, names_of
from params.spec import Params

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
    notes = [*_code_note(original, facts), *_threads_note(original), _meaning(found)]
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
    stored = _as_texts(original.params)
    found = [
        Difference(f"parameter {name}", stored.get(name), value)
        for name, value in _as_texts(values).items()
        if name != "dataset" and stored.get(name) != value
    ]
    found += [
        Difference(f"parameter {name}", value, None) for name, value in stored.items() if name not in values
    ]
    found += _data_differences(then["dataset"], facts["dataset"])
    weights = [short(each.get("backbone", {}).get("sha256", "")) for each in (then, facts)]
    if weights[0] != weights[1]:
        found.append(Difference("data of the backbone's weights (SHA-256)", *weights))
    if then["code_fingerprint"] != facts["code_fingerprint"]:
        changed = _changed_files(_of_project(original.code()), _today())
        found.append(Difference(f"code {changed}".strip(), _version(then), _version(facts)))
    elif _version(then) != _version(facts):
        found.append(Difference("commit, but not the code", _version(then), _version(facts)))
    found += _own_differences(original, facts)
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
    now = tf.config.threading.get_intra_op_parallelism_threads() or machine.cores()
    if not threads or threads == now:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:
        notify(f"TensorFlow runs on {now} threads in this process already, not on the original's {threads}")


def _data_differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    found = []
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


def _own_differences(original: RunRecord, facts: Mapping[str, Any]) -> list[Difference]:
    """Return how the code differs that a program had beside this project's."""
    then, now = original.run.get("own_code", {}), facts.get("own_code", {})
    found = []
    if then.get("builder") != now.get("builder"):
        found.append(Difference("code that builds the model", then.get("builder"), now.get("builder")))
    if then.get("fingerprint") != now.get("fingerprint"):
        kept = {name: text for name, text in original.code().items() if name.startswith(PREFIX)}
        changed = _changed_files(then.get("files") or kept, now.get("files", {}))
        found.append(Difference(f"code of the program {changed}".strip(), _version(then), _version(now)))
    return found


def _of_project(code: Mapping[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in code.items() if not name.startswith(PREFIX)}


def _today() -> dict[str, str]:
    """Return SHA-256 of each file of this project's code."""
    root = provenance.ROOT
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in provenance.code_files()
        if path.suffix == ".py"
    }


def _changed_files(code: Mapping[str, str], today: Mapping[str, str]) -> str:
    """Return which files of code are not what they were; '' where that is not known."""
    names = [name for name in sorted({*code, *today}) if code.get(name) != today.get(name)] if code else []
    return some(names, 5, "files")


def _version(facts: Mapping[str, Any]) -> str:
    git = facts.get("git") or {}
    if "commit" not in git:
        return "not in git"
    return f"commit {short(git['commit'])}" + (" with uncommitted changes" if git.get("dirty") else "")


def _code_note(original: RunRecord, facts: Mapping[str, Any]) -> list[str]:
    """Say whether other code than today's can be had again; nothing where it is today's."""
    if original.run["code_fingerprint"] == facts["code_fingerprint"]:
        return []
    git = original.run.get("git") or {}
    if "commit" not in git:
        return ["the original's code is in no commit; today's trains"]
    if git.get("dirty") and not original.patch():
        return ["the original's uncommitted changes were not kept; today's code trains"]
    try:
        again = provenance.restored_fingerprint(git["commit"], original.patch())
    except UserError as error:
        return [f"the original's code cannot be had again: {error}; today's trains"]
    if again != original.run["code_fingerprint"]:
        return [f"commit {short(git['commit'])} is not all of the original's code; today's trains"]
    patch = " and git.patch from its archive" if original.patch() else ""
    return [f"today's code trains; commit {short(git['commit'])}{patch} would give the original's exactly"]


def _threads_note(original: RunRecord) -> list[str]:
    return [] if original.run.get("threads") else ["on how many threads the original computed is not known"]


def _meaning(found: Iterable[Difference]) -> str:
    """Say what the verdict will mean, given what differs."""
    kinds = {each.what.split()[0] for each in found}
    if kinds & {"parameter", "data", "split"}:
        return "so this is another experiment: the verdict tells how much that change matters"
    if kinds & {"code", "package", "python", "machine"}:
        return "so equal bits are not promised: a verdict other than bit-identical may come of what differs"
    return "nothing that matters differs: on a CPU, any verdict but bit-identical is a fault"


def _as_texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return values as texts, in which those that Comet gives and our own are comparable."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()
    }
