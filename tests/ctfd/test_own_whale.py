"""At 100 % of the dial, with ctfd-whale in the same CTFd: the site is its own Whale.

ctfd-whale starts real services on a swarm of our own; frp's admin interface alone is stubbed, so
that nothing leads to the containers and nothing is probed.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
import sqlalchemy as sa
from cluster import eventually, saved
from conftest import require
from flask import Flask, request
from private_engine import PrivateEngine
from servers import MariaDB

from conformance.web import serving
from ctfd.conftest import TIMES
from ctfd.site import Site
from ctfd.test_other_servers import STOP, solved, turned
from ctfd.test_rules_of_the_site import START
from engines.database import Database

NODE, NETWORK = "linux-1", "containers"
REPOSITORY, TAG = "127.0.0.1:9/challenge", "1"
"""A swarm asks the registry first: this one refuses at once, and then what is there is taken."""
PLAYERS = ("alice", "bob", "carol", "dave", "erin", "frank")
"""More than there are workers, so that each worker waits for calls to its own server."""
SERVERS = {
    "gevent": ("--worker-class", "gevent", "--workers", "2"),
    "gthread": ("--worker-class", "gthread", "--workers", "2", "--threads", "16"),
}


@dataclass(frozen=True)
class Swarm:
    """What ctfd-whale starts services on."""

    url: str
    client: docker.DockerClient

    def services(self) -> set[str]:
        """By ctfd-whale's own label."""
        return {each.attrs["Spec"]["Labels"]["whale_id"] for each in self.client.services.list()}

    def runs(self, number: int) -> bool:
        return len(self.client.containers.list()) == number


@pytest.fixture
def swarm(own_engines: None, docker_image: str) -> Iterator[Swarm]:
    """One node, labelled as ctfd-whale wants it, with the image."""
    require("docker", bool(docker_image), "start a Docker engine (as root: dockerd)")
    engine = PrivateEngine()
    try:
        client, shared = engine.client(), docker.from_env(timeout=60)
        client.images.load(saved(shared, docker_image))
        client.images.get(docker_image).tag(REPOSITORY, TAG)
        shared.close()
        client.swarm.init(advertise_addr=engine.address, listen_addr=f"{engine.address}:2377")
        node = client.nodes.list()[0]
        node.update({**node.attrs["Spec"], "Labels": {"name": NODE}})
        client.networks.create(NETWORK, driver="overlay", attachable=True)
        yield Swarm(engine.url, client)
    finally:
        engine.close()


@pytest.fixture
def frpc() -> Iterator[tuple[str, list[str]]]:
    """What ctfd-whale asks of frp's client: its address, and every configuration it was given."""
    app, given = Flask("frpc"), [""]

    @app.get("/api/status")
    @app.get("/api/reload")
    def done() -> str:
        return ""

    @app.route("/api/config", methods=["GET", "PUT"])
    def config() -> str:
        if request.method == "PUT":
            given.append(request.get_data(as_text=True))
        return "[common]\n"

    with serving(app) as (host, port):
        yield f"http://{host}:{port}", given


@pytest.mark.timeout(300)  # an engine, a database server and CTFd, started twice
@pytest.mark.parametrize("server", SERVERS)
def test_players_are_started_on_the_whale_of_their_own_site(
    whale_plugin: Path,
    redis: str,
    mariadb: MariaDB,
    swarm: Swarm,
    frpc: tuple[str, list[str]],
    tmp_path: Path,
    server: str,
) -> None:
    url = mariadb.create()
    folder = tmp_path / "site"
    folder.mkdir()
    environ = {
        **TIMES,
        "REDIS_URL": redis,
        "WHALE_READY_SERVES_WHALE": "true",
        "WHALE_CTFD_DATABASE_URL": url,
        "WHALE_PROBE": "false",
        "ROLLOUT_POLL_SECONDS": "0.01",
        "CRE_FIREWALL": "none",
    }
    with ExitStack() as stack:
        site = Site(
            folder,
            plugins={"ctfd-whale": whale_plugin},
            database_url=url,
            environ=environ,
        )
        stack.callback(site.stop)
        database = Database(url)
        stack.callback(database.close)
        site.config(
            **{
                "whale:docker_api_url": swarm.url,
                "whale:docker_auto_connect_network": NETWORK,
                "whale:docker_swarm_nodes": NODE,
                "whale:frp_api_url": frpc[0],
            }
        )
        # The address is known only now; Whale reads where Docker is when it is started; and of
        # several workers that make its tables at the same moment some would fail, and CTFd with it.
        site.stop()
        site.server = SERVERS[server]
        site.environ["WHALE_API_URL"] = site.url
        site.start()
        number = site.challenge(
            "Theirs",
            type="dynamic_docker",
            docker_image=f"{REPOSITORY}:{TAG}",
            redirect_port="80",
            redirect_type="http",
            dynamic_score="0",
            initial="100",
            minimum="1",
            decay="1",
            memory_limit="64m",
        )
        users = {name: site.player(name) for name in PLAYERS}
        assert turned(site, "set", share="100%")

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
        assert all(f"local_ip = {each}" in frpc[1][-1] for each in wanted), "frp was told of each"
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
