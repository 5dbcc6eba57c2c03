"""``.env``, Comet's own files and the server's address: one sentence for what is wrong, never the value."""

import os

import pytest

from experiment.comet import session
from experiment.system import environment
from tests.support.comet_server import CometServer
from tests.support.processes import ROOT, run_python, run_train

SECRET = "abcdefghij0123456789xyz"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    """Let what is read into the environment end with the test."""
    monkeypatch.setattr(os, "environ", dict(os.environ) | {"HOME": str(tmp_path)})
    environment.read_environment.cache_clear()
    yield
    environment.read_environment.cache_clear()


DOTENV = {
    "of Windows' shell": (f"set COMET_API_KEY={SECRET}\n", 1),
    "of YAML": (f"# mine\n\nCOMET_API_KEY: {SECRET}\n", 3),
    "of YAML without a space": (f"A=1\nCOMET_API_KEY:{SECRET}\n", 2),
    "of JSON": (f'{{"COMET_API_KEY": "{SECRET}"}}', 1),
    "of an open quote": (f"A=1\n\nCOMET_API_KEY='{SECRET}\n", 3),
    "of git's conflicts": (f"<<<<<<< HEAD\nCOMET_API_KEY={SECRET}\n", 1),
    "in UTF-16": (f"COMET_API_KEY={SECRET}\n".encode("utf-16"), 1),
    "in UTF-16 without its mark": (f"COMET_API_KEY={SECRET}\n".encode("utf-16-le"), 1),
    "in Latin-1": (f"A=1\nCOMET_API_KEY={SECRET}é\n".encode("latin-1"), 2),
}
COMET = {
    "not closed": (f"[comet\napi_key={SECRET}\n", ", line 1: "),
    "without equals sign": (f"[comet]\napi_key {SECRET}\n", ", line 2: "),
    "said twice": (f"[comet]\napi_key={SECRET}\napi_key=b\n", ", line 3: "),
    "with a reference to nothing": (f"[comet]\napi_key={SECRET}%(x)s\n", ": not understood"),
    "without its section": (f"api_key={SECRET}\n", r"settings stand below a line \[comet\]"),
    "in UTF-16": (f"[comet]\napi_key={SECRET}\n".encode("utf-16"), ", line 1: not text in UTF-8"),
}


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("name", DOTENV)
def test_a_line_of_dotenv_that_is_not_understood_is_named_by_file_and_line(name, tmp_path):
    content, line = DOTENV[name]
    write(tmp_path / ".env", content)
    with pytest.raises(ValueError, match=rf"{tmp_path}/\.env, line {line}: not ") as caught:
        environment.read_environment()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", COMET)
@pytest.mark.parametrize("place", [".comet.config", "elsewhere.config"])
def test_a_file_of_comet_that_is_not_understood_is_named(name, place, tmp_path):
    content, message = COMET[name]
    write(tmp_path / place, content)
    os.environ["COMET_CONFIG"] = place
    with pytest.raises(ValueError, match=rf"{place}.*{message}") as caught:
        environment.read_environment()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("file", [".env", ".comet.config"])
def test_a_file_that_cannot_be_read_is_named(file, tmp_path):
    (tmp_path / file).symlink_to("/proc/self/mem")
    with pytest.raises(ValueError, match=rf"{file} cannot be read: Input/output error"):
        environment.read_environment()


def test_a_folder_in_the_place_of_comets_file_is_named(tmp_path):
    (tmp_path / ".comet.config").mkdir()
    with pytest.raises(ValueError, match=r"\.comet\.config is a folder"):
        environment.read_environment()


def test_a_named_file_of_comet_that_is_not_there_is_refused():
    os.environ["COMET_CONFIG"] = "nowhere"
    with pytest.raises(ValueError, match="COMET_CONFIG: there is no nowhere"):
        environment.read_environment()


def test_a_virtual_environment_called_dotenv_is_no_file_of_settings(tmp_path):
    (tmp_path / ".env").mkdir()
    environment.read_environment()


def test_dotenv_is_read_as_dotenv_means_it(tmp_path):
    text = (
        "\ufeff# mine\r\nexport COMET_API_KEY = 'a b'  # key\r\nPASSED_ON\r\nTEXT=\"two\nlines\"\nHOME=/x\n"
    )
    write(tmp_path / ".env", text)
    home = os.environ["HOME"]
    environment.read_environment()
    assert (os.environ["COMET_API_KEY"], os.environ["TEXT"]) == ("a b", "two\nlines")
    assert os.environ["HOME"] == home


def test_the_sdk_starts_beside_a_dotenv_that_only_dotenv_understands(tmp_path):
    write(tmp_path / ".env", 'export COMET_WORKSPACE="mine"\nTEXT="two\nlines"\n')
    script = "from experiment.comet import session; print(session.destination('n', [], None, None).workspace)"
    done = run_python("-c", script, cwd=tmp_path)
    assert done.stdout == "mine\n", done.stderr


@pytest.mark.parametrize("name", ["COMET_TIMEOUT_HTTP", "COMET_AUTO_LOG_DISABLE"])
def test_a_setting_of_comet_of_the_wrong_type_is_named_without_its_value(name, tmp_path):
    done = run_train("--mode", "offline", cwd=tmp_path, **{name: SECRET})
    assert done.returncode == 2
    assert f"{name} is set to a value of the wrong type" in done.stderr
    assert SECRET not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        (ROOT / "train.py", ["--rerun", "x"]),
        (ROOT / "train.py", ["--sweep", "tutorial"]),
        (ROOT / "train.py", []),
        ("-m", ["experiment", "upload", "--all"]),
        ("-m", ["experiment", "compare", "--online", "a/b"]),
    ],
)
def test_every_command_that_reads_dotenv_says_what_is_wrong_with_it(program, arguments, tmp_path):
    write(tmp_path / ".env", f"set COMET_API_KEY={SECRET}\n")
    done = run_python(program, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: " in done.stderr
    assert f"{tmp_path}/.env, line 1: not understood" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert SECRET not in done.stderr
    assert os.listdir(tmp_path) == [".env"]


NO_ADDRESSES = {
    "comet.example.org/clientlib/": "https://comet.example.org/clientlib/",
    "localhost:8080": "https://localhost:8080",
    "me:password@comet.example.org/": "https://comet.example.org/",
    "ftp://comet.example.org/": "https://HOST/clientlib/",
    "https:///clientlib/": "https://HOST/clientlib/",
    "http://comet.example.org:port/": "https://HOST/clientlib/",
    "http://[::1/": "https://HOST/clientlib/",
}


@pytest.mark.parametrize("address", NO_ADDRESSES)
@pytest.mark.parametrize("mode", ["auto", "online"])
def test_an_address_that_is_no_url_is_refused_with_one_that_would_do(address, mode):
    os.environ |= {"COMET_API_KEY": SECRET, "COMET_URL_OVERRIDE": address}
    with pytest.raises(ValueError, match="COMET_URL_OVERRIDE = '.*' is no URL of a server") as caught:
        session.resolve_mode(mode)
    assert str(caught.value).endswith(f"such as {NO_ADDRESSES[address]}")
    assert "password" not in str(caught.value)
    assert session.resolve_mode("offline") == "offline"


@pytest.mark.parametrize("file", [".env", ".comet.config"])
def test_an_address_from_a_file_is_checked_before_anything_is_written(file, tmp_path):
    lines = {
        ".env": f"COMET_API_KEY={SECRET}\nCOMET_URL_OVERRIDE=comet.example.org\n",
        ".comet.config": f"[comet]\napi_key={SECRET}\nurl_override=comet.example.org\n",
    }
    write(tmp_path / file, lines[file])
    done = run_train(cwd=tmp_path)
    assert done.returncode == 2
    assert "COMET_URL_OVERRIDE = 'comet.example.org' is no URL" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_an_address_without_its_last_slash_is_the_same_server(tmp_path):
    with CometServer() as server:
        address = server.environment()["COMET_URL_OVERRIDE"].rstrip("/")
        os.environ |= server.environment() | {"COMET_URL_OVERRIDE": address}
        where = session.destination("a run", [], None, None)
        notices: list[str] = []
        tracker = session.start_experiment("online", session.new_key(), where, tmp_path, notices.append)
        tracker.end()
    assert (tracker.mode, notices) == ("online", [])


def test_an_api_key_that_was_cut_is_named():
    os.environ["COMET_API_KEY"] = f"{SECRET}*eyJi"
    with pytest.raises(ValueError, match="COMET_API_KEY is damaged") as caught:
        session.resolve_mode("auto")
    assert SECRET not in str(caught.value)
