"""What the Whale adapter costs on top of Whale itself, against a fake Whale on loopback.

The fake is a process of its own. Status is held against a bare ``requests.Session`` GET whose
answer is parsed in the same way; a start against POST and the GET that tells the address, a stop
against DELETE. The adapter's requests per call are told beside the ratio.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from benchmarks.micro import served
from benchmarks.micro.pairs import NotDone, Pair, Variant
from benchmarks.servers import Serving
from engines.contract import ActionResult, StartResult
from engines.settings import Settings
from engines.whale import StaticTokens, WhaleAPIManager
from engines.whale.client import WhaleAnswer
from engines.whale.dialects import CtfdWhale

USER, CHALLENGE = 2, 1
TOKEN = "ctfd_demo_alice"  # noqa: S105 - the demo world's, made up
HEADERS = {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"}
ROUNDS = 200


class Bare:
    """The same requests by ``requests`` alone."""

    def __init__(self, url: str) -> None:
        self._session = requests.Session()
        self._url = url
        self._dialect = CtfdWhale()

    def start(self) -> None:
        self._ask("POST")
        self.status()  # only there does Whale say where the container is

    def status(self) -> None:
        if self._dialect.look(self._ask("GET")) is None:
            raise NotDone("nothing runs")

    def stop(self) -> None:
        self._ask("DELETE")

    def close(self) -> None:
        self._session.close()

    def _ask(self, method: str) -> WhaleAnswer:
        path = self._dialect.path(CHALLENGE)
        answer = self._session.request(method, self._url + path, headers=HEADERS, timeout=30)
        self._session.cookies.clear()  # kept, they would turn token calls into session calls
        parsed = answer.json()
        if answer.status_code != 200 or not parsed.get("success"):
            raise NotDone(f"{method} answered {answer.status_code}")
        kind = answer.headers["Content-Type"]
        return WhaleAnswer(method, path, answer.status_code, kind, parsed, 0)


class Adapter:
    """The adapter's calls, each of which must succeed; its requests are counted."""

    def __init__(self, url: str, folder: Path) -> None:
        self._call = ""
        self._calls: Counter[str] = Counter()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._manager = WhaleAPIManager(
            Settings(
                whale_api_url=url,
                whale_probe=False,
                whale_dialect=CtfdWhale.name,
                database_url=f"sqlite:///{folder / 'state.db'}",
            ),
            credentials=StaticTokens({USER: TOKEN}),
            observer=lambda answer: self._requests.update([(self._call, answer.method)]),
        )

    def requests(self, call: str) -> str:
        """How many it made for each such call, by method."""
        made = sorted(
            (request, number) for request, number in self._requests.items() if request[0] == call
        )
        return " ".join(f"{number / self._calls[call]:g}×{each[1]}" for each, number in made)

    def start(self) -> None:
        self._begins("start")
        _done(self._manager.start_instance(USER, CHALLENGE))

    def status(self) -> None:
        self._begins("status")
        if self._manager.get_instance_status(USER, CHALLENGE) is None:
            raise NotDone("nothing runs")

    def stop(self) -> None:
        self._begins("stop")
        _done(self._manager.stop_instance(USER, CHALLENGE))

    def close(self) -> None:
        self._manager.close()

    def _begins(self, call: str) -> None:
        self._call = call
        self._calls[call] += 1


def _done(result: StartResult | ActionResult) -> None:
    if not result.ok:
        raise NotDone(f"{result.code.value}: {result.message}")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Adapter, Bare]]:
    """The adapter and bare requests, in front of one fake Whale."""
    with Serving(served.fake) as fake:
        url = f"http://127.0.0.1:{fake.port}"
        adapter, bare = Adapter(url, tmp_path_factory.mktemp("adapter")), Bare(url)
        yield adapter, bare
        adapter.close()
        bare.close()


def test_status(pair: Pair, both: tuple[Adapter, Bare]) -> None:
    adapter, bare = both
    adapter.start()
    subject, baseline = Variant(adapter.status), Variant(bare.status)
    pair(subject, baseline, ROUNDS, requests=lambda: adapter.requests("status"))
    adapter.stop()


def test_start(pair: Pair, both: tuple[Adapter, Bare]) -> None:
    adapter, bare = both
    subject, baseline = (
        Variant(adapter.start, after=adapter.stop),
        Variant(bare.start, after=bare.stop),
    )
    pair(subject, baseline, ROUNDS, requests=lambda: adapter.requests("start"))


def test_stop(pair: Pair, both: tuple[Adapter, Bare]) -> None:
    adapter, bare = both
    subject, baseline = (
        Variant(adapter.stop, before=adapter.start),
        Variant(bare.stop, before=bare.start),
    )
    pair(subject, baseline, ROUNDS, requests=lambda: adapter.requests("stop"))
