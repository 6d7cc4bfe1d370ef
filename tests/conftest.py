"""What the project's own tests share.

A test that needs a part of the machine asks :func:`require` for it. Where the part is missing the
test is skipped and says what would run it; named in ``WHALE_READY_REQUIRE`` (``docker,mariadb``),
a missing part is a failure instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.database import Database


def require(part: str, present: bool, fix: str) -> None:
    """Skip, or fail when the part is required, unless it is present."""
    if present:
        return
    required = os.environ.get("WHALE_READY_REQUIRE", "").split(",")
    if part in [name.strip() for name in required]:
        pytest.fail(f"{part} is required and missing: {fix}")
    pytest.skip(f"{part} is missing; to run this: {fix}")


@pytest.fixture(scope="session")
def docker_engine() -> str:
    """The version of a Docker engine that answers."""
    import docker
    from docker.errors import DockerException

    version = ""
    try:
        client = docker.from_env(timeout=10)
        try:
            version = str(client.version()["Version"])
        finally:
            client.close()
    except DockerException:
        pass
    require("docker", bool(version), "start a Docker engine (as root: dockerd)")
    return version


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    database = Database(f"sqlite:///{tmp_path / 'state.db'}")
    yield database
    database.close()
