"""The same requests give the same answers, whatever backend stands behind the endpoints."""

from __future__ import annotations

from typing import Any

import pytest
from support.web_site import ALICE, BOB, Reply, Site, Swappable, site_app, site_of

from conformance.harness import Options
from conformance.harnesses.cre import MemoryHarness
from conformance.harnesses.whale import FakeWhaleHarness
from engines.contract import InstanceStatus
from engines.errors import BackendUnavailable
from engines.state.database import Database

SCRIPT = (
    ("POST", "extend", {"challenge_id": 1}),
    ("GET", "status?challenge_id=1", None),
    ("POST", "start", {"challenge_id": 3}),
    ("POST", "start", {"challenge_id": 999_999}),
    ("POST", "start", {"challenge_id": "1"}),
    ("POST", "start", {"challenge_id": 1}),
    ("POST", "start", {"chal_id": 1}),
    ("GET", "status?id=1", None),
    ("POST", "extend", {"challenge_id": 1}),
    ("POST", "start", {"challenge_id": 2}),
    ("POST", "stop", {"challenge_id": 2}),
    ("POST", "stop", {"challenge_id": 1}),
    ("GET", "status?challenge_id=1", None),
    ("POST", "stop", {"challenge_id": 1}),
)
STATUSES = [404, 200, 404, 404, 400, 201, 200, 200, 200, 409, 404, 200, 200, 404]


def told(site: Site) -> list[Reply]:
    """The script's answers."""
    return [
        site.get("alice", path) if method == "GET" else site.post("alice", path, body)
        for method, path, body in SCRIPT
    ]


def shape(value: Any) -> Any:
    """Keys and types of an answer."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else type(value).__name__


def behind(replies: list[Reply]) -> set[str]:
    """Which backends' instances were shown."""
    return {reply.body["data"]["backend"] for reply in replies if reply.body["data"]}


def test_a_script_is_answered_alike_before_and_after_a_swap(
    memory: MemoryHarness, whale: FakeWhaleHarness
) -> None:
    """The migration paper's test of ``extend`` and every other call: one running site, swapped."""
    cre, other = memory.world(Options()), whale.world(Options())
    provider = Swappable(cre.backend)
    with site_of(site_app(provider)) as site:
        before = told(site)
        provider.backend = other.backend
        after = told(site)
    cre.close()
    other.close()

    assert (behind(before), behind(after)) == ({"cre"}, {"whale"})
    assert [reply.status for reply in before] == STATUSES
    assert [reply.status for reply in after] == STATUSES
    for old, new in zip(before, after, strict=True):
        assert shape(old.body) == shape(new.body)
        assert old.body["code"] == new.body["code"]
        assert set(old.headers) == set(new.headers)


def test_an_extend_shows_the_instance_as_status_does(any_site: Site) -> None:
    any_site.post("alice", "start", {"challenge_id": 1})

    extended = any_site.post("alice", "extend", {"challenge_id": 1}).body["data"]

    assert tuple(extended) == tuple(InstanceStatus.__annotations__)
    assert extended["extension_count"] == 1
    assert extended == any_site.get("alice", "status?challenge_id=1").body["data"]


def test_the_call_sites_see_what_was_started_over_http(any_site: Site, any_world: Any) -> None:
    data = any_site.post("alice", "start", {"challenge_id": 1}).body["data"]

    assert any_world.backend.get_instance_status(ALICE.user_id, 1) == data


def test_in_an_outage_what_is_on_record_is_shown(any_site: Site, any_world: Any) -> None:
    live = any_site.post("alice", "start", {"challenge_id": 1}).body["data"]
    backend = any_world.backend

    with any_world.outage():
        seen = any_site.get("alice", "status?challenge_id=1")
        others = any_site.get("bob", "status?challenge_id=1")
        assert backend.holds(ALICE.user_id, 1)
        assert backend.last_known(BOB.user_id, 1) is None
        assert not backend.holds(BOB.user_id, 1)

    assert (seen.status, seen.body["code"]) == (200, "last_known")
    assert seen.body["data"]["container_id"] == live["container_id"]
    assert others.body["data"] is None


def test_records_that_cannot_be_read_are_out_of_reach_too(any_world: Any) -> None:
    backend = any_world.backend
    backend._store._database = gone = Database("postgresql+psycopg2://ctfd@127.0.0.1:9/ctfd")
    for ask in (backend.holds, backend.last_known):
        with pytest.raises(BackendUnavailable, match="the state database cannot be read"):
            ask(ALICE.user_id, 1)
    gone.close()
