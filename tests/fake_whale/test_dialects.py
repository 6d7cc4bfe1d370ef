"""The other two dialects (docs/whale-wire.md, its first section)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fake_whale import FakeDialect, FakeWhale, VirtualEpochClock, WhaleWorld
from fake_whale.testing import WhalePlayer, tokens

Call = Callable[..., tuple[int, str, Any]]
PATHS = {
    FakeDialect.DOCUMENTED: "/ctfd-whale-user/container",
    FakeDialect.LEGACY: "/plugins/ctfd-whale/container",
}


@pytest.fixture
def fake(world: WhaleWorld, request: pytest.FixtureRequest) -> Iterator[FakeWhale]:
    with FakeWhale(world, clock=VirtualEpochClock(), dialect=request.param) as made:
        yield made


@pytest.fixture
def call(fake: FakeWhale, world: WhaleWorld) -> Iterator[Call]:
    """``call("POST", 1)`` by alice: status, content type, and the body read as JSON if it is."""
    with fake.serve() as server:
        alice = WhalePlayer(server.url, tokens(world)["alice"])

        def ask(method: str, challenge_id: object = None) -> tuple[int, str, Any]:
            answer = alice.call(method, challenge_id, path=PATHS[fake.dialect])
            kind = answer.headers["Content-Type"].partition(";")[0]
            try:
                return answer.status_code, kind, json.loads(answer.text)
            except ValueError:
                return answer.status_code, kind, None

        yield ask


documented = pytest.mark.parametrize("fake", [FakeDialect.DOCUMENTED], indirect=True)
legacy = pytest.mark.parametrize("fake", [FakeDialect.LEGACY], indirect=True)


@documented
def test_documented_life(call: Call, fake: FakeWhale) -> None:
    assert call("GET", 1)[2]["data"] == {}
    call("POST", 1)
    fake.clock.advance(3150)
    uuid = fake.state()["records"][0]["uuid"]
    running = {"uuid": uuid, "remaining_time": 450, "subdomain": f"{uuid}.127.0.0.1.nip.io"}
    assert call("GET", 1)[2]["data"] == running
    assert call("PATCH", 1) == (
        200,
        "application/json",
        {
            "success": True,
            "message": "Container renewed",
            "data": {**running, "remaining_time": 3600},
        },
    )
    assert call("DELETE", 1)[2]["message"] == "Container destroyed"
    assert fake.state()["services"] == []


@documented
def test_documented_refusals(call: Call) -> None:
    status, _, body = call("DELETE", 1)
    assert (status, body) == (403, {"success": False, "message": "No such container"})


JSON_AS_HTML = (200, "text/html")


@legacy
def test_legacy_life(call: Call, fake: FakeWhale) -> None:
    assert call("GET", 1) == (*JSON_AS_HTML, {"success": True})
    assert call("POST", 1) == (*JSON_AS_HTML, {"success": True})
    uuid = fake.state()["records"][0]["uuid"]
    assert call("GET", 1) == (
        *JSON_AS_HTML,
        {
            "success": True,
            "type": "http",
            "domain": f"{uuid}.127.0.0.1.nip.io:8080",
            "remaining_time": 3600,
            "lan_domain": f"2-{uuid}",
        },
    )
    assert call("GET", 2) == (*JSON_AS_HTML, {})
    assert call("PATCH", 1) == (*JSON_AS_HTML, {"success": True})
    assert call("DELETE", 1) == (*JSON_AS_HTML, {"success": True})


@legacy
def test_legacy_direct(call: Call, fake: FakeWhale) -> None:
    call("POST", 2)
    (record,) = fake.state()["records"]
    assert call("GET", 2)[2] == {
        "success": True,
        "type": "redirect",
        "ip": "127.0.0.1",
        "port": record["port"],
        "remaining_time": 3600,
        "lan_domain": f"2-{record['uuid']}",
    }


@legacy
def test_legacy_refusals(call: Call) -> None:
    assert call("POST", 999)[:2] == (404, "text/html")
    refused = call("PATCH", 1)
    assert refused == (*JSON_AS_HTML, {"success": False, "msg": "Instance not found."})
    assert call("POST", 1) == (*JSON_AS_HTML, {"success": False, "msg": "Request Too Fast!"})
