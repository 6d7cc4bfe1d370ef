"""How much containers have written to the engine's disk: their own layer and their volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engines.cre.runtimes.base import (
    LABEL_DEPLOYMENT,
    LABEL_DISK,
    LABEL_INSTANCE,
    Overfull,
    fence_of,
)
from engines.cre.runtimes.container_config import MIB


def overfull(api: Any, deployment: str) -> list[Overfull]:
    """The deployment's running containers that have written as much as they may, or more.

    One request for all of them. The engine counts the files of each container's layer for it;
    volumes, which that leaves out, are asked for only where an image has any.
    """
    wanted = {"label": [f"{LABEL_DEPLOYMENT}={deployment}", LABEL_DISK]}
    rows = [
        row
        for row in api.containers(size=True, filters=wanted)
        if int(row["Labels"][LABEL_DISK]) > 0
    ]
    on_volumes = _volume_sizes(api.df) if any(map(_volumes, rows)) else {}
    found = (_measured(row, on_volumes) for row in rows)
    return [each for each in found if each.written_mb >= each.allowed_mb]


def _measured(row: Any, on_volumes: Mapping[str, int]) -> Overfull:
    labels = row["Labels"]
    written = int(row.get("SizeRw", 0)) + sum(on_volumes.get(each, 0) for each in _volumes(row))
    return Overfull(
        name=labels.get(LABEL_INSTANCE, ""),
        fence=fence_of(labels),
        written_mb=written // MIB,
        allowed_mb=int(labels[LABEL_DISK]),
    )


def _volumes(row: Any) -> list[str]:
    """Names of the volumes that its image asked for; no other is ever mounted."""
    return [each["Name"] for each in row.get("Mounts") or () if each.get("Type") == "volume"]


def _volume_sizes(usage: Callable[[], Any]) -> dict[str, int]:
    return {each["Name"]: each["UsageData"]["Size"] for each in usage().get("Volumes") or ()}
