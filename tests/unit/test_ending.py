"""An organiser ends many instances at once, and a solve ends one, where that is wanted.

CTF-Cafe/CTF_Cafe_platform#72; GZTimeWalker/GZCTF#430, ctfer-io/ctfd-chall-manager#60,
otter-sec/rctf#222.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from support.cre_stage import Stage

from engines.audit import Action, done_by
from engines.bulk_stop import Chosen, InstanceSelection, chosen, end_all
from engines.catalog import ChallengeSpec, StaticCatalog
from engines.contract import Code
from engines.cre import ContainerRuntimeEngine
from engines.cre.engine import Solved
from engines.ctfd.solves import SiteSolves
from engines.settings import Settings
from engines.solve import SOLVED, end_on_solve
from engines.state.database import Database
from engines.state.instances import Instance, InstanceRequest

ONE = ChallengeSpec(1, "A", "a")
SPECS = (ONE, replace(ONE, id=2))


@pytest.fixture
def stage(any_database: Database) -> Stage:
    stage = Stage(any_database, *SPECS, settings=Settings(cre_account_limit=2))
    for user, challenge, team in ((1, 1, None), (1, 2, None), (2, 1, 7), (3, 2, 7)):
        assert stage.engine.start_instance(user, challenge, team).ok
    return stage


@pytest.mark.parametrize(
    ("selection", "meant", "said"),
    [
        (InstanceSelection(), {(1, 1), (1, 2), (2, 1), (3, 2)}, "all instances"),
        (InstanceSelection(challenge_id=1), {(1, 1), (2, 1)}, "all instances of challenge 1"),
        (InstanceSelection(user_id=1), {(1, 1), (1, 2)}, "all instances of user 1"),
        (InstanceSelection(team_id=7), {(2, 1), (3, 2)}, "all instances of team 7"),
        (InstanceSelection(2, team_id=7), {(3, 2)}, "all instances of challenge 2, team 7"),
        (InstanceSelection(challenge_id=9), set(), "all instances of challenge 9"),
    ],
)
def test_what_is_meant_ends_and_nothing_else(
    stage: Stage, selection: InstanceSelection, meant: set[tuple[int, int]], said: str
) -> None:
    before = {(row.user_id, row.challenge_id) for row in stage.store.all()}
    told: list[tuple[Chosen, Code]] = []
    with done_by(42, "Ada"):
        done = end_all(
            stage.engine,
            chosen(stage.database, selection),
            f"ended with {selection}",
            told=lambda which, code: told.append((which, code)),
        )
    assert (done.ended, done.failed, done.left) == (len(meant), (), 0)
    assert {(row.user_id, row.challenge_id) for row in stage.store.all()} == before - meant
    assert len(stage.runtime.running()) == len(before - meant)
    assert {(each.user_id, each.challenge_id) for each, _ in told} == meant
    assert str(selection) == said
    stopped = [event for event in stage.engine.audit.events() if event.action is Action.STOPPED]
    assert len(stopped) == len(meant)
    for event in stopped:
        assert event.metadata["actor"] == 42
        assert event.metadata["reason"] == f"ended with {said}"


def test_what_cannot_be_ended_is_named_and_holds_up_no_other(stage: Stage) -> None:
    (row,) = [row for row in stage.store.all() if (row.user_id, row.challenge_id) == (1, 1)]
    with stage.runtime.stubborn(str(row.container_id)):
        done = end_all(stage.engine, chosen(stage.database, InstanceSelection()), "over")
    assert done.ended == 3
    assert [(each.which, each.code) for each in done.failed] == [
        (Chosen(1, 1, None), Code.UNAVAILABLE)
    ]
    again = end_all(stage.engine, chosen(stage.database, InstanceSelection()), "over")
    assert (again.ended, again.failed, again.left) == (1, (), 0)
    assert stage.store.all() == []


def test_one_that_is_just_starting_is_met_too(stage: Stage) -> None:
    request = InstanceRequest(
        account="user:5",
        challenge_id=1,
        user_id=5,
        team_id=None,
        flag="f",
        account_limit=1,
        capacity=None,
        lease_seconds=60,
    )
    stage.store.claim(request, stage.clock.now())
    done = end_all(stage.engine, chosen(stage.database, InstanceSelection(user_id=5)), "over")
    assert [(each.which.user_id, each.code) for each in done.failed] == [(5, Code.BUSY)]


def test_what_there_is_no_time_for_is_left(stage: Stage) -> None:
    done = end_all(stage.engine, chosen(stage.database, InstanceSelection()), "over", seconds=0)
    assert (done.ended, done.failed, done.left) == (0, (), 4)
    assert len(stage.store.all()) == 4


@pytest.mark.parametrize(
    ("site", "challenge", "ends"),
    [
        (False, None, False),
        (True, None, True),
        (False, True, True),
        (True, False, False),
    ],
)
def test_a_solve_ends_the_instance_where_site_or_challenge_say_so(
    database: Database, site: bool, challenge: bool | None, ends: bool
) -> None:
    spec = replace(ONE, ends_on_solve=challenge)
    stage = Stage(database, spec, settings=Settings(ends_on_solve=site))
    for user in (1, 2):
        assert stage.engine.start_instance(user, 1).ok
    result = end_on_solve(stage.engine, 1, 1)
    assert (result is not None and result.ok) is ends
    assert (stage.engine.get_instance_status(1, 1) is None) is ends
    assert stage.engine.get_instance_status(2, 1) is not None
    reasons = [event.metadata.get("reason") for event in stage.engine.audit.events()]
    assert (reasons[-1] == SOLVED) is ends


def full(
    database: Database, solved: Solved | None, *specs: ChallengeSpec, capacity: int = 1
) -> tuple[Stage, ContainerRuntimeEngine]:
    """An engine all of whose places are taken by users 1, 2, …"""
    stage = Stage(database, *specs)
    engine = ContainerRuntimeEngine(
        replace(stage.settings, cre_capacity=capacity),
        runtime=stage.runtime,
        catalog=StaticCatalog(specs),
        database=database,
        clock=stage.clock,
        solved=solved,
    )
    for user in range(1, capacity + 1):
        assert engine.start_instance(user, 1).ok
    return stage, engine


def by_users(*users: int) -> Solved:
    def solved(rows: Sequence[Instance]) -> frozenset[int]:
        return frozenset(row.id for row in rows if row.user_id in users)

    return solved


def test_a_solved_instance_gives_way_when_every_place_is_taken(database: Database) -> None:
    _stage, engine = full(database, by_users(2, 3), *SPECS, capacity=3)
    assert engine.start_instance(4, 2).ok
    assert [row.user_id for row in engine._store.all()] == [1, 3, 4], "the oldest solved one"
    gone = [event for event in engine.audit.events() if event.action is Action.STOPPED]
    assert [event.user_id for event in gone] == [2]
    assert "solved" in gone[0].metadata["reason"]
    assert engine.start_instance(5, 2).ok
    assert engine.start_instance(6, 2).code is Code.CAPACITY, "only who has solved gives way"
    assert engine.get_instance_status(1, 1) is not None


def test_an_instance_whose_time_is_over_gives_nobody_its_place(database: Database) -> None:
    """It takes none, and goes as expired."""
    short = replace(ONE, timeout_seconds=60)
    stage, engine = full(database, by_users(1), short, SPECS[1])
    stage.clock.advance(60)
    assert engine.start_instance(2, 2).ok
    assert engine.start_instance(3, 2).code is Code.CAPACITY
    assert [row.user_id for row in engine._store.all()] == [1, 2]


def test_an_instance_that_is_being_stopped_is_not_ended_under_anybodys_hands(
    database: Database,
) -> None:
    stage, engine = full(database, by_users(1), *SPECS)
    [row] = stage.store.all()
    stopping = row.stopping(stage.clock.now() + timedelta(minutes=1))
    assert stage.store.save(stopping)
    assert engine.start_instance(2, 2).code is Code.CAPACITY
    assert stage.store.all() == [stopping]


def test_nothing_gives_way_while_there_is_room(database: Database) -> None:
    _stage, engine = full(database, by_users(1), *SPECS)
    engine.settings = replace(engine.settings, cre_capacity=2)
    assert engine.start_instance(2, 2).ok
    assert engine.get_instance_status(1, 1) is not None


def test_a_place_of_the_challenge_is_given_by_its_own_instances_alone(database: Database) -> None:
    limited = replace(SPECS[1], limit=1)
    _stage, engine = full(database, by_users(1, 2), ONE, limited, capacity=1)
    engine.settings = replace(engine.settings, cre_capacity=9)
    assert engine.start_instance(2, 2).ok
    assert engine.start_instance(3, 2).ok
    assert [row.user_id for row in engine._store.all()] == [1, 3], "the older one is another's"


@pytest.mark.parametrize("why", ["the challenge wants it to go on", "nobody knows", "an outage"])
def test_an_instance_stays(database: Database, why: str) -> None:
    def out(_rows: Sequence[Instance]) -> frozenset[int]:
        raise OperationalError("", {}, Exception())

    specs = [replace(ONE, ends_on_solve=False if "wants" in why else None), SPECS[1]]
    solved = {"nobody knows": None, "an outage": out}.get(why, by_users(1))
    _stage, engine = full(database, solved, *specs)
    assert engine.start_instance(2, 2).code is Code.CAPACITY
    assert engine.get_instance_status(1, 1) is not None


def test_a_full_account_is_told_what_it_has_of_a_challenge_that_is_gone(database: Database) -> None:
    stage = Stage(database, ONE)
    assert stage.engine.start_instance(1, 1).ok
    other = ContainerRuntimeEngine(
        stage.settings,
        runtime=stage.runtime,
        catalog=StaticCatalog([SPECS[1]]),
        database=database,
        clock=stage.clock,
    )
    refused = other.start_instance(1, 2)
    assert (refused.code, "challenge 1" in refused.message) == (Code.LIMIT_REACHED, True)


def test_ctfds_own_table_says_what_is_solved(database: Database) -> None:
    stage = Stage(database, *SPECS)
    for user, team in ((1, None), (2, None), (3, 7), (4, 8)):
        assert stage.engine.start_instance(user, 1, team).ok
    names = ("challenge_id", "user_id", "team_id")
    solves = sa.Table("solves", sa.MetaData(), *(sa.Column(name, sa.Integer) for name in names))
    with database.write() as connection:
        solves.create(connection)
        # User 2 solved another challenge; a mate of user 3's did, in team 7.
        for row in ((1, 1, None), (2, 2, None), (1, 9, 7)):
            connection.execute(solves.insert().values(dict(zip(names, row, strict=True))))
    rows = stage.store.all()
    found = SiteSolves(database)(rows)
    assert [row.user_id for row in rows if row.id in found] == [1, 3]
