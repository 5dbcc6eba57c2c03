"""Programs that were compiled come back whole in the next process, and never cost a run."""

import os
import shutil
import sys
import tempfile

import keras
import pytest

from experiment.system import gpu, imports, xla_store
from experiment.training.programs import Program


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Begin a process of ours, as before TensorFlow's import; return the folder that it gets, if any."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(imports, "_waiting", True)
    monkeypatch.setattr(gpu, "NVIDIA_DEVICE", str(tmp_path / "no device"))
    monkeypatch.setattr(xla_store, "LEAST_FREE_BYTES", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def begin_one():
        monkeypatch.delenv(xla_store.FLAGS, raising=False)
        monkeypatch.setattr(xla_store, "_own", None)
        with monkeypatch.context() as patch:
            patch.delitem(sys.modules, "tensorflow")
            xla_store.use()
        return xla_store._own

    return begin_one


def test_what_one_process_compiled_the_next_one_finds(begin):
    first = begin()
    assert os.environ[xla_store.FLAGS].endswith(f"={first}")
    (first / "a.pb").write_bytes(b"program a")
    (first / "b.pb.tmp").write_bytes(b"half of a program")
    xla_store.keep()
    second = begin()
    assert {path.name: path.read_bytes() for path in second.iterdir()} == {"a.pb": b"program a"}
    xla_store.keep()
    assert len(list(second.parent.glob("*.pb.*"))) == 1


def test_a_damaged_program_is_not_given_to_tensorflow(begin):
    folder = begin()
    (folder / "a.pb").write_bytes(b"program a")
    xla_store.keep()
    next(folder.parent.glob("*.pb.*")).write_bytes(b"program")
    assert list(begin().iterdir()) == []


def test_the_oldest_programs_make_room(begin, monkeypatch):
    monkeypatch.setattr(xla_store, "MOST_BYTES", 25)
    folder = begin()
    for number in range(4):
        path = folder / f"{number}.pb"
        path.write_bytes(b"x" * 10)
        os.utime(path, (number, number))
    xla_store.keep()
    assert {path.name for path in begin().iterdir()} == {"2.pb", "3.pb"}


@pytest.mark.parametrize("reason", ["code of a user's", "a GPU", "no room"])
def test_the_store_is_left_alone_where_it_is_not_known_to_be_right(begin, tmp_path, monkeypatch, reason):
    if reason == "code of a user's":
        imports.take_optional()
    if reason == "a GPU":
        (tmp_path / "no device").touch()
    if reason == "no room":
        monkeypatch.setattr(xla_store, "LEAST_FREE_BYTES", 1 << 60)
    assert begin() is None
    assert xla_store.FLAGS not in os.environ
    xla_store.keep()
    assert not xla_store.forget()


def test_a_program_that_cannot_be_read_back_is_compiled_without_the_store(begin):
    folder = begin()
    (folder / "a.pb").write_bytes(b"of another TensorFlow")
    xla_store.keep()
    built: list[int] = []

    def build():
        built.append(len(built))

        def function(value):
            if any(folder.iterdir()):
                raise ValueError("Serialized HLO does not match.")
            return value + 1

        return function

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    program = Program(model, build)
    assert program(model, 1) == program(model, 1) == 2
    assert built == [0, 1]
    assert list(begin().iterdir()) == []


def test_a_folder_that_was_emptied_meanwhile_costs_no_run(begin):
    folder = begin()
    shutil.rmtree(folder.parent)

    def function(value):
        if not folder.is_dir():
            raise OSError("cannot be written")
        return value + 1

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert Program(model, lambda: function)(model, 1) == 2


def test_a_folder_that_cannot_be_written_to_is_exchanged_for_one_elsewhere(begin, tmp_path):
    folder = begin()

    def function(value):
        if folder.resolve().parent != tmp_path:
            (folder / "program.pb.tmp").touch()
            raise OSError("No space left on device")
        return value + 1

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert Program(model, lambda: function)(model, 1) == 2
    elsewhere = folder.resolve()
    (elsewhere / "program.pb").touch()
    xla_store.keep()
    assert not list(elsewhere.iterdir())
    begin()  # as this process goes on with a folder of its own, the one before is left
    assert not elsewhere.exists()
    assert not folder.is_symlink()


def test_without_room_elsewhere_a_torn_store_is_emptied_all_the_same(begin, monkeypatch):
    folder = begin()
    (folder / "a.pb").touch()
    monkeypatch.setattr(xla_store, "LEAST_ELSEWHERE_BYTES", 1 << 60)
    assert xla_store.forget()
    assert folder.is_dir()
    assert not list(folder.iterdir())


def test_a_link_is_followed_to_what_this_store_made_elsewhere_and_to_nothing_else(begin, tmp_path):
    store = begin().parent
    for name in ("precious", "keras-comet-xla-of-an-ended-process"):
        (tmp_path / name).mkdir()
        (store / f"process-{xla_store._here()}-9999{len(name):04}").symlink_to(tmp_path / name)
    (store / "process-0123abcd-7").symlink_to(tmp_path / "keras-comet-xla-gone-with-a-restart")
    assert begin()  # the store is in use all the same
    assert (tmp_path / "precious").is_dir()
    assert not (tmp_path / "keras-comet-xla-of-an-ended-process").exists()
    assert [path.name for path in store.iterdir() if path.is_symlink()] == ["process-0123abcd-7"]


def test_the_folders_of_processes_that_ended_are_removed_and_those_of_other_machines_stay(begin):
    store = begin().parent
    ended, elsewhere, long_ago = (
        store / f"process-{name}" for name in (f"{xla_store._here()}-99999999", "0123abcd-7", "0123abcd-8")
    )
    for folder in (ended, elsewhere, long_ago):
        folder.mkdir()
    os.utime(long_ago, (0, 0))
    begin()
    assert [folder.exists() for folder in (ended, elsewhere, long_ago)] == [False, True, False]


def test_a_function_that_cannot_be_compiled_says_so(begin):
    begin()
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ZeroDivisionError):
        Program(model, lambda: lambda: 1 / 0)(model)


def test_flags_that_somebody_has_set_stay(begin, monkeypatch):
    monkeypatch.setattr(xla_store, "FLAGS", "HOME")  # a variable that is set
    home = os.environ["HOME"]
    monkeypatch.setattr(xla_store, "_own", None)
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "tensorflow")
        xla_store.use()
    assert xla_store._own is None
    assert os.environ["HOME"] == home
