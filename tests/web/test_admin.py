"""What admins see and do, and that nobody else does."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from support.web_site import BOB, Site, site_app, site_of

from conformance.harness import Options
from conformance.harnesses.cre import MemoryWorld
from conformance.harnesses.whale import FakeWhaleHarness, FakeWhaleWorld
from engines.state.database import Database
from engines.web import KEYS, DatabaseOverview, HistoryQuery

READS = ("admin/instances", "admin/history")
CHANGES = ("admin/stop", "admin/extend")
MORE_CHANGES = ("admin/stop-all", "admin/solved")
NOWHERE = "postgresql+psycopg2://ctfd:hunter2@127.0.0.1:9/ctfd"


@pytest.mark.parametrize(("name", "status"), [(None, 401), ("alice", 403), ("mate", 403)])
def test_for_admins_only(site: Site, cre_world: MemoryWorld, name: str | None, status: int) -> None:
    site.post("bob", "start", {"challenge_id": 1})
    events = cre_world.events()

    replies = [site.get(name, f"{path}?is_admin=true") for path in READS]
    body = {"challenge_id": 1, "user_id": BOB.user_id, "is_admin": True}
    replies += [site.post(name, path, body) for path in CHANGES + MORE_CHANGES]

    for reply in replies:
        assert reply.status == status
        assert tuple(reply.body) == KEYS
        assert reply.body["data"] is None
    assert cre_world.events() == events


def test_an_admin_sees_what_is_live(site: Site, cre_world: MemoryWorld) -> None:
    assert site.get("admin", "admin/instances").body["data"] == {"instances": []}
    bobs = site.post("bob", "start", {"challenge_id": 1}).body["data"]
    cre_world.advance(60)
    mates = site.post("mate", "start", {"challenge_id": 2}).body["data"]

    found = site.get("admin", "admin/instances").body["data"]["instances"]

    owners = [(each["user_id"], each["team_id"], each["challenge_id"]) for each in found]
    assert owners == [(12, None, 1), (21, 2, 2)]
    assert [each["container_id"] for each in found] == [bobs["container_id"], mates["container_id"]]
    assert [each["remaining_seconds"] for each in found] == [3540, 3600]
    assert found[0]["ports"] == bobs["ports"]


def test_what_has_expired_is_not_live(site: Site, cre_world: MemoryWorld) -> None:
    site.post("bob", "start", {"challenge_id": 1})
    cre_world.advance(3600)

    assert site.get("admin", "admin/instances").body["data"] == {"instances": []}


def test_an_admin_sees_whales_instances_too(whale: FakeWhaleHarness) -> None:
    world = whale.world(Options())
    assert isinstance(world, FakeWhaleWorld)
    overview = DatabaseOverview(world.database, world.manager.clock)
    with site_of(site_app(lambda: world.backend, overview=overview)) as site:
        site.post("alice", "start", {"challenge_id": 1})
        found = site.get("admin", "admin/instances").body["data"]["instances"]
        history = site.get("admin", "admin/history").body["data"]["events"]
    world.close()

    assert [(each["backend"], each["user_id"]) for each in found] == [("whale", 11)]
    assert [event["action"] for event in history] == ["started"]


def test_an_admin_extends_and_stops_for_a_player(
    site: Site, cre_world: MemoryWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "engines.web.admin")
    site.post("mate", "start", {"challenge_id": 1})
    order = {"challenge_id": 1, "user_id": 22, "team_id": 2}

    extended = site.post("admin", "admin/extend", order)
    stopped = site.post("admin", "admin/stop", order)
    again = site.post("admin", "admin/stop", order)

    assert extended.body["data"]["extension_count"] == 1
    assert (stopped.status, stopped.body["data"]) == (200, None)
    assert (again.status, again.body["code"]) == (404, "not_found")
    assert not cre_world.running()
    assert "admin 13: extend for user 22, team 2, challenge 1: ok" in caplog.text
    assert "admin 13: stop for user 22, team 2, challenge 1: ok" in caplog.text


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"challenge_id": 1}, "user_id is missing"),
        ({"challenge_id": 1, "user_id": "12"}, "user_id must be"),
        ({"challenge_id": 1, "user_id": True}, "user_id must be"),
        ({"challenge_id": 1, "user_id": 12, "team_id": 0}, "team_id must be"),
        ({"user_id": 12}, "challenge_id is missing"),
    ],
)
def test_an_admin_names_the_account(site: Site, body: dict[str, object], named: str) -> None:
    for path in CHANGES:
        reply = site.post("admin", path, body)
        assert reply.status == 400
        assert reply.body["message"].startswith(named)


def test_an_admin_ends_many_at_once(site: Site, cre_world: MemoryWorld) -> None:
    """CTF-Cafe/CTF_Cafe_platform#72."""
    for name, number in (("alice", 1), ("bob", 1), ("mate", 2)):
        assert site.post(name, "start", {"challenge_id": number}).status == 201

    one = site.post("admin", "admin/stop-all", {"challenge_id": 1})
    everything = site.post("admin", "admin/stop-all", {"all": True})
    nothing = site.post("admin", "admin/stop-all", {"team_id": 2})

    assert one.body["data"] == {"ended": 2, "failed": [], "left": 0}
    assert everything.body["data"] == {"ended": 1, "failed": [], "left": 0}
    assert nothing.body["data"] == {"ended": 0, "failed": [], "left": 0}
    assert one.body["message"] == "2 ended"
    assert not cre_world.running()
    events = site.get("admin", "admin/history").body["data"]["events"]
    assert [event["metadata"].get("reason") for event in events[:3]] == [
        "ended with all instances",
        *["ended with all instances of challenge 1"] * 2,
    ]
    assert {event["metadata"]["actor"] for event in events[:3]} == {13}


def test_what_an_outage_keeps_running_is_named(site: Site, cre_world: MemoryWorld) -> None:
    site.post("mate", "start", {"challenge_id": 1})
    with cre_world.outage():
        reply = site.post("admin", "admin/stop-all", {"team_id": 2})
    failed = [{"user_id": 21, "challenge_id": 1, "team_id": 2, "code": "unavailable"}]
    assert reply.body["data"] == {"ended": 0, "failed": failed, "left": 0}
    assert reply.body["message"] == "0 ended, 1 could not be ended now"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"all": False},
        {"all": 1},
        {"all": None, "challenge_id": 1},
        {"all": True, "challenge_id": 1},
        {"challenge_id": None},
        {"user_id": "1"},
        {"team_id": 0},
    ],
)
def test_all_is_ended_only_where_all_is_said(
    site: Site, cre_world: MemoryWorld, body: dict[str, object]
) -> None:
    site.post("alice", "start", {"challenge_id": 1})
    assert site.post("admin", "admin/stop-all", body).status == 400
    assert len(cre_world.running()) == 1


@pytest.mark.parametrize("wanted", [True, False])
def test_a_site_without_the_plugin_tells_of_a_solve(
    site: Site, cre_world: MemoryWorld, wanted: bool
) -> None:
    """GZTimeWalker/GZCTF#430, ctfer-io/ctfd-chall-manager#60, otter-sec/rctf#222."""
    cre_world.engine.settings = replace(cre_world.engine.settings, ends_on_solve=wanted)
    site.post("mate", "start", {"challenge_id": 1})
    order = {"challenge_id": 1, "user_id": 22, "team_id": 2}

    first = site.post("admin", "admin/solved", order)
    second = site.post("admin", "admin/solved", order)

    assert (first.status, first.body["data"]) == (200, {"ended": wanted})
    assert (second.status, second.body["data"]) == (200, {"ended": False})
    assert bool(cre_world.running()) is not wanted


def test_the_history_has_pages(site: Site) -> None:
    for name in ("alice", "bob", "alice"):
        site.post(name, "start", {"challenge_id": 1})
        site.post(name, "stop", {"challenge_id": 1})

    seen: list[int] = []
    path = "admin/history?limit=4"
    sizes: list[int] = []
    while True:
        page = site.get("admin", path).body["data"]
        sizes.append(len(page["events"]))
        seen += [event["id"] for event in page["events"]]
        if page["next_before"] is None:
            break
        path = f"admin/history?limit=4&before={page['next_before']}"

    assert sizes == [4, 2]
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 6


def test_a_last_page_that_is_full_has_none_behind_it(site: Site) -> None:
    site.post("alice", "start", {"challenge_id": 1})

    page = site.get("admin", "admin/history?limit=1").body["data"]

    assert (len(page["events"]), page["next_before"]) == (1, None)


def test_equal_refusals_are_one_event_with_the_time_of_the_last(
    site: Site, cre_world: MemoryWorld
) -> None:
    for _ in range(2):
        site.post("alice", "stop", {"challenge_id": 1})
        cre_world.advance(5)
    site.post("alice", "extend", {"challenge_id": 1})

    extend, stop = site.get("admin", "admin/history").body["data"]["events"]

    assert (extend["times"], extend["last_at"]) == (1, None)
    first, last = (datetime.fromisoformat(stop[name]) for name in ("at", "last_at"))
    assert (stop["times"], last - first) == (2, timedelta(seconds=5))


def test_the_history_of_one_player_or_challenge(site: Site) -> None:
    site.post("alice", "start", {"challenge_id": 1})
    site.post("bob", "start", {"challenge_id": 2})
    site.post("mate", "start", {"challenge_id": 1})

    def users(query: str) -> list[int]:
        events = site.get("admin", f"admin/history?{query}").body["data"]["events"]
        return [event["user_id"] for event in events]

    assert users("user_id=12") == [12]
    assert users("team_id=2") == [21]
    assert users("challenge_id=1") == [21, 11]
    assert users("challenge_id=1&user_id=11") == [11]
    assert users("challenge_id=99") == []


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "before=-1", "user_id="])
def test_a_history_that_cannot_be_meant(site: Site, query: str) -> None:
    reply = site.get("admin", f"admin/history?{query}")
    assert reply.status == 400
    assert reply.body["message"].startswith(query.partition("=")[0])


def test_a_database_that_is_gone_is_503(
    cre_world: MemoryWorld, caplog: pytest.LogCaptureFixture
) -> None:
    overview = DatabaseOverview(cre_world._database)
    gone = Database(NOWHERE)
    overview._database = gone
    with site_of(site_app(lambda: cre_world.backend, overview=overview)) as site:
        for path in READS:
            reply = site.get("admin", path)
            assert (reply.status, reply.body["code"]) == (503, "unavailable")
            assert "hunter2" not in reply.text
    gone.close()
    assert "hunter2" not in caplog.text


def test_the_lists_on_every_database(any_database: Database) -> None:
    overview = DatabaseOverview(any_database)
    assert overview.live() == []
    assert overview.history(HistoryQuery(user_id=1, before=5)).events == []


def test_without_an_overview_there_are_no_admin_endpoints(cre_world: MemoryWorld) -> None:
    with site_of(site_app(lambda: cre_world.backend)) as site:
        for path in READS:
            assert site.get("admin", path).body["code"] == "no_such_endpoint"
        document = site.get(None, "openapi.json").body
        assert not [path for path in document["paths"] if "admin" in path]
