"""A Docker engine, a label of our own on all that is made, and a sweep after every test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import docker
import pytest

from conformance.harnesses.challenge_image import ensure_image
from conformance.harnesses.cre_docker import sweep


@pytest.fixture(scope="session")
def docker_client(docker_engine: str) -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=60)
    yield client
    client.close()


@pytest.fixture(scope="session")
def image(docker_client: docker.DockerClient) -> str:
    return ensure_image(docker_client)


@pytest.fixture
def deployment(docker_client: docker.DockerClient) -> Iterator[str]:
    """A deployment label; what carries it is removed at the end."""
    name = f"test-{secrets.token_hex(4)}"
    yield name
    sweep(docker_client, name)
