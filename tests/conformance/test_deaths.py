"""A process that dies in a scenario is really dead, and without a death nothing is passed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from reference.backend import ReferenceBackend
from reference.world import ReferenceHarness, ReferenceWorld

from conformance.harness import Options, World
from conformance.harnesses.mortal import MortalDatabase
from conformance.registry.backends import Subject
from conformance.report.results import Status
from conformance.run.runner import CheckRequest, check_subjects
from conformance.spec.crash import Life, ProcessDied
from conformance.spec.rules import RULES
from engines.state.database import Database

CRASH = [rule.id for rule in RULES if rule.group == "CRASH"]


class _Immortal(ReferenceWorld):
    @contextmanager
    def dying(self, boundary: int) -> Iterator[None]:
        yield


class _NeverDone(ReferenceWorld):
    @contextmanager
    def dying(self, boundary: int) -> Iterator[None]:
        with super().dying(0):
            yield


def statuses(world: type[ReferenceWorld]) -> set[tuple[Status, str]]:
    class Harness(ReferenceHarness):
        def world(self, options: Options) -> World:
            return world(ReferenceBackend(options))

    report = check_subjects([Subject("reference", Harness())], CheckRequest(select=("CRASH-*",)))
    return {(result.status, result.message) for result in report.results}


def test_without_a_death_nothing_is_passed() -> None:
    assert statuses(_Immortal) == {(Status.ERROR, "nothing died: the work came to no boundary")}


def test_work_that_is_never_done_is_an_error() -> None:
    told = "the work is not done after 60 boundaries"
    assert statuses(_NeverDone) == {(Status.ERROR, told)}


def test_a_death_is_no_failure_of_the_backend_and_is_told() -> None:
    report = check_subjects(
        [Subject("reference", ReferenceHarness())], CheckRequest(select=("CRASH-*",))
    )
    assert [result.rule for result in report.results] == CRASH
    for result in report.results:
        assert result.status is Status.PASS, result.message
        deaths = [line for line in result.trace if line.startswith("· the process dies")]
        first, second = (f"· the process dies at boundary {n} of its work" for n in (0, 1))
        one_boundary = result.rule == "CRASH-010"  # so has each of its two works
        assert deaths[:2] == [first, first if one_boundary else second]


table = sa.Table("words", sa.MetaData(), sa.Column("word", sa.String(20)))


def words(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(sa.select(table.c.word)).scalars())


@pytest.mark.parametrize(("boundary", "left"), [(0, []), (1, ["first"]), (2, ["first"])])
def test_what_was_committed_before_the_death_is_all_that_is_left(
    database: Database, boundary: int, left: list[str]
) -> None:
    with database.write() as connection:
        table.create(connection)
    mortal = MortalDatabase(database, Life(boundary))

    def write(*inserted: str) -> None:
        for word in inserted:
            with mortal.write() as connection:
                connection.execute(table.insert().values(word=word))

    with pytest.raises(ProcessDied):
        write("first", "second")

    assert words(database) == left
    with pytest.raises(ProcessDied):
        write("from beyond")
    with pytest.raises(ProcessDied):
        words(mortal)
    assert words(database) == left


def test_the_dead_stay_dead() -> None:
    life = Life(1)
    life.boundary()
    life.goes_on()
    for _ in range(3):
        with pytest.raises(ProcessDied):
            life.boundary()
    with pytest.raises(ProcessDied):
        life.goes_on()
