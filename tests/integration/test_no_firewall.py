"""Where the firewall's rules cannot be had, nothing is started, and the log says what to do."""

from __future__ import annotations

import logging
from ipaddress import IPv4Network

import docker
import pytest

from engines.catalog import ChallengeSpec, StaticCatalog
from engines.contract import Code
from engines.cre import ContainerRuntimeEngine
from engines.cre.guard import FirewallGuard
from engines.cre.runtimes.docker import DockerRuntime
from engines.cre.runtimes.networks import BridgeNetworks
from engines.settings import Settings
from engines.state.database import Database


def test_a_start_is_refused_and_leaves_nothing(
    docker_client: docker.DockerClient,
    image: str,
    deployment: str,
    database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    networks = BridgeNetworks(
        lambda: docker_client.api,
        IPv4Network("10.208.0.0/16"),
        FirewallGuard("engine", "tcp://docker.example.org:2376"),
        family="none",
    )
    runtime = DockerRuntime(docker_client, networks=networks)
    engine = ContainerRuntimeEngine(
        Settings(cre_deployment=deployment),
        runtime=runtime,
        catalog=StaticCatalog([ChallengeSpec(1, "A", image)]),
        database=database,
    )
    try:
        refused = engine.start_instance(7, 1)
        assert (refused.ok, refused.code) == (False, Code.UNAVAILABLE)
        assert "firewall" not in refused.message  # a player can do nothing about it
        assert "whale-ready firewall apply" in caplog.text
        assert engine.get_instance_status(7, 1) is None
        assert runtime.find(deployment) == []
        assert engine.start_instance(7, 1).code is Code.UNAVAILABLE  # not busy: nothing was begun
    finally:
        engine.close()
        networks.remove_unused()
