"""What really runs behind an instance: nothing, a plain container, or a Swarm service."""

from __future__ import annotations

from enum import Enum


class WhaleRuntime(str, Enum):
    """``simulated`` needs no Docker; the others start the challenge on the local engine."""

    SIMULATED = "simulated"
    DOCKER = "docker"
    SWARM = "swarm"
