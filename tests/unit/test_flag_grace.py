"""A flag outlives its container by a grace time, and is wiped after it.

Source: ctfer-io/chall-manager#1046 (the exploit ends the service after the flag was read).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from support.cre_stage import Stage

from engines.catalog import ChallengeSpec
from engines.cre.runtimes.base import Launch, Launched
from engines.settings import Settings
from engines.state.database import Database
from engines.state.given_flags import KEPT_DAYS, digest, given_flags

WEB = ChallengeSpec(id=1, name="Web", image="simulated")
GRACE = Settings().flag_grace_seconds


@pytest.fixture
def stage(database: Database) -> Stage:
    return Stage(database, WEB)


def taken(stage: Stage, user: int = 7) -> str:
    """The flag of a new instance."""
    assert stage.engine.start_instance(user, 1).ok
    flag = stage.engine.recorded_flag(user, 1)
    assert flag
    return flag


def crash(stage: Stage) -> None:
    [row] = stage.store.all()
    stage.runtime.kill(str(row.container_id))
    stage.engine.cleanup_worker.run_once()


def expire(stage: Stage) -> None:
    stage.clock.advance(stage.settings.cre_timeout_seconds)
    stage.engine.cleanup_worker.run_once()


def stop(stage: Stage) -> None:
    assert stage.engine.stop_instance(7, 1).ok


ENDS = pytest.mark.parametrize("end", [crash, expire, stop])


@ENDS
def test_it_counts_for_the_grace_time_and_no_longer(
    stage: Stage, end: Callable[[Stage], None]
) -> None:
    flag = taken(stage)
    end(stage)
    assert stage.store.all() == []
    assert stage.engine.recorded_flag(7, 1) == flag
    assert stage.engine.recorded_flag(8, 1) is None
    stage.clock.advance(GRACE - 1)
    assert stage.engine.counting_flags(7, 1) == (flag,)
    stage.clock.advance(1)
    assert stage.engine.counting_flags(7, 1) == ()


@ENDS
def test_beside_a_new_container_both_count_for_that_time(
    stage: Stage, end: Callable[[Stage], None]
) -> None:
    old = taken(stage)
    end(stage)
    new = taken(stage)
    assert stage.engine.counting_flags(7, 1) == (new, old)
    stage.clock.advance(GRACE)
    assert stage.engine.counting_flags(7, 1) == (new,)


def test_a_container_that_nobody_removes_counts_no_longer(stage: Stage) -> None:
    """The grace time begins when its time is over, not when a worker comes round."""
    flag = taken(stage)
    stage.clock.advance(stage.settings.cre_timeout_seconds + GRACE - 1)
    assert stage.engine.counting_flags(7, 1) == (flag,)
    stage.clock.advance(1)
    assert stage.engine.counting_flags(7, 1) == ()
    stage.engine.cleanup_worker.run_once()
    assert stage.engine.counting_flags(7, 1) == ()


def test_another_process_knows_it_too(stage: Stage) -> None:
    flag = taken(stage)
    crash(stage)
    assert stage.another_process().recorded_flag(7, 1) == flag


def test_a_grace_of_nothing(database: Database) -> None:
    stage = Stage(database, WEB, settings=Settings(flag_grace_seconds=0))
    flag = taken(stage)
    assert stage.engine.counting_flags(7, 1) == (flag,)
    stop(stage)
    assert stage.engine.counting_flags(7, 1) == ()


def test_at_rest_a_past_flag_is_a_digest(stage: Stage) -> None:
    flag = taken(stage)

    def kept() -> list[tuple[str, str | None]]:
        query = sa.select(given_flags.c.digest, given_flags.c.flag)
        with stage.database.read() as connection:
            return [tuple(row) for row in connection.execute(query)]

    assert kept() == [(digest(flag), None)]
    stop(stage)
    assert kept() == [(digest(flag), flag)]
    stage.clock.advance(GRACE)
    stage.engine.cleanup_worker.run_once()
    assert kept() == [(digest(flag), None)]
    stage.clock.advance(timedelta(days=KEPT_DAYS).total_seconds())
    stage.engine.cleanup_worker.run_once()
    assert kept() == []


def test_an_instance_from_before_flags_were_noted_has_its_grace_too(stage: Stage) -> None:
    flag = taken(stage)
    with stage.database.write() as connection:
        connection.execute(given_flags.delete())
    crash(stage)
    assert stage.engine.counting_flags(7, 1) == (flag,)


def test_a_row_that_is_gone_by_itself_leaves_no_flag_open(stage: Stage) -> None:
    """As after a backup of the database was put back."""
    taken(stage)
    with stage.database.write() as connection:
        connection.execute(sa.text("DELETE FROM cre_instances"))
    stage.engine.cleanup_worker.run_once()
    with stage.database.read() as connection:
        assert connection.execute(sa.select(given_flags.c.ended_at)).scalar() == stage.clock.now()


def test_the_flag_of_a_container_from_the_warm_pool(database: Database) -> None:
    stage = Stage(database, ChallengeSpec(id=1, name="Web", image="simulated", warm=1))
    stage.engine.cleanup_worker.run_once()
    flag = taken(stage)
    crash(stage)
    assert stage.engine.counting_flags(7, 1) == (flag,)


def test_during_a_start_only_what_was_there_before_counts(stage: Stage) -> None:
    old = taken(stage)
    stop(stage)
    counted: list[tuple[str, ...]] = []
    launch = stage.runtime.launch

    def meanwhile(plan: Launch) -> Launched:
        counted.append(stage.another_process().counting_flags(7, 1))
        return launch(plan)

    stage.runtime.launch = meanwhile  # type: ignore[method-assign] # a flag is tried
    taken(stage)
    assert counted == [(old,)]


def test_a_flag_counts_for_its_own_challenge_alone(database: Database) -> None:
    """On a site whose users are looked up nowhere, too."""
    stage = Stage(database, WEB, replace(WEB, id=2))
    old = taken(stage)
    stop(stage)
    assert stage.engine.counting_flags(7, 1) == (old,)
    assert stage.engine.counting_flags(7, 2) == ()
