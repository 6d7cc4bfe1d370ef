"""How much containers have written to the engine's disk: their own layer and their volumes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from engines.cre.runtimes.base import (
    LABEL_DEPLOYMENT,
    LABEL_DISK,
    LABEL_INSTANCE,
    MIB,
    Overfull,
    fence_of,
)

ALARMING_BYTES = 128 * MIB
"""What may be written between two glances; less is no hurry."""


_QUOTAS = frozenset({"btrfs", "zfs"})
_ON_XFS = frozenset({"overlay2", "overlay"})


def storage_of(info: Mapping[str, Any]) -> str:
    """What an engine keeps containers on, in words, from what it says of itself."""
    backing = _backing(info)
    return f"{info.get('Driver') or 'unknown'}{f' on {backing}' if backing else ''}"


def may_have_quotas(info: Mapping[str, Any]) -> bool:
    """Whether a container's quota might be taken; of xfs an engine does not say how it is mounted.

    Where it is False no start has to be refused first.
    """
    return info.get("Driver") not in _ON_XFS or _backing(info) in ("xfs", "")


def has_quotas(info: Mapping[str, Any]) -> bool:
    """Whether a container's quota is taken for certain."""
    return info.get("Driver") in _QUOTAS


def _backing(info: Mapping[str, Any]) -> str:
    return str(dict(info.get("DriverStatus") or ()).get("Backing Filesystem", ""))


class FreeSpace:
    """What is free on the engine's disk, where that is this machine's: one system call a glance.

    An engine on another machine, or behind a socket from inside a container, is never alarming.
    """

    def __init__(self) -> None:
        self._folder: str | None = None
        self._marked = 0

    def mark(self, api: Any) -> None:
        """From here on."""
        if self._folder is None:
            self._folder = str(api.info()["DockerRootDir"])
        self._marked = self._free()

    def falls(self) -> bool:
        """Whether much less is free than when it was marked."""
        return self._marked - self._free() >= ALARMING_BYTES

    def _free(self) -> int:
        try:
            found = os.statvfs(self._folder or "")
        except OSError:
            return self._marked
        return found.f_bavail * found.f_frsize


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
    written = int(row.get("SizeRw", 0)) + sum(on_volumes.get(volume, 0) for volume in _volumes(row))
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
