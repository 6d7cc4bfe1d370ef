"""Real containers for CRE: what the suite uses on Docker, under a label of the demo's own."""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from conformance.harnesses.challenge_image import ensure_image
from conformance.harnesses.cre_docker import connected, sweep, sweep_dead_runs
from conformance.harnesses.docker_inside import RunNetworks
from engines.cre.runtimes.docker import DockerRuntime
from engines.settings import Settings
from whale_ready.demo.backends import DemoRuntime

KIND = "demo"
"""First word of the label on everything that a demo makes."""


@contextmanager
def docker_containers() -> Iterator[DemoRuntime]:
    """CRE's containers on Docker; none of them, and no network, is left behind.

    Raises:
        CannotRun: no Docker engine can be reached, or no image be had; says what would help.
    """
    client = connected("leave --docker out for simulated containers")
    try:
        sweep_dead_runs(client, KIND)
        image = ensure_image(client)
        run = f"{KIND}-{platform.node()}-{os.getpid()}-{secrets.token_hex(3)}"
        bench = RunNetworks(
            client.api, os.environ.get("DOCKER_HOST", ""), Settings().cre_network_pool
        )
        try:
            yield DemoRuntime(DockerRuntime(client, networks=bench.networks), image, run)
        finally:
            sweep(client, run)
            bench.close()
    finally:
        client.close()
