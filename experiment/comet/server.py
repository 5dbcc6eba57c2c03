"""Comet's server: the one client of its API, under its rate limits and with its errors in sentences."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from experiment.comet import settings
from experiment.errors import UserError
from experiment.system import streams

# Comet allows an API key 15,000 requests an hour:
# comet.com/docs/v2/guides/experiment-management/limits-and-performance
FREE_REQUESTS = 5000
REQUESTS_PER_SECOND = 2.5  # after those, so that an hour never has more than 14,000
# 60 s where a refusal does not say how long to wait, as the SDK itself does.
RETRIES, RETRY_SECONDS = 5, 60.0


class Server:
    """Comet's API, asked no faster than it allows; what goes wrong is one sentence without the API key.

    Args:
        place: what is asked for, as sentences name it: WORKSPACE/PROJECT, or a run's key.

    Raises:
        UserError: there is no API key, or the server's address is none.
    """

    def __init__(self, place: str) -> None:
        key = settings.api_key()
        if not key:
            raise UserError(
                f"to look for '{place}' in Comet an API key is needed and none is set: put COMET_API_KEY=… "
                "into .env (see .env.example)"
            )
        self.place = place
        self._requests = 0
        settings.server_address()
        # Without the SDK's cache, which would answer from before an upload.
        self.api = self.ask(lambda: settings.import_comet().API(api_key=key, cache=False))

    def find(self, key: str) -> Any:
        """Return the API's experiment of a key, None where Comet has none.

        Raises:
            UserError: as ``ask``.
        """
        return self.ask(lambda: self.api.get_experiment_by_key(key))

    def ask(self, function: Callable[[], Any]) -> Any:
        """Return what a function that makes one request returns; a throttled one is repeated.

        Raises:
            UserError: the key or the place is refused, or Comet does not answer.
        """
        for _ in range(RETRIES):
            self._requests += 1
            if self._requests > FREE_REQUESTS:
                time.sleep(1 / REQUESTS_PER_SECOND)
            try:
                return function()
            except Exception as error:  # the SDK raises its own, requests' and everett's errors alike
                response = getattr(error, "response", None)
                if getattr(response, "status_code", None) != 429:
                    raise UserError(self._sentence(error)) from None
                self._wait(response)
        raise UserError("Comet goes on refusing requests for their rate: try again in an hour")

    def _wait(self, response: Any) -> None:
        headers = response.headers
        wanted = headers.get("Retry-After") or headers.get("Retry-After-Custom") or ""
        # Nobody waits for a header of hours without being told; after ten minutes it is asked again.
        seconds = min(float(wanted), 600.0) if wanted.isdigit() else RETRY_SECONDS
        streams.tell(f"Comet asks to wait {seconds:.0f} s")
        time.sleep(seconds)

    def _sentence(self, error: Exception) -> str:
        kind, status = type(error).__name__, getattr(getattr(error, "response", None), "status_code", None)
        if "APIKey" in kind or kind == "Unauthorized" or status in (401, 403):
            return f"Comet refuses the API key, or it may not read '{self.place}' ({kind})"
        if status in (400, 404) or kind == "AttributeError":  # the SDK's own, at an empty answer
            return f"Comet has no '{self.place}' for this API key ({kind})"
        return f"Comet cannot be read ({kind})"
