"""``whale-ready preflight`` against a real CTFd with ctfd-whale, which is set up as most are.

What it must find there was found by hand before: the admin's list that breaks as soon as something
runs, and MariaDB's own isolation level, under which requests at once do not see each other.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from support.changed_settings import shipped_but
from support.servers import MariaDB

from ctfd.site import Visitor
from ctfd.whale_site import IMAGE, MEMORY, PORT, Frpc, Swarm, site_with_whale, whale_challenge
from engines.state.database import Database

NOT_OK = {"admin-list", "isolation"}
NOT_CHECKABLE = {
    *("answers", "cleaner", "counter-proof", "resolver"),
    *("frpc-token", "frpc-restart", "workers"),
}
"""frp is stubbed, so that nobody can ask the container; nothing is about to end; and CTFd and frp's
stub run in no Docker engine."""
CATALOGUE = f"""
[[challenge]]
id = {{}}
name = "{{}}"
image = "{IMAGE}"
ports = [{PORT}]
memory_mb = {MEMORY.removesuffix("m")}
cpus = 0.5
"""


def test_it_finds_what_is_wrong_with_most_of_them(
    whale_plugin: Path, redis: str, mariadb: MariaDB, swarm: Swarm, frpc: Frpc, tmp_path: Path
) -> None:
    url, path = mariadb.create(), tmp_path / "preflight.json"
    with site_with_whale(
        *(tmp_path / "site", whale_plugin, swarm, frpc),
        database_url=url,
        server=("--worker-class", "gevent"),
        environ={"REDIS_URL": redis},
    ) as site:
        names = ("First", "Second")
        catalogue = tmp_path / "challenges.toml"
        catalogue.write_text(
            "".join(CATALOGUE.format(whale_challenge(site, name), name) for name in names)
        )
        alice, _bob = site.player("alice"), site.player("bob")
        for visitor in (site.admin, site.visitor("alice"), site.visitor("bob")):
            token(visitor)
        state = f"sqlite:///{tmp_path / 'state.db'}"
        Database(state).ensure_schema()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "whale_ready", "preflight", "--whale", site.url),
                *("--challenges", str(catalogue), "--database", state),
                *("--admin", "1", "--probe-account", str(alice), "--expected-players", "2"),
                *("--report", str(path)),
            ],
            env={
                **shipped_but(WHALE_CTFD_DATABASE_URL=url, WHALE_PROBE="false"),
                "DOCKER_HOST": swarm.url,  # where the engine that would take over has the image
            },
            capture_output=True,
            text=True,
            check=False,
        )
        found = {item["id"]: item for item in json.loads(path.read_text())["items"]}
        states = {name: each["state"] for name, each in found.items()}
        assert {name for name, each in states.items() if each == "not_ok"} == NOT_OK, found
        assert {n for n, each in states.items() if each == "not_checkable"} == NOT_CHECKABLE, found
        assert done.returncode == 1, done.stdout + done.stderr
        assert swarm.services() == set(), "the probe's instance is stopped"


def token(visitor: Visitor) -> None:
    """Have CTFd make an access token."""
    body = {"expiration": "2030-01-01", "description": "for the preflight"}
    answer = visitor.json("POST", "/api/v1/tokens", body)
    assert answer["success"], answer
