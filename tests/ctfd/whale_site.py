"""A CTFd with ctfd-whale in it, on a swarm of our own; frp's admin interface alone is stubbed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from flask import Flask, request
from support.cluster import change_node, saved
from support.private_engine import PrivateEngine

from conformance.spec.web import serving
from ctfd.site import OWN_PLUGINS, Site

NODE, NETWORK = "linux-1", "containers"
REPOSITORY, TAG = "127.0.0.1:9/challenge", "1"
"""A swarm asks the registry first: this one refuses at once, and then what is there is taken."""
IMAGE = f"{REPOSITORY}:{TAG}"
PORT, MEMORY = 80, "64m"


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


@dataclass(frozen=True)
class Frpc:
    """What ctfd-whale asks of frp's client: its address, and every configuration it was given."""

    url: str
    given: list[str]


@contextmanager
def own_swarm(image: str) -> Iterator[Swarm]:
    """One node, labelled as ctfd-whale wants it, with the image."""
    engine = PrivateEngine()
    try:
        client, shared = engine.client(), docker.from_env(timeout=60)
        client.images.load(saved(shared, image))
        client.images.get(image).tag(REPOSITORY, TAG)
        shared.close()
        client.swarm.init(advertise_addr=engine.address, listen_addr=f"{engine.address}:2377")
        node = client.nodes.list()[0]
        change_node(node, {**node.attrs["Spec"], "Labels": {"name": NODE}})
        client.networks.create(NETWORK, driver="overlay", attachable=True)
        yield Swarm(engine.url, client)
    finally:
        engine.close()


@contextmanager
def stubbed_frpc() -> Iterator[Frpc]:
    """Takes every configuration, and leads nowhere."""
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
        yield Frpc(f"http://{host}:{port}", given)


@contextmanager
def site_with_whale(
    folder: Path,
    plugin: Path,
    swarm: Swarm,
    frpc: Frpc,
    *,
    database_url: str,
    server: tuple[str, ...],
    environ: Mapping[str, str],
) -> Iterator[Site]:
    """The site, with Whale at its own address; the own engine's containers are simulated."""
    folder.mkdir()
    plugins = {"aa_memory_runtime": OWN_PLUGINS / "aa_memory_runtime", "ctfd-whale": plugin}
    site = Site(folder, plugins=plugins, database_url=database_url, environ=environ)
    try:
        site.config(
            **{
                "whale:docker_api_url": swarm.url,
                "whale:docker_auto_connect_network": NETWORK,
                "whale:docker_swarm_nodes": NODE,
                "whale:frp_api_url": frpc.url,
            }
        )
        # The address is known only now; Whale reads where Docker is when it is started; and of
        # several workers that make its tables at the same moment some would fail, and CTFd with it.
        site.stop()
        site.server = server
        site.environ["WHALE_API_URL"] = site.url
        site.start()
        yield site
    finally:
        site.stop()


def whale_challenge(site: Site, name: str) -> int:
    """A challenge of ctfd-whale's; returns the id."""
    return site.challenge(
        name,
        type="dynamic_docker",
        docker_image=IMAGE,
        redirect_port=str(PORT),
        redirect_type="http",
        dynamic_score="0",
        initial="100",
        minimum="1",
        decay="1",
        memory_limit=MEMORY,
    )
