"""What a live instance costs in memory and processor time, where Docker can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import docker
from docker.errors import DockerException
from requests.exceptions import RequestException

from conformance.harness import Hook, Player, Unsupported, World

INSTANCES = 3
"""How many are started and looked at."""


@dataclass(frozen=True)
class Cost:
    """Of one system; None where it could not be read, and then ``why``."""

    backend: str
    instances: int
    memory_mib: float | None
    cpu_seconds: float | None
    """That a container had used when it was looked at, a moment after its start."""
    why: str = ""


def cost_of(
    backend: str,
    world: World,
    players: Sequence[Player],
    *,
    simulated: bool,
    hooks: frozenset[Hook],
) -> Cost:
    """Start some instances, ask Docker about their containers, stop them again."""
    if simulated or Hook.GROUND_TRUTH not in hooks:
        return _unread(backend, "no containers of its own that Docker could be asked about")
    try:
        client = docker.from_env(timeout=20)
    except (DockerException, RequestException):
        return _unread(backend, "no Docker engine can be reached")
    try:
        return _asked(backend, world, players[:INSTANCES], client.api)
    except (DockerException, RequestException, KeyError, Unsupported) as error:
        return _unread(backend, f"Docker does not tell ({type(error).__name__})")
    finally:
        client.close()


def _asked(backend: str, world: World, players: Sequence[Player], api: Any) -> Cost:
    challenge = world.challenges.first
    before = world.containers()
    try:
        for player in players:
            world.backend.start_instance(player.user_id, challenge, player.team_id)
        names = sorted(world.containers() - before)
        if not names:
            return _unread(backend, "nothing could be started to look at")
        told = [api.stats(name, stream=False, one_shot=True) for name in names]
    finally:
        for player in players:
            world.backend.stop_instance(player.user_id, challenge, player.team_id)
    memory = fmean(each["memory_stats"]["usage"] for each in told) / 2**20
    cpu = fmean(each["cpu_stats"]["cpu_usage"]["total_usage"] for each in told) / 1e9
    return Cost(backend, len(names), memory, cpu)


def _unread(backend: str, why: str) -> Cost:
    return Cost(backend, 0, None, None, why)
