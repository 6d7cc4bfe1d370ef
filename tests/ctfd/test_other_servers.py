"""Further sites: a database server with several workers, one sync worker, ctfd-whale beside us."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
from conftest import require
from support.servers import MariaDB

from conformance.harnesses.fetch import http_get
from ctfd.conftest import MEMORY, swept
from ctfd.site import Site, Visitor
from ctfd.test_rules_of_the_site import START
from engines.cre.firewall import Firewall
from engines.state import schema
from engines.state.database import Database
from fake_whale import FakeServer, FakeWhale
from fake_whale.demo import DEMO_WORLD

STOP, EXTEND = "/api/v1/container/stop", "/api/v1/container/extend"
SERVERS = {
    "gevent-1": ("--worker-class", "gevent"),
    "gevent-2": ("--worker-class", "gevent", "--workers", "2"),
    "gthread": ("--worker-class", "gthread", "--threads", "8"),
    "sync": ("--worker-class", "sync"),
}
BAD_WORDS = ("Traceback", "Exception ignored", "round failed", "cannot be asked")


@pytest.mark.parametrize("server", SERVERS)
def test_mariadb_redis_and_every_server(
    ctfd: Path, mariadb: MariaDB, redis: str, docker_image: str, tmp_path: Path, server: str
) -> None:
    require("docker", bool(docker_image), "start a Docker engine (as root: dockerd)")
    deployment, url = f"ctfd-{secrets.token_hex(4)}", mariadb.create()
    environ = {"CRE_DEPLOYMENT": deployment, "REDIS_URL": redis}
    with ExitStack() as stack:
        stack.enter_context(swept(deployment))
        folder = tmp_path / "site"
        folder.mkdir()
        site = Site(folder, database_url=url, environ=environ, server=SERVERS[server])
        stack.callback(site.stop)
        database = Database(url)
        stack.callback(database.close)
        assert database.schema_version() == schema.HEAD
        assert recorded(database, "whale_ready_alembic_version") == "wr0001"

        site.player("alice")
        number = site.challenge("Web", container_image=docker_image)
        players = [site.visitor("alice") for _ in range(6)]
        answers = [player.json("POST", START, {"challenge_id": number}) for player in players]
        assert {answer["code"] for answer in answers} == {"ok", "already_running"}
        assert len({answer["data"]["container_id"] for answer in answers}) == 1
        given = answers[0]["data"]
        assert http_get(given["host"], int(given["ports"][0]), "/") is not None
        assert Firewall().applied()
        with database.read() as connection:
            held = connection.execute(sa.text("SELECT count(*) FROM worker_leases")).scalar()
        assert held == 1  # of all processes one cleans up

        # What was there before a restart is there after it, and the tables are left alone.
        site.stop()
        site.start()
        alice = site.visitor("alice")
        status = alice.json("GET", f"/api/v1/container/status?chal_id={number}")
        assert status["data"]["container_id"] == given["container_id"]
        extended = alice.json("POST", EXTEND, {"id": number})
        assert extended["data"]["expires_at"] > given["expires_at"]
        assert solved(alice, number, "flag{guessed}") == "incorrect"
        assert solved(alice, number, flag_of(database, number)) == "correct"
        assert alice.json("POST", STOP, {"id": number})["code"] == "ok"
        lines = site.log.read_text(errors="replace").splitlines()
        assert [line for line in lines if any(word in line for word in BAD_WORDS)] == []


def recorded(database: Database, key: str) -> str:
    """A value of CTFd's own configuration."""
    with database.read() as connection:
        query = sa.text("SELECT value FROM config WHERE `key` = :key")
        return str(connection.execute(query, {"key": key}).scalar())


def test_one_sync_worker_that_is_its_own_whale_is_said(ctfd: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[tokens]\n"1" = "ctfd_x"\n')
    tokens.chmod(0o600)
    folder = tmp_path / "site"
    folder.mkdir()
    environ = {"WHALE_TOKENS_FILE": str(tokens)}
    site = Site(folder, plugins=MEMORY, environ=environ, server=("--worker-class", "sync"))
    try:
        # The address is known only now; CTFd is started again with it.
        site.stop()
        site.environ["WHALE_API_URL"] = site.url
        site.start()
        page = site.visitor("admin").get("/plugins/whale_ready/admin/settings").text
        assert "every call to Whale waits for itself and fails" in page
        assert "WHALE_API_URL leads to this very site" in site.said()
    finally:
        site.stop()


def test_a_wrong_setting_keeps_no_site_down(ctfd: Path, tmp_path: Path) -> None:
    site = Site(tmp_path, plugins=MEMORY, environ={"CRE_CAPACITY": "many"})
    try:
        number = site.challenge("Web", container_image="simulated")
        answer = site.admin.ask("POST", START, {"challenge_id": number})
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        page = site.admin.get("/plugins/whale_ready/admin/settings").text
        assert "CRE_CAPACITY: write a whole number" in page
    finally:
        site.stop()


def test_next_to_ctfd_whale(whale_plugin: Path, redis: str, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    environ = {"WHALE_READY_SERVES_WHALE": "true", "REDIS_URL": redis}
    plugins = {**MEMORY, "ctfd-whale": whale_plugin}
    site = Site(folder, plugins=plugins, environ=environ)
    database = Database(site.environ["DATABASE_URL"])
    try:
        types = site.admin.json("GET", "/api/v1/challenges/types")["data"]
        assert {"dynamic_docker", "whale_ready"} <= set(types)
        ours = site.challenge("Ours", container_image="simulated")
        theirs = site.challenge(
            "Theirs",
            type="dynamic_docker",
            docker_image="whales:1",
            redirect_port="80",
            redirect_type="direct",
            dynamic_score="0",
            initial="100",
            minimum="1",
            decay="1",
            memory_limit="64m",
        )
        site.player("alice")
        alice = site.visitor("alice")
        for number in (ours, theirs):
            started = alice.json("POST", START, {"challenge_id": number})
            assert started["code"] == "ok", started
            assert told(alice, number, "flag{guessed}") == ("incorrect", "Incorrect")
            assert solved(alice, number, flag_of(database, number)) == "correct"
            assert alice.json("POST", STOP, {"challenge_id": number})["code"] == "ok"
        bob = visitor_of(site, "bob")
        for number in (ours, theirs):
            status, message = told(bob, number, "flag{guessed}")
            assert status == "ratelimited"  # and no attempt
            assert "start it first" in message
        shown = alice.json("GET", f"/api/v1/challenges/{theirs}")["data"]
        assert "data-whale-ready" in shown["view"]
        # Whale's own endpoints are where they were.
        answer = alice.ask("GET", f"/api/v1/plugins/ctfd-whale/container?challenge_id={theirs}")
        assert answer.json() == {"success": True, "data": {}}
    finally:
        database.close()
        site.stop()


def visitor_of(site: Site, name: str) -> Visitor:
    """A new player, logged in."""
    site.player(name)
    return site.visitor(name)


def solved(player: Visitor, number: int, flag: str) -> str:
    """What becomes of a submission."""
    return told(player, number, flag)[0]


def told(player: Visitor, number: int, flag: str) -> tuple[str, str]:
    """What becomes of a submission, and what the player reads."""
    body = {"challenge_id": number, "submission": flag}
    data = player.json("POST", "/api/v1/challenges/attempt", body)["data"]
    return data["status"], data["message"]


def flag_of(database: Database, number: int) -> str:
    """The flag that is recorded for the only instance of a challenge."""
    with database.read() as connection:
        query = sa.text("SELECT flag FROM cre_instances WHERE challenge_id = :number")
        return str(connection.execute(query, {"number": number}).scalar())


@pytest.fixture
def whale() -> Iterator[FakeServer]:
    """A Whale in another CTFd, where alice is user 2 too."""
    with FakeWhale(DEMO_WORLD) as fake, fake.serve() as server:
        yield server


def test_a_whale_elsewhere_and_the_dial(ctfd: Path, whale: FakeServer, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[tokens]\n"2" = "ctfd_demo_alice"\n')
    tokens.chmod(0o600)
    folder = tmp_path / "site"
    folder.mkdir()
    environ = {
        "WHALE_API_URL": whale.url,
        "WHALE_TOKENS_FILE": str(tokens),
        "WHALE_PROBE": "false",
        "ROLLOUT_POLL_SECONDS": "0.01",
    }
    site = Site(folder, plugins=MEMORY, environ=environ)
    try:
        number = site.challenge("Web one", container_image="simulated")
        site.player("alice")
        alice, body = site.visitor("alice"), {"challenge_id": number}
        assert alice.json("POST", START, body)["data"]["backend"] == "cre"
        assert turned(site, "set", share="100%")
        # What runs stays where it is; what starts anew goes to Whale.
        assert alice.json("POST", START, body)["data"]["backend"] == "cre"
        assert alice.json("POST", STOP, body)["code"] == "ok"
        assert alice.json("POST", START, body)["data"]["backend"] == "whale"
        # Nobody here can know that flag: CTFd's own decide.
        assert solved(alice, number, "flag{guessed}") == "incorrect"
        flag = {"challenge_id": number, "content": "flag{ctfds}", "type": "static"}
        assert site.admin.json("POST", "/api/v1/flags", flag)["success"]
        assert solved(alice, number, "flag{ctfds}") == "correct"
        assert turned(site, "back")
        assert (
            alice.json("GET", f"/api/v1/container/status?id={number}")["data"]["backend"] == "whale"
        )
        # Deleting the challenge stops it there too.
        assert site.admin.json("DELETE", f"/api/v1/challenges/{number}") == {"success": True}
        live = site.admin.json("GET", "/api/v1/container/admin/instances")
        assert live["data"]["instances"] == []
    finally:
        site.stop()


def turned(site: Site, action: str, **fields: str) -> bool:
    """Press a button of the rollout's page."""
    page = site.admin.form("/plugins/whale_ready/admin/rollout", action=action, **fields)
    return page.ok and 'role="status"' in page.text
