"""The stand-in's Artifacts and notifications, as far as the SDK 3.58 asks for them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

NOT_FOUND, NOT_FINAL = 624523, 90403


@dataclasses.dataclass
class Version:
    """A version of an artifact: what ``upsert`` was sent, the files that came, and which runs used it."""

    name: str
    kind: str
    aliases: list[str]
    metadata: dict[str, Any]
    producer: str
    number: int
    files: dict[str, Any] = dataclasses.field(default_factory=dict)
    users: list[str] = dataclasses.field(default_factory=list)
    state: str = "OPEN"


def _upsert(server: Any, _: Any, body: dict[str, Any], *__: Any) -> tuple[int, Any]:
    known = [each for each in server.artifacts if each.name == body["artifactName"]]
    made = Version(
        *(body["artifactName"], body["artifactType"], body["alias"]),
        *(json.loads(body["versionMetadata"]), body["experimentKey"], len(known) + 1),
    )
    server.artifacts.append(made)
    return 200, {
        "artifactId": made.name,
        "artifactVersionId": str(server.artifacts.index(made)),
        "currentVersion": f"{made.number}.0.0",
        "previousVersion": f"{made.number - 1}.0.0" if known else None,
    }


def _read(server: Any, _: Any, __: Any, query: dict[str, str], *___: Any) -> tuple[int, Any]:
    if "versionId" in query:
        found = [server.artifacts[int(query["versionId"])]]
    else:
        wanted = (query["artifactName"], query["versionOrAlias"])
        found = [each for each in server.artifacts if each.name == wanted[0] and wanted[1] in each.aliases]
        if not found:
            return 400, {"msg": "no such artifact", "sdk_error_code": NOT_FOUND}
        if found[-1].state != "CLOSED":
            return 400, {"msg": "it is open", "sdk_error_code": NOT_FINAL}
    version = found[-1]
    if user := query.get("consumerExperimentKey"):
        version.users.append(user)
    return 200, {
        "artifact": {
            "artifactName": version.name,
            "artifactId": version.name,
            "artifactType": version.kind,
            "tags": [],
            "workspaceName": "own",
        },
        "artifactVersion": f"{version.number}.0.0",
        "artifactVersionId": str(server.artifacts.index(version)),
        "alias": version.aliases,
        "metadata": json.dumps(version.metadata),
        "sizeInBytes": 0,
        "tags": [],
        "experimentKey": version.producer,
    }


def _state(server: Any, _: Any, body: dict[str, Any], *__: Any) -> tuple[int, Any]:
    server.artifacts[int(body["artifactVersionId"])].state = body["state"]
    return 200, {}


def _references(server: Any, _: Any, body: dict[str, Any], *__: Any) -> tuple[int, Any]:
    server.references.append(body)
    return 200, {}


def _notify(server: Any, _: Any, body: dict[str, Any], *__: Any) -> tuple[int, Any]:
    server.notifications.append(body)
    return 200, {}


ANSWERS: dict[str, Any] = {
    "write/artifacts/upsert": _upsert,
    "write/artifacts/state": _state,
    "write/artifact/assets/remote/batch": _references,
    "artifacts/version": _read,
    "notification/experiment": _notify,
}
