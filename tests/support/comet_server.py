"""A stand-in for Comet's REST backend on the loopback interface, as far as the SDK 3.58 needs one.

It keeps what it is sent and repeats nothing: a point that arrives twice is there twice.
"""

from __future__ import annotations

import dataclasses
import email
import email.policy
import gzip
import json
import sys
import threading
import time
import urllib.parse
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from experiment.store.archive_format import archived_messages
from tests.support import comet_artifacts, comet_registry

API_KEY = "standInKey0123456789ABCDE"
BAD_KEY, UNKNOWN_RUN, RUN_EXISTS = 90212, 90210, 90999


@dataclasses.dataclass
class Run:
    """What arrived for one experiment key."""

    workspace: str | None
    project: str | None
    parameters: dict[str, Any] = dataclasses.field(default_factory=dict)
    parameter_messages: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    metrics: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    others: dict[str, Any] = dataclasses.field(default_factory=dict)
    tags: list[str] = dataclasses.field(default_factory=list)
    assets: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    output: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    graph: str | None = None
    system: dict[str, Any] = dataclasses.field(default_factory=dict)


def as_uploaded(archive: Path, tags: Sequence[str] = ()) -> Run:
    """Return what the server has after an upload of an archive without files."""
    there = Run("own", "p", tags=list(tags))
    for message in archived_messages(archive):
        payload = message["payload"]
        if message["type"] == "metric_msg":
            there.metrics.append(payload["metric"] | {"context": payload.get("context")})
        elif message["type"] == "parameter_msg":
            there.parameters[payload["param"]["paramName"]] = payload["param"]["paramValue"]
        else:
            there.others[payload["key"]] = payload["value"]
    return there


class CometServer:
    """Serves while it is a context.

    ``fault`` is what befalls the calls whose name holds a part of ``faulty``: an HTTP status, 'hang' (no
    answer while the fault lasts) or 'drop' (the connection is closed). ``faulty = ("",)`` means all calls.
    """

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.registry: list[comet_registry.Version] = []
        self.artifacts: list[comet_artifacts.Version] = []
        self.references: list[dict[str, Any]] = []
        self.notifications: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.fault: int | str | None = None
        self.faulty: tuple[str, ...] = ("batch", "upload")
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # an answer in two packets costs 40 ms of delayed acknowledgement

            def do_GET(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                self._serve()

            def do_PUT(self) -> None:
                self._serve()

            def _serve(self) -> None:
                url = urllib.parse.urlsplit(self.path)
                query = {name: values[0] for name, values in urllib.parse.parse_qs(url.query).items()}
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.headers.get("Content-Encoding") == "gzip":
                    content = gzip.decompress(content)
                kind = self.headers.get("Content-Type", "")
                key = self.headers.get("Authorization")
                if server.is_faulty(url.path) and not isinstance(server.fault, int):
                    while server.fault == "hang":
                        time.sleep(0.05)
                    self.close_connection = True
                    return
                status, answer = server.answer(url.path, query, content, kind, key)
                binary = isinstance(answer, bytes)
                body = answer if binary else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-binary" if binary else "application/json")
                self.send_header("Content-Length", str(len(body)))
                if status == 429:
                    self.send_header("Retry-After-Custom", "1")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True

    def __enter__(self) -> CometServer:
        if (
            "comet_ml.api" in sys.modules
        ):  # the SDK keeps a client a key, and with it another server's address
            sys.modules["comet_ml.api"].get_instance.cache_clear()
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.fault = None
        self._http.shutdown()
        self._http.server_close()

    def environment(self) -> dict[str, str]:
        """Return the variables that point the SDK here."""
        url = f"http://127.0.0.1:{self._http.server_address[1]}/clientlib/"
        return {"COMET_URL_OVERRIDE": url, "COMET_API_KEY": API_KEY, "COMET_WORKSPACE": "tests"}

    def is_faulty(self, path: str) -> bool:
        """Tell whether the present fault befalls a call."""
        return self.fault is not None and any(part in path for part in self.faulty)

    def answer(
        self, path: str, query: dict[str, str], content: bytes, kind: str, key: str | None
    ) -> tuple[int, Any]:
        """Return status and JSON for a call."""
        name = path.removeprefix("/clientlib/").removeprefix("/api/rest/v2/").removeprefix("rest/v2/")
        self.requests.append(name)
        if isinstance(self.fault, int) and self.is_faulty(path):
            return self.fault, {"msg": "fault"}
        if name == "isAlive/ver":
            return 200, {"version": "5.0.0"}
        body = json.loads(content) if kind.startswith("application/json") and content else {}
        if (key or body.get("apiKey")) != API_KEY and name != "health/ping":
            status = 401 if path.startswith("/api/") else 400
            return status, {"msg": "bad key", "sdk_error_code": BAD_KEY}
        run = self.runs.get(
            body.get("experimentKey") or query.get("experimentId") or query.get("experimentKey") or ""
        )
        for part, answer in _ANSWERS.items():
            if part in name:
                return answer(self, run, body, query, content, kind)
        return 200, {}

    def start(self, run: Run | None, body: dict[str, Any], *_: Any) -> tuple[int, Any]:
        """Create an experiment, once."""
        if run:
            return 400, {"msg": "the experiment exists", "sdk_error_code": RUN_EXISTS}
        self.runs[body["experimentKey"]] = Run(body.get("teamName"), body.get("projectName"))
        return 200, _handshake(body["experimentKey"])

    def resume(self, _: Run | None, body: dict[str, Any], *__: Any) -> tuple[int, Any]:
        """Go on with an experiment that is there."""
        if body["previousExperiment"] not in self.runs:
            return 400, {"msg": "no such experiment", "sdk_error_code": UNKNOWN_RUN}
        return 200, _handshake(body["previousExperiment"])


def _handshake(key: str) -> dict[str, Any]:
    return {
        "runId": "run",
        "project_id": "project",
        "focusUrl": f"https://comet.invalid/{key}",
        "lastOffset": 0,
        "s3DirectAccessEnabled": False,
        "featureToggles": [],
    }


def _metadata(_: Any, run: Run | None, __: Any, query: dict[str, str], *___: Any) -> tuple[int, Any]:
    if run is None:
        return 400, {"msg": "no such experiment", "sdk_error_code": UNKNOWN_RUN}
    return 200, _described(query["experimentKey"], run)


def _described(key: str, run: Run) -> dict[str, Any]:
    return {
        "experimentKey": key,
        "experimentName": run.others.get("Name"),
        "workspaceName": run.workspace or "own",  # what the server takes where none is asked for
        "projectName": run.project,
        "projectId": "project",
        "running": True,
        "hasCrashed": False,
        "throttle": False,
        "archived": False,
        "startTimeMillis": 1_700_000_000_000,
        "endTimeMillis": None,
    }


def _list(
    server: CometServer, _: Run | None, __: dict[str, Any], query: dict[str, str], *___: Any
) -> tuple[int, Any]:
    """List a project's experiments; of many, the page that was asked for."""
    place = (query["workspaceName"], query["projectName"])
    found = [
        _described(key, run) for key, run in server.runs.items() if (run.workspace, run.project) == place
    ]
    if not found:
        return 400, {"msg": "no such project"}
    first = (int(query["page"]) - 1) * int(query["size"]) if "page" in query else 0
    return 200, {"experiments": found[first : first + int(query.get("size", len(found)))]}


def _metrics(_: Any, run: Run, body: dict[str, Any], *__: Any) -> tuple[int, Any]:
    run.metrics += body["values"]
    return 200, {}


def _parameters(_: Any, run: Run, body: dict[str, Any], *__: Any) -> tuple[int, Any]:
    run.parameter_messages += body["values"]
    run.parameters |= {value["parameterName"]: value["parameterValue"] for value in body["values"]}
    return 200, {}


def _other(_: Any, run: Run, body: dict[str, Any], *__: Any) -> tuple[int, Any]:
    run.others[body["key"]] = body["value"]
    return 200, {}


def _tags(_: Any, run: Run, body: dict[str, Any], *__: Any) -> tuple[int, Any]:
    run.tags = list(dict.fromkeys(run.tags + body["addedTags"]))
    return 200, {}


def _delete_tags(_: Any, run: Run, body: dict[str, Any], *__: Any) -> tuple[int, Any]:
    run.tags = [tag for tag in run.tags if tag not in body["tags"]]
    return 200, {}


def _output(_: Any, run: Run, body: dict[str, Any], *__: Any) -> tuple[int, Any]:
    run.output += body["outputLines"]
    return 200, {}


def _read_output(_: Any, run: Run, *__: Any) -> tuple[int, Any]:
    return 200, {"output": "".join(line["output"] for line in run.output)}


def _graph(_: Any, run: Run, body: dict[str, Any], *__: Any) -> tuple[int, Any]:
    run.graph = body.get("graph")
    return 200, {}


def _system(_: Any, run: Run, body: dict[str, Any], *__: Any) -> tuple[int, Any]:
    run.system |= body
    return 200, {}


def _read_system(_: Any, run: Run, *__: Any) -> tuple[int, Any]:
    return 200, run.system


def _asset(
    server: CometServer, run: Run, body: dict[str, Any], query: dict[str, str], content: bytes, kind: str
) -> tuple[int, Any]:
    header = f"Content-Type: {kind}\r\n\r\n".encode()
    message = email.message_from_bytes(header + content, policy=email.policy.HTTP)
    files = [
        part.get_payload(decode=True)
        for part in message.iter_parts()
        if part.get_param("name", header="content-disposition") == "file"
    ]
    if "artifactVersionId" in query:
        server.artifacts[int(query["artifactVersionId"])].files[query["fileName"]] = files[0]
        return 200, {"assetId": query["assetId"]}
    if query.get("overwrite", "").lower() == "true":
        named = {name: query.get(name) for name in ("type", "fileName", "figName")}
        run.assets = [each for each in run.assets if {name: each.get(name) for name in named} != named]
    run.assets.append(query | {"content": files[0]})
    return 200, {"assetId": query.get("assetId") or query.get("imageId")}


def _status(*_: Any) -> tuple[int, Any]:
    return 200, {
        "is_alive_beat_duration_millis": 10000,
        "gpu_monitor_interval_millis": 60000,
        "cpu_monitor_interval_millis": 60000,
        "parameter_update_interval_millis": 1000,
        "pending_rpcs": False,
    }


def _read_values(field: str) -> Any:
    def answer(_: Any, run: Run, *__: Any) -> tuple[int, Any]:
        values = [{"name": name, "valueCurrent": str(value)} for name, value in getattr(run, field).items()]
        return 200, {"values": values}

    return answer


def _read_metrics(_: Any, run: Run, *__: Any) -> tuple[int, Any]:
    return 200, {
        "metrics": [
            {
                "metricName": f"{m['context']}_{m['metricName']}" if m.get("context") else m["metricName"],
                "metricValue": str(m["metricValue"]),
                "step": m.get("step"),
                "epoch": m.get("epoch"),
                "runContext": m.get("context"),
                "timestamp": m.get("timestamp"),
            }
            for m in run.metrics
        ]
    }


def _read_assets(_: Any, run: Run, *__: Any) -> tuple[int, Any]:
    return 200, {
        "assets": [
            {
                "assetId": asset.get("assetId") or asset["imageId"],
                "fileName": asset.get("fileName") or asset.get("figName"),
                "fileSize": len(asset["content"]),
                "type": asset.get("type", "image"),
            }
            for asset in run.assets
        ]
    }


def _read_tags(_: Any, run: Run, *__: Any) -> tuple[int, Any]:
    return 200, {"tags": run.tags}


def _read_asset(_: Any, run: Run, __: Any, query: dict[str, str], *___: Any) -> tuple[int, Any]:
    wanted = query["assetId"]
    content = [a["content"] for a in run.assets if wanted in (a.get("assetId"), a.get("imageId"))]
    return (200, content[0]) if content else (404, {"msg": "no such asset"})


# The first whose name occurs in the call's answers it: writing before reading.
_ANSWERS: dict[str, Any] = {
    **comet_registry.ANSWERS,
    **comet_artifacts.ANSWERS,
    "experiment/metadata": _metadata,
    "logger/add/run": CometServer.start,
    "logger/get/run": CometServer.resume,
    "batch/logger/experiment/metric": _metrics,
    "batch/logger/experiment/parameter": _parameters,
    "write/experiment/log-other": _other,
    "write/experiment/tags/delete": _delete_tags,
    "write/experiment/tags": _tags,
    "write/experiment/graph": _graph,
    "write/experiment/output": _output,
    "experiment/output": _read_output,
    "write/experiment/system-details": _system,
    "experiment/system-details": _read_system,
    "experiment/parameters": _read_values("parameters"),
    "experiment/log-other": _read_values("others"),
    "experiment/metrics/get-all": _read_metrics,
    "experiment/asset/list": _read_assets,
    "experiment/asset/get-asset": _read_asset,
    "experiment/tags": _read_tags,
    "experiments": _list,
    "tags/add-tags": _tags,
    "asset/upload": _asset,
    "visualizations/upload": _asset,
    "status-report/update": _status,
}
