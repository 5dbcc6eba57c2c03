"""The stand-in's model registry, as far as the SDK 3.58 asks for one; newest versions first."""

from __future__ import annotations

import dataclasses
from typing import Any

STATUSES = ["None", "Development", "QA", "Production"]


@dataclasses.dataclass
class Version:
    """A version of a registered model: what ``item/create`` was sent."""

    workspace: str
    name: str
    version: str
    experiment: str
    model: str
    tags: list[str]
    status: str | None

    def told(self) -> dict[str, Any]:
        """Return what the registry's answers say of it."""
        return {
            "registryModelItemId": f"{self.workspace}/{self.name}/{self.version}",
            "experimentKey": self.experiment,
            "version": self.version,
            "tags": self.tags,
            "status": self.status,
        }


def _assets(run: Any, model: str) -> list[dict[str, Any]]:
    return [asset for asset in run.assets if asset.get("groupingName") == model]


def _models(_: Any, run: Any, *__: Any) -> tuple[int, Any]:
    names = dict.fromkeys(asset["groupingName"] for asset in run.assets if asset.get("groupingName"))
    return 200, {"models": [{"modelName": name, "experimentModelId": name} for name in names]}


def _create(server: Any, run: Any, body: dict[str, Any], *_: Any) -> tuple[int, Any]:
    workspace = run.workspace or "own"
    made = Version(
        *(workspace, body["registryModelName"], body["version"], body["experimentKey"]),
        *(body["experimentModelName"], body["tags"] or [], body["status"]),
    )
    if not _assets(run, made.model):
        return 400, {"msg": "no such model"}
    if any((each.name, each.version) == (made.name, made.version) for each in server.registry):
        return 400, {"msg": "the version exists"}
    server.registry.insert(0, made)
    return 200, {"registryModelId": made.name, "registryModelItemId": made.told()["registryModelItemId"]}


def _found(server: Any, query: dict[str, str]) -> list[Version]:
    wanted = (query["workspaceName"], query.get("modelName"))
    return [
        each
        for each in server.registry
        if (each.workspace, each.name if wanted[1] else None) == wanted
        and query.get("version", each.version) == each.version
        and (not query.get("tag") or query["tag"] in each.tags)
    ]


def _names(server: Any, _: Any, __: Any, query: dict[str, str], *___: Any) -> tuple[int, Any]:
    names = dict.fromkeys(each.name for each in _found(server, query))
    return 200, {"registryModels": [{"modelName": name} for name in names]}


def _versions(field: str) -> Any:
    def answer(server: Any, _: Any, __: Any, query: dict[str, str], *___: Any) -> tuple[int, Any]:
        known = _found(server, {name: query[name] for name in ("workspaceName", "modelName")})
        if not known:
            return 400, {"msg": "no such model"}
        told = [each.told() for each in _found(server, query)]
        return 200, {"registryModelId": query["modelName"], "modelName": query["modelName"], field: told}

    return answer


def _details(server: Any, _: Any, __: Any, query: dict[str, str], *___: Any) -> tuple[int, Any]:
    found = _found(server, query)
    return (200, found[0].told()) if found else (400, {"msg": "no such version"})


def _instructions(server: Any, _: Any, __: Any, query: dict[str, str], *___: Any) -> tuple[int, Any]:
    (version,) = _found(server, query)
    assets = [
        {
            "assetId": asset["assetId"],
            "fileName": asset["fileName"],
            "fileSize": len(asset["content"]),
            "type": asset["type"],
            "metadata": None,
            "link": f"http://comet.invalid/asset?experimentKey={version.experiment}",
        }
        for asset in _assets(server.runs[version.experiment], version.model)
    ]
    return 200, {"s3DownloadEnabled": False, "versions": [{"assets": assets}]}


def _allowed(*_: Any) -> tuple[int, Any]:
    return 200, {"allowedStatus": STATUSES}


ANSWERS: dict[str, Any] = {
    "write/registry-model/item/create": _create,
    "registry-model/item/download-instructions": _instructions,
    "registry-model/item/details": _details,
    "registry-model/items": _versions("items"),
    "registry-model/compact-details": _versions("items"),
    "registry-model/details": _versions("versions"),
    "registry-model/allowed_status_values": _allowed,
    "registry-model": _names,
    "experiment/model": _models,
}
