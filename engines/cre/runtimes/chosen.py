"""The runtime that the settings name, with all that it stands on."""

from __future__ import annotations

import threading

import docker

from engines.cre.runtimes.base import Runtime
from engines.cre.runtimes.connection import Connect, connector, probe_host
from engines.cre.runtimes.docker import DockerRuntime
from engines.cre.runtimes.networks import networks_from
from engines.cre.runtimes.swarm import SwarmRuntime
from engines.deadline import held
from engines.settings import Settings


def runtime_from(settings: Settings) -> Runtime:
    """Make it; the engine is asked for on first use, so that one that is down is no error here.

    Raises:
        SettingsError: a setting is wrong; names it and the fix.
    """
    if settings.cre_runtime == "swarm":
        # Players and probes reach an instance on its node, wherever the manager is.
        return SwarmRuntime(
            connect=connector(settings),
            constraints=settings.cre_constraints,
            probe_host=settings.cre_probe_host or None,
            mtu=settings.cre_network_mtu,
            look_seconds=settings.look_seconds,
            answer_seconds=settings.answer_seconds,
        )
    connect = _once(connector(settings))
    return DockerRuntime(
        connect=connect,
        probe_host=probe_host(settings),
        networks=networks_from(settings, lambda: connect().api),
        look_seconds=settings.look_seconds,
        answer_seconds=settings.answer_seconds,
    )


def _once(connect: Connect) -> Connect:
    """One client for all that stand on the engine."""
    lock = threading.Lock()
    made: list[docker.DockerClient] = []

    def connected() -> docker.DockerClient:
        if not made:
            with held(lock):
                if not made:
                    made.append(connect())
        return made[0]

    return connected
