"""An account that calls too often is told to wait, and its calls leave nothing behind."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from support.cre_stage import Stage
from support.web_site import JSON, Site, site_app, site_of

from engines.catalog import ChallengeSpec
from engines.contract import LARGEST_ID
from engines.settings import Settings
from engines.state.database import Database
from engines.web import KEYS

LIMIT = 3
FIRST = ChallengeSpec(5, "First", "first")
UNKNOWN = 1_000_000


@pytest.fixture
def stage(database: Database) -> Stage:
    return Stage(database, FIRST, settings=Settings(calls_per_minute=LIMIT))


@pytest.fixture
def limited(stage: Stage) -> Iterator[Site]:
    with site_of(site_app(lambda: stage.engine)) as served:
        yield served


def statuses(site: Site, name: str, path: str, *numbers: object) -> list[int]:
    return [site.post(name, path, {"challenge_id": number}).status for number in numbers]


def rows(stage: Stage) -> int:
    with stage.database.read() as connection:
        found = connection.execute(sa.text("SELECT COUNT(*) FROM container_events"))
        return int(found.scalar_one())


def test_a_call_too_many_is_answered_429_and_says_when_to_come_back(
    limited: Site, stage: Stage
) -> None:
    assert statuses(limited, "alice", "start", FIRST.id) == [201]
    assert statuses(limited, "alice", "extend", FIRST.id, FIRST.id) == [200, 200]
    stage.clock.advance(20)
    answer = limited.post("alice", "stop", {"challenge_id": FIRST.id})
    assert (answer.status, answer.headers["Retry-After"]) == (429, "40")
    assert tuple(answer.body) == KEYS
    assert (answer.body["code"], answer.body["retry_after"]) == ("rate_limited", 40)
    assert stage.engine.get_instance_status(11, FIRST.id) is not None, "it was stopped all the same"
    stage.clock.advance(40)
    assert statuses(limited, "alice", "stop", FIRST.id) == [200]


def test_others_and_looks_are_not_concerned(limited: Site) -> None:
    statuses(limited, "alice", "stop", *range(1, LIMIT + 2))
    assert limited.get("alice", f"status?challenge_id={FIRST.id}").status == 200
    assert statuses(limited, "bob", "start", FIRST.id) == [201]
    assert statuses(limited, "alice", "start", FIRST.id) == [429]


def test_mates_share_their_teams_calls(limited: Site) -> None:
    statuses(limited, "mate", "stop", *range(1, LIMIT + 1))
    assert statuses(limited, "mate2", "start", FIRST.id) == [429]


def test_what_another_sites_page_sends_counts_for_nobody(limited: Site) -> None:
    for _ in range(LIMIT + 1):
        body = json.dumps({"challenge_id": FIRST.id}).encode()
        forged = limited.ask("POST", "start", "alice", body, {"Content-Type": JSON})
        assert forged.status == 403
    assert statuses(limited, "alice", "start", FIRST.id) == [201]


def test_calls_too_many_write_nothing(limited: Site, stage: Stage) -> None:
    assert statuses(limited, "alice", "stop", *range(LIMIT)) == [400, 404, 404]
    before = rows(stage)
    assert set(statuses(limited, "alice", "start", *range(UNKNOWN, UNKNOWN + 30))) == {429}
    assert rows(stage) == before


def test_made_up_ids_leave_a_row_an_operation_at_most(database: Database) -> None:
    stage = Stage(database, FIRST, settings=Settings(calls_per_minute=0))
    with site_of(site_app(lambda: stage.engine)) as served:
        for path in ("start", "extend", "stop"):
            wanted = range(UNKNOWN, UNKNOWN + 40)
            assert set(statuses(served, "alice", path, *wanted)) == {404}
            beyond = (LARGEST_ID + 1, 10**40, -1, 0, "5", None, True)
            assert set(statuses(served, "alice", path, *beyond)) == {400}
    assert rows(stage) == 3


def test_a_whole_minute_of_a_busy_player_is_below_the_default(database: Database) -> None:
    """A start, five extensions and a stop, over and over: seven calls each."""
    stage = Stage(database, FIRST, settings=Settings(cre_start_limit=0))
    with site_of(site_app(lambda: stage.engine)) as served:
        for _ in range(17):
            assert statuses(served, "alice", "start", FIRST.id) == [201]
            assert statuses(served, "alice", "extend", *[FIRST.id] * 5) == [200] * 5
            assert statuses(served, "alice", "stop", FIRST.id) == [200]
        assert statuses(served, "alice", "stop", FIRST.id, FIRST.id) == [404, 429]
