"""Calls that changed nothing and are equal are one row of the audit log, with a count."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from support.cre_stage import Stage

from engines.audit import Action, ContainerEvent, done_by
from engines.catalog import ChallengeSpec
from engines.clock import VirtualClock
from engines.contract import Code
from engines.hybrid.health import measure
from engines.state.audit_log import MERGED_FOR, AuditLog
from engines.state.database import Database
from engines.state.figures import read_figures

FIRST = ChallengeSpec(5, "First", "first")
SECOND = ChallengeSpec(6, "Second", "second")
UNKNOWN = 1_000_000
START = VirtualClock().now()

ONE_PROCESS = """
import sys
from datetime import datetime
from engines.audit import Action, ContainerEvent
from engines.contract import Code
from engines.state.audit_log import AuditLog
from engines.state.database import Database

log = AuditLog(Database(sys.argv[1]))
at = datetime.fromisoformat(sys.argv[2])
for _ in range(int(sys.argv[3])):
    log.record_refusal(
        ContainerEvent(at, "cre", 7, None, 5, Action.STOP_FAILED, Code.NOT_FOUND, 3)
    )
"""


def refusal(**changed: object) -> ContainerEvent:
    event = ContainerEvent(START, "cre", 7, None, 5, Action.STOP_FAILED, Code.NOT_FOUND, 3)
    return replace(event, **changed)  # type: ignore[arg-type] # each test names fields that exist


def url_of(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def test_equal_refusals_are_one_row_with_first_and_last_moment(any_database: Database) -> None:
    log = AuditLog(any_database)
    for seconds in (0, 3, 59):
        log.record_refusal(refusal(at=START + timedelta(seconds=seconds)))
    (event,) = log.events()
    assert (event.times, event.at) == (3, START)
    assert event.last_at == START + timedelta(seconds=59)


def test_a_single_one_says_so(any_database: Database) -> None:
    log = AuditLog(any_database)
    log.record_refusal(refusal())
    (event,) = log.events()
    assert (event.times, event.last_at) == (1, None)


def test_a_minute_after_the_first_a_new_row_begins(any_database: Database) -> None:
    log = AuditLog(any_database)
    for seconds in (0, 30, 60, 90):
        log.record_refusal(refusal(at=START + timedelta(seconds=seconds)))
    assert [(event.at, event.times) for event in log.events()] == [
        (START, 2),
        (START + MERGED_FOR, 2),
    ]


def test_a_clock_that_was_set_back_ends_the_row(any_database: Database) -> None:
    log = AuditLog(any_database)
    log.record_refusal(refusal(at=START + timedelta(hours=1)))
    log.record_refusal(refusal())
    log.record_refusal(refusal())
    assert [event.times for event in log.events()] == [1, 2]


@pytest.mark.parametrize(
    "other",
    [
        {"user_id": 8},
        {"team_id": 2},
        {"challenge_id": 6},
        {"action": Action.EXTEND_FAILED},
        {"code": Code.BUSY},
        {"backend": "whale"},
        {"duration_ms": 30_000},
        {"metadata": {"actor": 1}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_differs_has_its_own_row(database: Database, other: dict[str, object]) -> None:
    log = AuditLog(database)
    for event in (refusal(), refusal(**other), refusal(), refusal(**other)):
        log.record_refusal(event)
    assert [event.times for event in log.events()] == [2, 2]


def test_the_words_of_the_first_are_kept(database: Database) -> None:
    log = AuditLog(database)
    for said in ("port 30001", "port 30002"):
        log.record_refusal(refusal(metadata={"reason": said, "routed_because": said}))
    (event,) = log.events()
    assert (event.times, event.metadata["reason"]) == (2, "port 30001")


def test_threads_and_processes_that_meet_lose_no_call(any_database: Database) -> None:
    """Each has a log of its own, as processes have, and all begin with a row that is not there."""
    logs = [AuditLog(any_database) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda log: [log.record_refusal(refusal()) for _ in range(10)], logs))
    command = [sys.executable, "-c", ONE_PROCESS, url_of(any_database), START.isoformat(), "5"]
    for process in [subprocess.Popen(command) for _ in range(3)]:
        assert process.wait(timeout=120) == 0
    (event,) = logs[0].events()
    assert event.times == 8 * 10 + 3 * 5


def test_a_row_that_went_meanwhile_is_begun_anew(database: Database) -> None:
    log = AuditLog(database)
    log.record_refusal(refusal())
    with database.write() as connection:
        connection.execute(sa.text("DELETE FROM container_events"))
    log.record_refusal(refusal())
    assert [event.times for event in log.events()] == [1]


def test_players_refused_calls_share_rows_and_changes_never_do(database: Database) -> None:
    stage = Stage(database, FIRST, SECOND)
    for _ in range(3):
        stage.engine.start_instance(7, FIRST.id)
        stage.engine.start_instance(7, FIRST.id)
        stage.engine.start_instance(7, SECOND.id)
        stage.engine.extend_instance(7, FIRST.id)
        stage.engine.stop_instance(7, FIRST.id)
        stage.engine.stop_instance(7, FIRST.id)
    told = [(event.action, event.times) for event in stage.engine.audit.events()]
    changed = [Action.STARTED, Action.EXTENDED, Action.STOPPED]
    assert [each for each in told if each[0] in changed] == [(each, 1) for each in changed * 3]
    assert [each for each in told if each[0] not in changed] == [
        (Action.START_REPEATED, 3),
        (Action.START_FAILED, 3),
        (Action.STOP_FAILED, 3),
    ]


def test_another_process_counts_in_the_same_row(database: Database) -> None:
    stage = Stage(database, FIRST)
    other = stage.another_process()
    for engine in (stage.engine, other, stage.engine, other):
        engine.extend_instance(7, FIRST.id)
    assert [event.times for event in stage.engine.audit.events()] == [4]


def test_an_admins_refused_call_is_not_counted_as_the_players(database: Database) -> None:
    stage = Stage(database, FIRST)
    stage.engine.stop_instance(7, FIRST.id)
    with done_by(1, "Ada"):
        stage.engine.stop_instance(7, FIRST.id)
    assert [event.metadata.get("actor") for event in stage.engine.audit.events()] == [None, 1]


def test_ids_that_are_no_challenges_make_one_row_each_operation(database: Database) -> None:
    stage = Stage(database, FIRST)
    for number in range(UNKNOWN, UNKNOWN + 50):
        assert stage.engine.start_instance(7, number).code is Code.CHALLENGE_UNAVAILABLE
        assert stage.engine.extend_instance(7, number).code is Code.NOT_FOUND
        assert stage.engine.stop_instance(7, number).code is Code.NOT_FOUND
    told = [(event.challenge_id, event.times) for event in stage.engine.audit.events()]
    assert told == [(UNKNOWN, 50)] * 3


def test_figures_count_every_call(any_database: Database) -> None:
    log = AuditLog(any_database)
    for _ in range(3):
        log.record_refusal(refusal())
    log.record_refusal(refusal(challenge_id=6))
    (calls,) = read_figures(any_database, START).calls
    assert (calls.count, calls.total_ms, calls.within[0]) == (4, 12, 4)


def test_a_rollouts_health_counts_every_call(database: Database) -> None:
    log = AuditLog(database)
    failed = refusal(action=Action.START_FAILED, code=Code.UNAVAILABLE, backend="whale")
    for seconds in (0, 20, 40):
        log.record_refusal(replace(failed, at=START + timedelta(seconds=seconds)))
    assert measure(database, "whale", START - timedelta(seconds=1)).failed == 3
    # Of those before a moment none is sure to count but the last.
    assert measure(database, "whale", START + timedelta(seconds=30)).failed == 1
    assert measure(database, "whale", START + timedelta(seconds=40)).failed == 0
