"""GET throughput of the fake Whale against a bare Flask JSON route on the same server settings.

Run: ``python -m benchmarks.fake_throughput``. Servers are processes of their own, so that the
clients' work does not slow them down. Prints one JSON object with the ratio.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import threading
import time
from typing import Any

from flask import Flask

from benchmarks.serving import Serving
from fake_whale import FakeWhale, SystemClock
from fake_whale.demo import DEMO_WORLD
from fake_whale.server import FakeServer

CLIENTS = 16
ROUNDS = 3
WHALE = "/api/v1/plugins/ctfd-whale/container?challenge_id=1"
HEADERS = {"Authorization": "Token ctfd_demo_alice", "Content-Type": "application/json"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one round")
    seconds = parser.parse_args().seconds
    rates: dict[str, list[float]] = {"bare": [], "fake": []}
    with Serving(_bare) as bare, Serving(_fake) as fake:
        for _ in range(ROUNDS):  # in turns, so that both see the same machine
            rates["bare"].append(_rate(bare.port, "/", seconds))
            rates["fake"].append(_rate(fake.port, WHALE, seconds))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    result = {
        "clients": CLIENTS,
        "rounds": ROUNDS,
        "seconds_per_round": seconds,
        "bare_per_second": round(medians["bare"]),
        "fake_per_second": round(medians["fake"]),
        "ratio": round(medians["fake"] / medians["bare"], 3),
    }
    print(json.dumps(result))  # noqa: T201  # the result is what this script is for


def _bare() -> FakeServer:
    app = Flask("bare")

    @app.get("/")
    def root() -> dict[str, Any]:
        return {"success": True, "data": {}}

    return FakeServer(app, "127.0.0.1", 0, lambda: None)


def _fake() -> FakeServer:
    return FakeWhale(DEMO_WORLD, clock=SystemClock()).serve()


def _rate(port: int, path: str, seconds: float) -> float:
    """Answers per second of :data:`CLIENTS` keep-alive clients."""
    counts = [0] * CLIENTS
    until = time.monotonic() + seconds

    def client(index: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while time.monotonic() < until:
            connection.request("GET", path, headers=HEADERS)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{path} answered {answer.status}")
            counts[index] += 1
        connection.close()

    threads = [threading.Thread(target=client, args=(index,)) for index in range(CLIENTS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - began)


if __name__ == "__main__":
    main()
