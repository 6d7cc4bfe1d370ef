"""An instance belongs to an identity, not to a number: the engine with owners that come and go.

Sources: jonschipp/ISLET#69 (a deleted user's number is given again), CTFd/CTFd#1386 (a reset while
containers run), offsecginger/CTFd-Docker-Challenges#6.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from support.cre_stage import Stage
from support.people import NEW, OLD, People

from engines.audit import Action
from engines.catalog import ChallengeSpec
from engines.contract import Code
from engines.cre.runtimes.memory import MemoryRuntime
from engines.errors import BackendUnavailable
from engines.owners import Mark
from engines.settings import Settings
from engines.state.database import Database

WEB = ChallengeSpec(id=1, name="Web", image="simulated")
PWN = ChallengeSpec(id=2, name="Pwn", image="simulated")


@pytest.fixture
def people() -> People:
    return People()


@pytest.fixture
def stage(database: Database, people: People) -> Stage:
    return Stage(database, WEB, PWN, owners=people)


def ended(stage: Stage) -> list[tuple[Action, str]]:
    """The events since the start, with what they say."""
    events = stage.engine.audit.events()[1:]
    return [(event.action, str(event.metadata.get("reason", ""))) for event in events]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda people: people.users.pop(7), "its account is gone"),
        (
            lambda people: people.users.update({7: NEW}),
            "its account is gone, and another one has the number",
        ),
        (lambda people: people.challenges.pop(1), "its challenge is gone"),
        (
            lambda people: people.challenges.update({1: NEW}),
            "its challenge is gone, and another one has the number",
        ),
    ],
    ids=["user deleted", "user's number", "challenge deleted", "challenge's number"],
)
def test_the_next_round_ends_what_is_orphaned_and_says_why(
    stage: Stage, people: People, change: object, why: str
) -> None:
    assert stage.engine.start_instance(7, 1).ok
    assert stage.engine.start_instance(8, 2).ok
    change(people)  # type: ignore[operator] # a function of the table above
    stage.engine.cleanup_worker.run_once()
    [left] = stage.store.all()
    assert (left.user_id, left.challenge_id) == (8, 2)
    assert len(stage.runtime.find("stage")) == 1
    [(action, told)] = ended(stage)[1:]
    assert (action, told) == (Action.ORPHANED, why)


def test_the_new_owner_of_a_number_neither_sees_nor_stops_nor_is_credited(
    stage: Stage, people: People
) -> None:
    engine = stage.engine
    assert engine.start_instance(7, 1).ok
    flag = engine.recorded_flag(7, 1)
    people.users[7] = NEW
    assert engine.get_instance_status(7, 1) is None
    assert engine.last_known(7, 1) is None
    assert engine.stop_instance(7, 1).code is Code.NOT_FOUND
    assert engine.extend_instance(7, 1).code is Code.NOT_FOUND
    assert engine.counting_flags(7, 1) == ()
    assert len(stage.store.all()) == 1  # the round ends it, not somebody else's call
    engine.cleanup_worker.run_once()
    assert engine.counting_flags(7, 1) == ()
    people.users[7] = OLD  # the flag's own account, as after an import of its export
    assert engine.counting_flags(7, 1) == (flag,)


def test_the_new_owner_starts_at_once(stage: Stage, people: People) -> None:
    """The old instance takes neither the key nor the account's place."""
    first = stage.engine.start_instance(7, 1)
    people.users[7] = NEW
    second = stage.engine.start_instance(7, 1)
    assert second.code is Code.OK
    assert second.instance["container_id"] != first.instance["container_id"]
    assert [action for action, _ in ended(stage)] == [Action.ORPHANED, Action.STARTED]
    people.users[7] = "third"
    assert stage.engine.start_instance(7, 2).code is Code.OK  # the limit is one
    assert len(stage.runtime.find("stage")) == 1


def test_the_starts_of_the_old_owner_are_not_the_new_ones(
    database: Database, people: People
) -> None:
    stage = Stage(database, WEB, settings=Settings(cre_start_limit=1), owners=people)
    assert stage.engine.start_instance(7, 1).ok
    assert stage.engine.stop_instance(7, 1).ok
    assert stage.engine.start_instance(7, 1).code is Code.RATE_LIMITED
    people.users[7] = NEW
    assert stage.engine.start_instance(7, 1).ok


def test_a_member_who_goes_leaves_the_teams_instance(stage: Stage, people: People) -> None:
    people.teams[3] = "team"
    assert stage.engine.start_instance(7, 1, 3).ok
    flag = stage.engine.recorded_flag(7, 1, 3)
    del people.users[7]
    stage.engine.cleanup_worker.run_once()
    assert stage.engine.get_instance_status(8, 1, 3) is not None
    assert stage.engine.recorded_flag(8, 1, 3) == flag
    del people.teams[3]  # disbanded
    stage.engine.cleanup_worker.run_once()
    assert stage.store.all() == []


def test_while_nobody_can_be_asked_nothing_is_ended(stage: Stage, people: People) -> None:
    assert stage.engine.start_instance(7, 1).ok
    people.users.clear()
    people.down = True  # as in the middle of an import
    stage.engine.cleanup_worker.run_once()
    assert stage.engine.reconcile() == 0
    assert len(stage.store.all()) == 1
    with pytest.raises(BackendUnavailable):
        stage.engine.get_instance_status(7, 1)
    assert stage.engine.stop_instance(7, 1).code is Code.UNAVAILABLE


def test_deleted_while_docker_is_down_ends_when_it_is_back(stage: Stage, people: People) -> None:
    assert stage.engine.start_instance(7, 1).ok
    people.users[7] = NEW
    with stage.runtime.outage():
        with pytest.raises(BackendUnavailable):
            stage.engine.cleanup_worker.run_once()
        assert stage.engine.get_instance_status(7, 1) is None
        assert stage.engine.counting_flags(7, 1) == ()
    stage.engine.cleanup_worker.run_once()
    assert stage.store.all() == []


def test_a_row_from_before_there_were_marks_gets_its_owners(
    database: Database, people: People
) -> None:
    runtime = MemoryRuntime()
    before = Stage(database, WEB, runtime=runtime)
    assert before.engine.start_instance(7, 1).ok
    after = Stage(database, WEB, runtime=runtime, owners=people)
    after.engine.cleanup_worker.run_once()
    [row] = after.store.all()
    assert row.mark == Mark(OLD, "web").text
    people.users[7] = NEW
    after.engine.cleanup_worker.run_once()
    assert after.store.all() == []


def test_without_owners_a_number_is_all_there_is(database: Database) -> None:
    stage = Stage(database, replace(WEB, limit=1))
    assert stage.engine.start_instance(7, 1).ok
    stage.engine.cleanup_worker.run_once()
    [row] = stage.store.all()
    assert row.mark is None


def test_what_somebody_is_at_work_on_is_not_ended_under_his_hands(
    stage: Stage, people: People
) -> None:
    assert stage.engine.start_instance(7, 1).ok
    [row] = stage.store.all()
    stopping = row.stopping(stage.clock.now() + timedelta(minutes=1))
    assert stage.store.save(stopping)
    del people.users[7]
    assert stage.engine.end_orphans() == 0
    assert stage.store.all() == [stopping]
