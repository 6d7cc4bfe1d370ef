"""The endpoints with the settings as shipped, on real Docker, firewall on, under every server.

All servers run at once and each has a player whose instance runs out meanwhile, so that the tests
wait once. Which settings are changed, and why: ``tests/support/changed_settings.py``.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from conftest import require
from support.changed_settings import shipped_but
from support.loopback import Program, free_port, listens
from support.under_gevent import LIVES, under_gevent
from support.web_site import Site

from conformance.harnesses.cre_docker import remaining, sweep
from conformance.harnesses.fetch import http_get
from engines.cre.deployment import deployment_name
from engines.cre.firewall import Firewall
from engines.probe import wait_until
from engines.state.database import Database

TESTS = Path(__file__).parents[1]
GUNICORN = ("-m", "gunicorn", "support.served_app:app", "--bind", "127.0.0.1:{port}")
GEVENT = (*GUNICORN, "--worker-class", "gevent")
SERVERS = {
    "gevent-1": GEVENT,
    "gevent-2": (*GEVENT, "--workers", "2"),
    "gthread": (*GUNICORN, "--worker-class", "gthread", "--threads", "8"),
    "sync": (*GUNICORN, "--workers", "2"),
    "waitress": ("-m", "waitress", "--listen=127.0.0.1:{port}", "support.served_app:app"),
}
CHALLENGE = 1
LIFE_SECONDS = 30
"""Of carol's instance, which nobody extends."""
PATIENCE = 90.0
"""A worker that is killed has its lease for three periods of ten seconds, as shipped."""
BAD_WORDS = ("Traceback", "Exception ignored", "failed")


class Served:
    """One server with its site."""

    def __init__(self, name: str, folder: Path, catalogue: Path) -> None:
        self.name = name
        self.log = folder / "server.log"
        self.database_url = f"sqlite:///{folder / 'state.db'}"
        port = free_port()
        self.site = Site(("127.0.0.1", port))
        environ = shipped_but(
            CONTAINER_DATABASE_URL=self.database_url,
            CONTAINER_CHALLENGES_FILE=str(catalogue),
            CRE_TIMEOUT_SECONDS=str(LIFE_SECONDS),
        )
        self._command = [sys.executable, *(word.format(port=port) for word in SERVERS[name])]
        self._environ = {**environ, "PYTHONPATH": str(TESTS), "PYTHONUNBUFFERED": "1"}
        self._programs = ExitStack()

    def start(self) -> None:
        """Start the server, and wait until it listens."""
        port = self.site.address[1]
        self.program = Program(
            self._command, self.log, lambda: listens(port), environ=self._environ
        )
        self._programs.callback(self.program.close)

    def close(self) -> None:
        self._programs.close()

    def post(self, player: str, what: str) -> dict[str, Any]:
        return self.site.post(player, what, {"challenge_id": CHALLENGE}).body

    def status(self, player: str) -> dict[str, Any] | None:
        body = self.site.get(player, f"status?challenge_id={CHALLENGE}").body
        assert body["code"] in ("ok", "not_found"), body
        return body["data"] or None

    def workers(self) -> set[int]:
        """gunicorn's own processes; none where the server is a single process."""
        pid = self.program.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return {int(word) for word in children.split()}

    def deployment(self) -> str:
        database = Database(self.database_url)
        try:
            return deployment_name(database)
        finally:
            database.close()


@dataclass(frozen=True)
class Instance:
    """What a player was given."""

    host: str
    port: int

    @classmethod
    def of(cls, body: dict[str, Any]) -> Instance:
        assert body["code"] == "ok", body
        return cls(body["data"]["host"], int(body["data"]["ports"][0]))

    def answers(self) -> bool:
        return http_get(self.host, self.port, "/") is not None


@pytest.fixture(scope="module")
def catalogue(image: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("catalogue") / "challenges.toml"
    path.write_text(f'[[challenge]]\nid = {CHALLENGE}\nname = "One"\nimage = "{image}"\n')
    return path


@pytest.fixture(scope="module")
def all_served(
    docker_client: docker.DockerClient, catalogue: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Served]]:
    """Every server, with carol's instance on it."""
    require("iptables", os.geteuid() == 0, "run as root: CRE_FIREWALL=engine is what is shipped")
    with ExitStack() as stack:
        found: dict[str, Served] = {}
        for name in SERVERS:
            served = found[name] = Served(name, tmp_path_factory.mktemp(name), catalogue)
            stack.callback(lambda served=served: sweep(docker_client, served.deployment()))
            stack.callback(served.close)
        with ThreadPoolExecutor(len(found)) as pool:
            for up in [pool.submit(served.start) for served in found.values()]:
                up.result()
            begun = list(pool.map(lambda served: served.post("carol", "start"), found.values()))
        for answer in begun:
            assert Instance.of(answer).answers()
        yield found


@pytest.fixture(params=SERVERS)
def served(all_served: dict[str, Served], request: pytest.FixtureRequest) -> Served:
    return all_served[request.param]


def test_a_player_starts_reaches_extends_and_stops(served: Served) -> None:
    given = served.post("alice", "start")
    assert Instance.of(given).answers()
    assert Firewall().applied()
    extended = served.post("alice", "extend")
    assert extended["code"] == "ok", extended
    assert extended["data"]["expires_at"] > given["data"]["expires_at"]
    assert served.post("alice", "stop")["code"] == "ok"
    assert served.status("alice") is None
    assert not Instance.of(given).answers()


def test_a_killed_worker_takes_nothing_along(served: Served) -> None:
    held = Instance.of(served.post("bob", "start"))
    assert served.post("bob", "extend")["code"] == "ok"
    before = served.workers()
    if before:
        os.kill(min(before), signal.SIGKILL)
        # gunicorn puts another one in its place.
        assert wait_until(lambda _: len(served.workers() - {min(before)}) == len(before), PATIENCE)
    else:  # the one process there is: whatever watches over it starts it again
        served.program.process.kill()
        served.program.process.wait()
        served.start()
    assert held.answers()
    assert Instance.of(served.post("dave", "start")).answers()
    assert served.status("bob") is not None
    for player in ("bob", "dave"):
        assert served.post(player, "stop")["code"] == "ok"


def test_what_runs_out_is_removed_and_nothing_is_left(
    served: Served, docker_client: docker.DockerClient
) -> None:
    def gone(_timeout: float) -> bool:
        return served.status("carol") is None and not remaining(docker_client, served.deployment())

    assert wait_until(gone, PATIENCE), served.program.said()
    said = [
        line
        for line in served.program.said().splitlines()
        if any(word in line for word in BAD_WORDS)
    ]
    assert said == []


def test_the_engine_under_gevent_on_real_docker(
    docker_client: docker.DockerClient, catalogue: Path, deployment: str, tmp_path: Path
) -> None:
    environ = {
        "CONTAINER_DATABASE_URL": f"sqlite:///{tmp_path / 'state.db'}",
        "CONTAINER_CHALLENGES_FILE": str(catalogue),
        "CRE_DEPLOYMENT": deployment,
        "CRE_TIMEOUT_SECONDS": "15",
        "CRE_EXTENSION_SECONDS": "1",
    }
    seen = under_gevent("docker", shipped_but(**environ))
    assert seen["codes"] == LIVES
    assert seen["expired"]
    assert remaining(docker_client, deployment) == []
