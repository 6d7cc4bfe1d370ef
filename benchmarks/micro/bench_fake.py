"""The fake Whale's throughput against a bare Flask JSON route on the same server settings.

A call is a burst of GETs by clients that keep their connections; the ratio is one of times.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection

from benchmarks.micro import served
from benchmarks.micro.pairs import NotDone, Pair, Variant
from benchmarks.servers import Serving

CLIENTS, REQUESTS = 16, 25
"""At one time, and how many each makes one after the other."""
WHALE = "/api/v1/plugins/ctfd-whale/container?challenge_id=1"
HEADERS = {"Authorization": "Token ctfd_demo_alice", "Content-Type": "application/json"}


class Clients:
    """Browsers, as it were, each with a connection that it keeps."""

    def __init__(self, port: int, path: str) -> None:
        self._path = path
        self._connections = [HTTPConnection("127.0.0.1", port, timeout=30) for _ in range(CLIENTS)]
        self._pool = ThreadPoolExecutor(CLIENTS)

    def burst(self) -> None:
        list(self._pool.map(self._ask, self._connections))

    def close(self) -> None:
        self._pool.shutdown()
        for connection in self._connections:
            connection.close()

    def _ask(self, connection: HTTPConnection) -> None:
        for _ in range(REQUESTS):
            connection.request("GET", self._path, headers=HEADERS)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise NotDone(f"{self._path} answered {answer.status}")


@contextmanager
def clients(port: int, path: str) -> Iterator[Clients]:
    made = Clients(port, path)
    try:
        yield made
    finally:
        made.close()


def test_throughput(pair: Pair) -> None:
    with (
        Serving(served.bare) as bare,
        Serving(served.fake) as fake,
        clients(bare.port, "/") as plain,
        clients(fake.port, WHALE) as whale,
    ):
        pair(Variant(whale.burst), Variant(plain.burst), rounds=40)
