"""What the Whale adapter costs on top of Whale itself, against a fake Whale on loopback.

Run: ``python -m benchmarks.adapter_overhead``. The fake is a process of its own. Status is held
against a bare ``requests.Session`` GET whose answer is parsed in the same way; a start against
POST and the GET that tells the address, a stop against DELETE. The adapter's requests are counted:
one read more than the bare ones each. Prints one JSON object with the ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import requests

from benchmarks.serving import Serving
from engines.settings import Settings
from engines.whale import StaticTokens, WhaleAPIManager
from engines.whale.client import Answer
from engines.whale.dialects import CtfdWhale
from fake_whale import FakeWhale, SystemClock
from fake_whale.demo import DEMO_WORLD
from fake_whale.server import FakeServer

USER, CHALLENGE = 2, 1
TOKEN = "ctfd_demo_alice"  # noqa: S105 - the demo world's, made up
HEADERS = {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"}
BLOCK = 50
"""Calls of one kind in a row; the kinds take turns, so that all see the same machine."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=20, help=f"blocks of {BLOCK} calls per kind")
    parser.add_argument("--cycles", type=int, default=100, help="start and stop this many times")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        url = f"http://127.0.0.1:{stack.enter_context(Serving(_fake)).port}"
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        session = stack.enter_context(requests.Session())
        requests_sent: Counter[str] = Counter()
        manager = WhaleAPIManager(
            Settings(
                whale_api_url=url,
                whale_probe=False,
                whale_dialect=CtfdWhale.name,
                database_url=f"sqlite:///{Path(folder) / 'state.db'}",
            ),
            credentials=StaticTokens({USER: TOKEN}),
            observer=lambda answer: requests_sent.update([answer.method]),
        )
        stack.callback(manager.close)
        result = {
            "status": _status(manager, session, url, chosen.blocks),
            **_writes(manager, session, url, chosen.cycles, requests_sent),
        }
    print(json.dumps(result, indent=2))  # noqa: T201 - the result is what this script is for


def _fake() -> FakeServer:
    return FakeWhale(DEMO_WORLD, clock=SystemClock()).serve()


def _bare(session: requests.Session, method: str, url: str) -> Answer:
    """One request, and its answer in the form that dialects read."""
    path = CtfdWhale().path(CHALLENGE)
    answer = session.request(method, url + path, headers=HEADERS, timeout=30)
    session.cookies.clear()  # kept, they would turn token calls into session calls
    kind = answer.headers["Content-Type"]
    return Answer(method, path, answer.status_code, kind, answer.json(), 0)


def _milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def _status(
    manager: WhaleAPIManager, session: requests.Session, url: str, blocks: int
) -> dict[str, float]:
    dialect = CtfdWhale()
    manager.start_instance(USER, CHALLENGE)
    kinds: dict[str, Callable[[], object]] = {
        "bare": lambda: dialect.look(_bare(session, "GET", url)),
        "adapter": lambda: manager.get_instance_status(USER, CHALLENGE),
    }
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    for block in range(blocks + 1):
        for kind, call in kinds.items():
            measured = [_milliseconds(call) for _ in range(BLOCK)]
            if block:  # the first warms up
                taken[kind] += measured
    manager.stop_instance(USER, CHALLENGE)
    bare, adapter = (statistics.median(taken[kind]) for kind in ("bare", "adapter"))
    return {
        "bare_p50_ms": round(bare, 3),
        "adapter_p50_ms": round(adapter, 3),
        "ratio": round(adapter / bare, 3),
    }


def _writes(
    manager: WhaleAPIManager,
    session: requests.Session,
    url: str,
    cycles: int,
    sent: Counter[str],
) -> dict[str, dict[str, object]]:
    def bare_start() -> None:
        _bare(session, "POST", url)
        _bare(session, "GET", url)  # only there does Whale say where the container is

    kinds: dict[str, Callable[[], object]] = {
        "bare start": bare_start,
        "bare stop": lambda: _bare(session, "DELETE", url),
        "start": lambda: manager.start_instance(USER, CHALLENGE),
        "stop": lambda: manager.stop_instance(USER, CHALLENGE),
    }
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    requests_of: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    for _ in range(cycles):
        for kind, call in kinds.items():
            sent.clear()
            taken[kind].append(_milliseconds(call))
            requests_of[kind] += sent
    p50 = {kind: statistics.median(values) for kind, values in taken.items()}
    return {
        kind: {
            "bare_p50_ms": round(p50[f"bare {kind}"], 3),
            "adapter_p50_ms": round(p50[kind], 3),
            "ratio": round(p50[kind] / p50[f"bare {kind}"], 3),
            "requests": {method: number / cycles for method, number in requests_of[kind].items()},
        }
        for kind in ("start", "stop")
    }


if __name__ == "__main__":
    main()
