"""At 100 % of the dial, with ctfd-whale in the same CTFd: the site is its own Whale.

ctfd-whale starts real services on a swarm of our own; frp's admin interface alone is stubbed, so
that nothing leads to the containers and nothing is probed.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
from support.cluster import eventually
from support.servers import MariaDB

from ctfd.test_other_servers import STOP, solved, turned
from ctfd.test_rules_of_the_site import START
from ctfd.test_what_whale_has import starts_on_cre
from ctfd.whale_site import Frpc, Swarm, site_with_whale, whale_challenge
from engines.state.database import Database

PLAYERS = ("alice", "bob", "carol", "dave", "erin", "frank")
"""More than there are workers, so that each worker waits for calls to its own server."""
SERVERS = {
    "gevent": ("--worker-class", "gevent", "--workers", "2"),
    "gthread": ("--worker-class", "gthread", "--workers", "2", "--threads", "16"),
}


@pytest.mark.parametrize("server", SERVERS)
def test_players_are_started_on_the_whale_of_their_own_site(
    whale_plugin: Path,
    redis: str,
    mariadb: MariaDB,
    swarm: Swarm,
    frpc: Frpc,
    tmp_path: Path,
    server: str,
) -> None:
    url = mariadb.create()
    environ = {
        "REDIS_URL": redis,
        "WHALE_READY_SERVES_WHALE": "true",
        "WHALE_CTFD_DATABASE_URL": url,
        "WHALE_PROBE": "false",
        "ROLLOUT_POLL_SECONDS": "0.01",
    }
    with ExitStack() as stack:
        database = Database(url)
        stack.callback(database.close)
        site = stack.enter_context(
            site_with_whale(
                *(tmp_path / "site", whale_plugin, swarm, frpc),
                database_url=url,
                server=SERVERS[server],
                environ=environ,
            )
        )
        number = whale_challenge(site, "Theirs")
        users = {name: site.player(name) for name in PLAYERS}
        assert turned(site, "set", share="100%")
        starts_on_cre(site, "grace")

        visitors = {name: site.visitor(name) for name in PLAYERS}
        body = {"challenge_id": number}
        with ThreadPoolExecutor(len(PLAYERS)) as pool:
            asked = [pool.submit(each.json, "POST", START, body) for each in visitors.values()]
            started = {name: answer.result() for name, answer in zip(PLAYERS, asked, strict=True)}

        told = {name: (each["code"], each["data"]) for name, each in started.items()}
        assert {code for code, _ in told.values()} == {"ok"}, told
        assert {data["backend"] for _, data in told.values()} == {"whale"}
        wanted = {f"{users[name]}-{data['container_id']}" for name, (_, data) in told.items()}
        assert swarm.services() == wanted
        assert all(f"local_ip = {each}" in frpc.given[-1] for each in wanted), (
            "frp was told of each"
        )
        eventually(lambda: swarm.runs(len(PLAYERS)), "a container for each")

        alice = visitors["alice"]
        assert alice.json("POST", START, body)["code"] == "already_running"
        assert alice.json("POST", "/api/v1/container/extend", body)["code"] == "ok"
        assert solved(alice, number, "flag{guessed}") == "incorrect"
        assert solved(alice, number, whales_flag(database, users["alice"])) == "correct"

        # Turning back takes nothing from anybody.
        assert turned(site, "back")
        for visitor in visitors.values():
            status = visitor.json("GET", f"/api/v1/container/status?id={number}")
            assert status["data"]["backend"] == "whale"
            assert visitor.json("POST", STOP, body)["code"] == "ok"
        assert swarm.services() == set()


def whales_flag(database: Database, user_id: int) -> str:
    """The flag that ctfd-whale gave the user's container."""
    with database.read() as connection:
        query = sa.text("SELECT flag FROM whale_container WHERE user_id = :user_id")
        return str(connection.execute(query, {"user_id": user_id}).scalar())
