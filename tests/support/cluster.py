"""A real Docker Swarm of two nodes on this machine: a manager and a worker."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import docker
from docker.errors import APIError
from docker.models.nodes import Node

from engines.probe import wait_until
from support.private_engine import PrivateEngine, Switch

HEARTBEAT_NANOSECONDS = 1_000_000_000
"""A node that is silent for about three of them is down to the manager."""
SEEN_SECONDS = 30.0


class Cluster:
    """Two engines of our own on one switch, joined to a swarm, with an image on both.

    Args:
        image: as ``docker save`` gives it.
    """

    def __init__(self, image: bytes) -> None:
        self._parts = contextlib.ExitStack()
        try:
            self._switch = Switch()
            self._parts.callback(self._switch.close)
            self.manager = self._engine()
            self.worker = self._engine()
            self.manager_client = self.manager.client()
            self.worker_client = self.worker.client()
            self._join()
            for client in (self.manager_client, self.worker_client):
                client.images.load(image)
        except BaseException:  # Ctrl-C too: nothing is left behind; raised again
            self.close()
            raise

    @property
    def url(self) -> str:
        """The manager, for ``DOCKER_HOST``."""
        return self.manager.url

    def cut_off_worker(self) -> None:
        """Pull the worker's cable: what it runs goes on. Returns once the manager has noticed."""
        self._switch.cut(self.worker.address)
        self._await_worker("down")

    def mend_worker(self) -> None:
        self._switch.mend(self.worker.address)
        self._await_worker("ready")

    def worker_down(self) -> None:
        """The worker's power fails. Returns once the manager has noticed."""
        self.worker.kill()
        self._await_worker("down")

    def worker_up(self) -> None:
        self.worker.start()
        self._await_worker("ready")

    def close(self) -> None:
        self._parts.close()

    def _engine(self) -> PrivateEngine:
        engine = PrivateEngine(self._switch)
        self._parts.callback(engine.close)
        return engine

    def _join(self) -> None:
        manager, worker = self.manager, self.worker
        listen = f"{manager.address}:2377"
        self.manager_client.swarm.init(
            advertise_addr=manager.address,
            listen_addr=listen,
            dispatcher_heartbeat_period=HEARTBEAT_NANOSECONDS,
        )
        token = self.manager_client.api.inspect_swarm()["JoinTokens"]["Worker"]
        self.worker_client.swarm.join(
            remote_addrs=[listen],
            join_token=token,
            advertise_addr=worker.address,
            listen_addr=f"{worker.address}:2377",
        )
        self._await_worker("ready")

    def _await_worker(self, state: str) -> None:
        def seen() -> bool:
            nodes = self.manager_client.api.nodes(filters={"role": "worker"})
            return [node["Status"]["State"] for node in nodes] == [state]

        eventually(seen, f"the worker is {state}")


def eventually(seen: Callable[[], bool], what: str, seconds: float = SEEN_SECONDS) -> None:
    """Wait until something is seen; fail when it is not."""
    assert wait_until(lambda _timeout: seen(), seconds), f"not within {seconds:g} s: {what}"


def saved(client: docker.DockerClient, image: str) -> bytes:
    """An image with its name, for other engines to load."""
    return b"".join(client.images.get(image).save(named=True))


def change_node(node: Node, spec: dict[str, Any]) -> None:
    """Set a node's specification; the swarm itself writes to a node, too, at any moment."""
    while True:
        node.reload()
        try:
            node.update(spec)
            return
        except APIError as error:
            if "out of sequence" not in str(error):
                raise
