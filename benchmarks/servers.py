"""A server in a process of its own, so that its clients' work does not slow it down."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection

from fake_whale.web.server import FakeServer


class Serving:
    """Serves, while it is entered, what ``make`` makes, at :attr:`port` on loopback."""

    def __init__(self, make: Callable[[], FakeServer]) -> None:
        context = multiprocessing.get_context("spawn")
        self._stop, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(make, theirs), daemon=True)

    def __enter__(self) -> Serving:
        self._process.start()
        self.port: int = self._stop.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.send("stop")
        self._process.join(timeout=10)


def _serve(make: Callable[[], FakeServer], pipe: Connection) -> None:
    with make() as server:
        pipe.send(server.port)
        pipe.recv()
