"""The doctor on a real engine, and a start of a process whose Docker hangs."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import docker
import pytest
from docker.types import IPAMConfig, IPAMPool

from engines.cre.owner import database_id, take_over
from engines.cre.runtimes.base import LABEL_DEPLOYMENT, LABEL_OWNER
from engines.doctor import DoctorFinding, FindingState
from engines.doctor.docker_side import docker_findings
from engines.factory import get_container_backend, reset_container_backend, setup_findings
from engines.settings import Settings
from engines.state.database import Database


@contextlib.contextmanager
def deaf_socket(path: Path) -> Iterator[str]:
    """A socket that takes connections and never answers; its URL."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        yield f"unix://{path}"


def test_a_working_engine_is_named_with_its_versions_and_owner(docker_engine: str) -> None:
    found = {finding.check: finding for finding in docker_findings(Settings(cre_firewall="none"))}
    assert {each.state for each in found.values()} == {FindingState.OK}, found
    assert docker_engine in found["docker"].seen
    assert f"asked as uid {os.geteuid()}" in found["docker"].seen
    assert docker.__version__ in found["docker-sdk"].seen


def test_another_network_on_our_addresses_is_found_and_the_pool_it_names_does(
    docker_client: docker.DockerClient, deployment: str
) -> None:
    taken = IPv4Network("10.214.64.0/18")
    network = docker_client.networks.create(
        f"{deployment}-compose",
        ipam=IPAMConfig(pool_configs=[IPAMPool(subnet="10.214.66.0/24")]),
    )
    try:
        found = docker_findings(Settings(cre_firewall="none", cre_network_pool=taken))[-1]
        assert found.state is FindingState.NOT_OK
        assert f"network {deployment}-compose (10.214.66.0/24)" in found.seen
        assert "CRE_NETWORK_POOL" in found.seen
        named = IPv4Network(found.fix.rpartition(" ")[2])
        again = docker_findings(Settings(cre_firewall="none", cre_network_pool=named))[-1]
        assert "compose" not in again.seen
    finally:
        network.remove()


def test_a_docker_that_hangs_is_called_silent(tmp_path: Path) -> None:
    with deaf_socket(tmp_path / "d.sock") as url:
        found = docker_findings(Settings(cre_docker_host=url, cre_firewall="none"), seconds=1)[1]
    assert found.state is FindingState.NOT_OK
    assert f"it does not answer at {tmp_path}/d.sock" in found.seen


def test_a_process_comes_up_while_its_docker_hangs_and_then_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with deaf_socket(tmp_path / "d.sock") as url:
        config = {"CRE_DOCKER_HOST": url, "CONTAINER_DATABASE_URL": f"sqlite:///{tmp_path}/s.db"}
        reset_container_backend()
        try:
            backend = get_container_backend({**config, "CRE_FIREWALL": "none"})
            assert backend.get_instance_status(1, 1) is None
            assert setup_findings() == ()  # still looking
        except BaseException:
            reset_container_backend()
            raise
    try:
        found = {
            finding.check: finding for finding in setup_findings(30) or ()
        }  # the socket is closed now
        assert found["docker"].state is FindingState.NOT_OK
        said = [
            message for message in caplog.messages if message.startswith("containers cannot start")
        ]
        assert [record.levelno for record in caplog.records if record.message in said] == [
            logging.ERROR
        ]
        assert "docker: the Docker engine cannot be reached" in said[0]
    finally:
        reset_container_backend()


def test_another_database_under_the_same_deployment_is_named(
    docker_client: docker.DockerClient, deployment: str, tmp_path: Path
) -> None:
    """livepeer/go-livepeer#3754, codefreak/codefreak#100: a second site with a copied ``.env``."""
    url = f"sqlite:///{tmp_path / 'state.db'}"
    database = Database(url)
    mine, theirs = database_id(database), "0123456789ab"
    settings = Settings(cre_firewall="none", cre_deployment=deployment, database_url=url)

    def seen() -> DoctorFinding:
        (found,) = [
            finding for finding in docker_findings(settings) if finding.check == "deployment"
        ]
        return found

    networks = []
    try:
        for owner, state in ((mine, FindingState.OK), (theirs, FindingState.NOT_OK)):
            labels = {LABEL_DEPLOYMENT: deployment, LABEL_OWNER: owner}
            networks.append(docker_client.networks.create(f"{deployment}-{owner}", labels=labels))
            assert seen().state is state
        assert theirs in seen().seen
        assert mine not in seen().seen
        take_over(database, theirs)
        assert seen().state is FindingState.OK
    finally:
        for network in networks:
            network.remove()
        database.close()
