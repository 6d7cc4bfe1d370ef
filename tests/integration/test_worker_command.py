"""``whale-ready worker`` as a process: it cleans up, and ends when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.servers import MariaDB
from support.site_tables import another, make_site

from engines.audit import Action
from engines.ctfd.owners import SiteOwners
from engines.settings import Settings
from engines.state.database import Database
from engines.whale import WhaleAPIManager
from fake_whale import FakeServer, FakeWhale, User, WhaleChallenge, WhaleWorld

NO_CTFD = (
    "the database is not that of a CTFd with the plugin (the table users is missing): what belongs "
    "to deleted users, teams and challenges is not ended by this worker\n"
)
TOKEN = "ctfd_" + 64 * "a"
WORLD = WhaleWorld(
    users=[User(1, "admin", type="admin"), User(2, "alice", token=TOKEN)],
    challenges=[WhaleChallenge(1, "First", image="chal:1")],
    images=frozenset({"chal:1"}),
    config={"docker_timeout": "1"},
)


LASTING = replace(WORLD, config={"docker_timeout": "3600"})


@pytest.fixture(params=[WORLD])
def server(request: pytest.FixtureRequest) -> Iterator[FakeServer]:
    with FakeWhale(request.param) as fake, fake.serve() as server:
        yield server


@pytest.fixture
def environ(server: FakeServer, tmp_path: Path) -> dict[str, str]:
    tokens = tmp_path / "whale.toml"
    tokens.write_text(f'[tokens]\n2 = "{TOKEN}"\n', encoding="utf-8")
    tokens.chmod(0o600)
    return {
        **os.environ,
        "USE_WHALE": "true",
        "WHALE_API_URL": server.url,
        "WHALE_TOKENS_FILE": str(tokens),
        "WHALE_TIMEOUT_SECONDS": "1",
        "WHALE_PROBE": "false",
        "CONTAINER_DATABASE_URL": f"sqlite:///{tmp_path / 'state.db'}",
        "CONTAINER_WORKER_SECONDS": "0.05",
    }


def worker(environ: dict[str, str], *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "whale_ready", "worker", *options],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_it_removes_what_has_expired_and_ends_on_sigterm(environ: dict[str, str]) -> None:
    manager = WhaleAPIManager(Settings.from_environ(environ))
    with worker(environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "cleaning up for hybrid every 0.05 s\n"
        assert process.stdout.readline() == NO_CTFD
        assert manager.start_instance(2, 1).ok
        while not any(event.action.value == "expired" for event in manager.audit.events()):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=30)[0] == "stopped\n"
        assert process.returncode == 0
    manager.close()


def test_one_round(environ: dict[str, str]) -> None:
    with worker(environ, "--once") as process:
        assert process.communicate(timeout=30)[0] == f"{NO_CTFD}hybrid: 0 expired removed\n"
        assert process.returncode == 0


@pytest.mark.parametrize("server", [LASTING], ids=["lasting"], indirect=True)
@pytest.mark.parametrize(("kind", "options"), [("sqlite", ("--backend", "whale")), ("mariadb", ())])
def test_on_a_ctfds_database_it_ends_what_a_deletion_left(
    environ: dict[str, str], kind: str, options: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    """CTFd/CTFd#1386: the number is somebody else's, and the plugin is not there to see it."""
    if kind == "mariadb":
        server: MariaDB = request.getfixturevalue("mariadb")
        environ["CONTAINER_DATABASE_URL"] = server.create()
    database = Database(environ["CONTAINER_DATABASE_URL"])
    make_site(database, 2)
    manager = WhaleAPIManager(Settings.from_environ(environ), owners=SiteOwners(database))
    assert manager.start_instance(2, 1).ok

    def round_of_the_worker() -> list[Action]:
        with worker(environ, "--once", *options) as process:
            said = process.communicate(timeout=60)[0]
            assert process.returncode == 0, said
            assert "not that of a CTFd" not in said
        return [event.action for event in manager.audit.events()]

    assert Action.ORPHANED not in round_of_the_worker()
    another(database, 2)
    assert Action.ORPHANED in round_of_the_worker()
    manager.close()
    database.close()
