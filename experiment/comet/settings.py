"""What Comet's SDK is configured with: its import with our settings, the API key, the server's address."""

from __future__ import annotations

import functools
import os
import re
import urllib.parse
from typing import Any

from experiment.errors import UserError
from experiment.system import imports
from experiment.system.environment import comet_files, read_environment

# Read by the SDK when it's imported. Its automatic logging sends 315 parameter messages beside 9 real ones,
# and its error tracking opens connections of its own.
_SWITCHES = {
    "COMET_DISABLE_AUTO_LOGGING": "1",
    "COMET_ERROR_TRACKING_ENABLE": "false",
    "COMET_INTERNAL_REPORTING": "false",
    "COMET_DISABLE_ANNOUNCEMENT": "1",
    # On the console it prints a refused API key in clear; its warnings become notices instead.
    "COMET_LOGGING_CONSOLE": "CRITICAL",
    "COMET_LOGGING_PARAMETERS_IGNORE": "keras:verbose,keras:do_validation,keras:validation_steps,"
    "comet:curr_step,comet:curr_epoch",
    # Without it, four kinds of network trouble lose the whole run while the exit code stays 0.
    "COMET_FALLBACK_STREAMER_KEEP_OFFLINE_ZIP": "1",
}
# The SDK's defaults wait up to 257 s for a server that never answers.
_IMPATIENCE = {
    "COMET_HTTP_SESSION_RETRY_TOTAL": "2",
    "COMET_HTTP_SESSION_RETRY_BACKOFF_FACTOR": "1",
    "COMET_GET_OR_ADD_EXPERIMENT_RETRY_TOTAL": "1",
    "COMET_TIMEOUT_HTTP": "5",
    "COMET_TIMEOUT_API": "5",
    "COMET_TIMEOUT_CLEANING": "20",
    "COMET_TIMEOUT_UPLOAD": "20",
    "COMET_TIMEOUT_FILE_UPLOAD": "20",
}
# What the SDK imports for those who log figures as objects.
_OPTIONAL = ("matplotlib.axes", "plotly")


def import_comet() -> Any:
    """Import the SDK with its automatic logging off and its patience bounded.

    Raises:
        UserError: what it is configured with cannot be read.
    """
    read_environment()
    # At each call: the SDK reads some of them when a run starts, and a program may have changed them since.
    os.environ.update(_SWITCHES)
    for name, value in _IMPATIENCE.items():
        os.environ.setdefault(name, value)
    return _imported()


@functools.cache
def _imported() -> Any:
    from everett import InvalidValueError

    try:
        with imports.quickly(*_OPTIONAL):
            import comet_ml

        config = comet_ml.config.get_config()
        # Reading a value converts it: a wrong one is found now, not in the middle of a run.
        for name in config.keys():  # noqa: SIM118, it is no mapping
            config[name]
    except InvalidValueError as error:  # its message quotes the value
        name = "_".join([*(error.namespace or []), error.key]).upper()
        raise UserError(f"{name} is set to a value of the wrong type: see Comet's documentation") from None
    return comet_ml


def api_key() -> str | None:
    """Return the configured API key: environment, ``.env`` or ``~/.comet.config``, as the SDK reads them."""
    if os.environ.get("COMET_API_KEY"):
        return os.environ["COMET_API_KEY"]
    return import_comet().config.get_config()["comet.api_key"] or None


def api_key_if_any() -> str | None:
    """Return what ``api_key`` does, without the SDK's import, a second, where nothing configures a key."""
    read_environment()
    return api_key() if os.environ.get("COMET_API_KEY") or comet_files() else None


def server_address() -> str:
    """Return the URL of Comet's server as the SDK is configured with it, with a slash at its end.

    Raises:
        UserError: it is no URL, or the API key is damaged.
    """
    config = import_comet().config
    _check_address(str(config.get_comet_url_override(None)).strip())
    try:
        config.get_api_key(None, config.get_config())  # an installation's key may name its server
        return config.get_backend_address()
    except Exception as error:  # what follows the key's asterisk is neither base64 nor JSON
        raise UserError(
            f"COMET_API_KEY is damaged ({type(error).__name__}): copy it from Comet again"
        ) from None


def _check_address(given: str) -> None:
    try:
        parts = urllib.parse.urlsplit(given)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return
    except ValueError:  # a port that is no number, or half an IPv6 address
        pass
    shown = given.rpartition("@")[2]  # without name and password
    likely = f"https://{shown}" if re.match(r"[\w.-]+(:\d+)?(/|$)", shown) else "https://HOST/clientlib/"
    raise UserError(f"COMET_URL_OVERRIDE = '{shown}' is no URL of a server: give one such as {likely}")
