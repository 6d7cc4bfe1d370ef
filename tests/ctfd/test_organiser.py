"""What an organiser does to a contest, in a real CTFd: ends many, syncs, looks for a reason."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, expect
from support.servers import MariaDB

from ctfd.conftest import MEMORY, Window
from ctfd.site import Site, Visitor
from ctfd.test_players_page import shot
from engines.probe import wait_until
from engines.state.database import Database

ADMIN = "/plugins/whale_ready/admin"
API = "/api/v1/container/"
PATIENCE_SECONDS = 30.0
SETTLES_SECONDS = 1.0
OUT_OF_SYNC = 2
"""Exit code of ctfcli's verify."""


def start(visitor: Visitor, challenge: int) -> Any:
    return visitor.json("POST", f"{API}start", {"challenge_id": challenge})


def live(site: Site, challenge: int) -> list[int]:
    """Who has an instance of this challenge."""
    found = site.admin.json("GET", f"{API}admin/instances")["data"]["instances"]
    return [each["user_id"] for each in found if each["challenge_id"] == challenge]


def events(site: Site, challenge: int) -> list[dict[str, Any]]:
    found = site.admin.json("GET", f"{API}admin/history?challenge_id={challenge}")
    return list(found["data"]["events"])


def flag(site: Site, challenge: int) -> str:
    with closing(Database(site.environ["DATABASE_URL"])) as database, database.read() as connection:
        query = sa.text("SELECT flag FROM cre_instances WHERE challenge_id = :number")
        return str(connection.execute(query, {"number": challenge}).scalar_one())


def solve(site: Site, visitor: Visitor, challenge: int) -> str:
    body = {"challenge_id": challenge, "submission": flag(site, challenge)}
    return str(visitor.json("POST", "/api/v1/challenges/attempt", body)["data"]["status"])


@pytest.fixture
def names() -> Iterator[str]:
    """Made names that no other test has."""

    def made() -> Iterator[str]:
        while True:
            yield f"o{time.time_ns()}"

    return made()


@pytest.fixture(scope="module")
def users_on_mariadb(
    ctfd: Path, mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Users play, on simulated containers."""
    site = Site(tmp_path_factory.mktemp("organiser"), plugins=MEMORY, database_url=mariadb.create())
    yield site
    site.stop()


@pytest.fixture(params=["teams_site", "users_on_mariadb"])
def site(request: pytest.FixtureRequest) -> Site:
    """Teams on SQLite; users on MariaDB. Under gevent, with the shipped settings."""
    found: Site = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def players(site: Site, names: Iterator[str]) -> list[Visitor]:
    """Three players; where teams play, each with one of their own."""
    found = []
    for _, name in zip("123", names, strict=False):
        number = site.player(name)
        if site.teams:
            site.team(f"t{name}", number)
        found.append(site.visitor(name))
    return found


# Fields through CTFd's own API.


SENT: dict[str, object] = {
    "container_image": "simulated:latest",
    "container_ports": [80, "53/udp"],
    "container_memory_mb": 256,
    "container_cpus": 1.5,
    "container_egress": False,
    "container_host": None,
    "container_environment": {"DB_PASSWORD": "hunter2-hunter2"},
    "container_companions": [{"name": "db", "image": "db:1", "flag": True}],
}


def test_fields_are_written_as_json_and_read_by_admins_alone(
    site: Site, players: list[Visitor], names: Iterator[str]
) -> None:
    """phannhat17/CTFd-Docker-Plugin#7."""
    number = site.challenge(next(names), **SENT)
    path = f"/api/v1/challenges/{number}"
    shown = site.admin.json("GET", path)["data"]
    assert {name: shown[name] for name in SENT} == SENT
    changed = site.change(number, container_ports=8080, container_memory_mb=None)
    assert changed["success"], changed
    shown = site.admin.json("GET", path)["data"]
    assert (shown["container_ports"], shown["container_memory_mb"]) == ([8080], None)
    refused = site.change(number, container_ports=["x"])
    assert not refused["success"]
    assert "Ports" in str(refused)
    for seen in (players[0].get(path).text, players[0].get("/api/v1/challenges").text):
        assert "container_" not in seen
        assert "hunter2" not in seen


def test_ctfcli_installs_syncs_and_verifies_a_container_challenge(
    site: Site, players: list[Visitor], names: Iterator[str], tmp_path: Path
) -> None:
    """phannhat17/CTFd-Docker-Plugin#7: with the real ctfcli."""
    from conftest import require

    program = os.environ.get("CTFCLI", "") or shutil.which("ctf") or ""
    fix = "pip install ctfcli in an environment of its own, and set CTFCLI to its program ctf"
    require("ctfcli", bool(program), fix)
    token = site.admin.json(
        "POST", "/api/v1/tokens", {"description": "cli", "expiration": "2099-01-01"}
    )["data"]["value"]
    name = next(names)
    (tmp_path / ".ctf").mkdir()
    (tmp_path / ".ctf" / "config").write_text(
        f"[config]\nurl = {site.url}\naccess_token = {token}\n\n[challenges]\n{name} = \n"
    )
    challenge = tmp_path / name
    challenge.mkdir()

    def written(ports: str, memory: str) -> None:
        (challenge / "challenge.yml").write_text(
            f"name: {name}\nauthor: me\nattribution: me\nlogic: any\ncategory: web\n"
            "description: Find it.\nvalue: 100\n"
            "type: whale_ready\nstate: visible\nversion: '0.1'\nextra:\n"
            "  container_image: simulated:latest\n"
            f"  container_ports: {ports}\n  container_memory_mb: {memory}\n"
            "  container_egress: false\n"
        )

    def ctf(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [program, "challenge", *arguments, name],
            cwd=tmp_path,
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    written("[80, 53/udp]", "256")
    code, said = ctf("install")
    assert code == 0, said
    listed = site.admin.json("GET", "/api/v1/challenges?view=admin")["data"]
    (number,) = [each["id"] for each in listed if each["name"] == name]

    def shown() -> dict[str, Any]:
        return dict(site.admin.json("GET", f"/api/v1/challenges/{number}")["data"])

    assert shown()["container_ports"] == [80, "53/udp"]
    assert start(players[0], number)["success"]
    written("8080", "null")
    code, said = ctf("sync")
    assert code == 0, said
    assert (shown()["container_ports"], shown()["container_memory_mb"]) == ([8080], None)
    assert shown()["container_egress"] is False
    # What an organiser changed in CTFd's form is brought back, and our fields stay in the file.
    assert site.change(number, description="Find it *now*.")["success"]
    assert ctf("verify")[0] == OUT_OF_SYNC
    code, said = ctf("mirror")
    assert code == 0, said
    kept = (challenge / "challenge.yml").read_text()
    assert "Find it *now*." in kept
    assert "container_image: simulated:latest" in kept
    code, said = ctf("verify")
    assert code == 0, said
    code, said = ctf("sync")
    assert code == 0, said
    written("[80, nonsense]", "1")
    code, said = ctf("sync")
    assert code != 0
    assert "Ports" in said or "Memory" in said
    assert shown()["container_ports"] == [8080]


# What a solve means.


def test_a_solve_ends_the_container_where_the_challenge_says_so(
    site: Site, players: list[Visitor], names: Iterator[str]
) -> None:
    """GZTimeWalker/GZCTF#430, ctfer-io/ctfd-chall-manager#60, otter-sec/rctf#222."""
    ends, stays = (
        site.challenge(next(names), container_image="simulated", container_ends_on_solve=word)
        for word in ("yes", "site")
    )
    solver = players[0]
    assert start(solver, ends)["success"]
    assert solve(site, solver, ends) == "correct"
    assert wait_until(lambda _: live(site, ends) == [], PATIENCE_SECONDS)
    newest = events(site, ends)[0]
    assert (newest["action"], newest["metadata"]["reason"]) == (
        "stopped",
        "the challenge was solved",
    )
    assert start(solver, stays)["success"]
    assert solve(site, solver, stays) == "correct"
    assert not wait_until(lambda _: live(site, stays) == [], SETTLES_SECONDS)
    assert solver.json("POST", f"{API}stop", {"challenge_id": stays})["success"]


def test_a_solved_container_gives_way_when_every_place_is_taken(
    ctfd: Path, tmp_path: Path, names: Iterator[str]
) -> None:
    """GZTimeWalker/GZCTF#430: the places of a contest are for those who still play."""
    site = Site(tmp_path, plugins=MEMORY, environ={"CRE_CAPACITY": "1"})
    try:
        number = site.challenge(next(names), container_image="simulated")
        solver, next_one, last = (
            site.visitor(name) for name in ("solver", "next", "last") if site.player(name)
        )
        assert start(solver, number)["success"]
        assert start(next_one, number)["code"] == "capacity"
        assert solve(site, solver, number) == "correct"
        assert start(next_one, number)["success"]
        assert start(last, number)["code"] == "capacity", "who has not solved it keeps his place"
    finally:
        site.stop()


# Pages.


@pytest.fixture
def admin(site: Site, browser: Browser, windows: list[Window], size: dict[str, int]) -> Window:
    found = Window(browser, site, size)
    windows.append(found)
    return found.log_in("admin")


def test_many_are_ended_on_one_page(
    site: Site,
    players: list[Visitor],
    names: Iterator[str],
    admin: Window,
    size: dict[str, int],
) -> None:
    """CTF-Cafe/CTF_Cafe_platform#72."""
    number, other = (site.challenge(next(names), container_image="simulated") for _ in "12")
    assert all(start(player, number)["success"] for player in players[:2])
    assert start(players[2], other)["success"]
    page = admin.open(f"{ADMIN}/instances")
    page.get_by_text("End many at once").click()
    page.get_by_label("Which").select_option("challenge_id")
    page.get_by_label("with the id").fill(str(number))
    page.get_by_label("Players lose what they have running").check()
    assert not admin.overflows()
    shot(page, f"end-many-{size['width']}")
    page.get_by_role("button", name="End them").click()
    expect(page.locator("#end-many").get_by_role("status")).to_contain_text("2 ended. Reload")
    expect(page.locator("#end-many progress")).to_have_attribute("value", "2")
    assert (live(site, number), len(live(site, other))) == ([], 1)
    assert {event["metadata"]["actor_name"] for event in events(site, number)[:2]} == {"admin"}
    # Without a script the form does the same, and asks for the box to be ticked.
    form = f"{ADMIN}/instances"
    fields = {"action": "stop_all", "which": "challenge_id", "number": str(other)}
    assert "tick the box" in site.admin.form(form, **fields).text
    assert len(live(site, other)) == 1
    assert "1 ended" in site.admin.form(form, sure="yes", **fields).text
    assert live(site, other) == []
    missing = {"action": "stop_all", "which": "user_id", "number": "", "sure": "yes"}
    assert "write the number" in site.admin.form(form, **missing).text


def test_the_history_says_why_a_start_failed(
    users_site: Site,
    docker_image: str,
    names: Iterator[str],
    browser: Browser,
    windows: list[Window],
    size: dict[str, int],
) -> None:
    """hexbay/ocean_ctf#18, GZTimeWalker/GZCTF#31: a broken image, on real Docker."""
    from conftest import require

    require("docker", bool(docker_image), "start a Docker engine (as root: dockerd)")
    script = "printf '\\033[2J<b>cannot open</b> /data for $FLAG\\n'; exit 3"
    number = users_site.challenge(
        next(names),
        container_image=docker_image,
        container_command=["/bin/busybox", "sh", "-c", script],
    )
    name = next(names)
    users_site.player(name)
    answer = start(users_site.visitor(name), number)
    assert answer["code"] == "start_failed"
    assert "exit" not in answer["message"]
    found = Window(browser, users_site, size)
    windows.append(found)
    found.log_in("admin")
    page = found.open(f"{ADMIN}/history?challenge_id={number}")
    row = page.locator("tbody tr").first
    expect(row).to_contain_text("ended with exit code 3")
    row.get_by_text("Printed last").click()
    expect(row.locator("pre")).to_have_text(r"\x1b[2J<b>cannot open</b> /data for $FLAG")
    assert not found.overflows()
    shot(page, f"why-{size['width']}")
