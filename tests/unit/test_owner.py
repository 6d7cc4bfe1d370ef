"""Two sites with one CRE_DEPLOYMENT and two databases on one Docker (a copied ``.env``).

Sources: livepeer/go-livepeer#3754, codefreak/codefreak#100.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cre_stage import Stage

from engines.catalog import ChallengeSpec
from engines.cre.owner import database_id, identity, ids_at, ids_of, keep_identity, take_over
from engines.cre.runtimes.base import Launch
from engines.database import Database

WEB = ChallengeSpec(id=1, name="Web", image="web", warm=1)
STRAY = Launch("wr-stray", "stage", WEB, "flag{x}", "127.0.0.1")


@pytest.fixture
def contest(database: Database) -> Stage:
    return Stage(database, WEB)


@pytest.fixture
def rehearsal(contest: Stage, tmp_path: Path) -> Iterator[Stage]:
    """Its .env is the contest's, its database is its own."""
    other = Database(f"sqlite:///{tmp_path / 'rehearsal.db'}")
    yield Stage(other, WEB, runtime=contest.runtime)
    other.close()


def test_neither_site_removes_what_the_others_database_made(
    contest: Stage, rehearsal: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    contest.engine.cleanup_worker.run_once()  # one waits in the warm pool
    assert contest.engine.start_instance(1, 1).ok
    assert contest.engine.fill_pool() == 1
    there = contest.runtime.running()
    assert len(there) == 2
    for _ in range(2):
        rehearsal.engine.cleanup_worker.run_once()
    assert there < contest.runtime.running()
    said = [each for each in caplog.messages if "CRE_DEPLOYMENT=stage" in each]
    assert len(said) == 1
    assert database_id(contest.database) in said[0]
    assert "give each site a CRE_DEPLOYMENT of its own" in said[0]
    everything = contest.runtime.running()
    contest.engine.cleanup_worker.run_once()
    assert contest.runtime.running() == everything


def test_a_start_for_the_same_account_on_the_other_site_replaces_nothing(
    contest: Stage, rehearsal: Stage
) -> None:
    first = contest.engine.start_instance(1, 1).instance["container_id"]
    second = rehearsal.engine.start_instance(1, 1).instance["container_id"]
    assert {first, second} <= contest.runtime.running()
    assert rehearsal.engine.stop_instance(1, 1).ok
    assert contest.engine.get_instance_status(1, 1) is not None


def test_a_stray_of_ones_own_goes_and_one_of_the_other_site_stays(
    contest: Stage, rehearsal: Stage
) -> None:
    for stage in (contest, rehearsal):
        mine = replace(
            STRAY, name=f"wr-{database_id(stage.database)}", owner=database_id(stage.database)
        )
        contest.runtime.launch(mine)
    assert contest.engine.reconcile() == 1
    assert contest.engine.reconcile() == 0
    assert len(contest.runtime.running()) == 1
    assert rehearsal.engine.reconcile() == 1


def test_what_was_made_before_there_were_ids_goes_where_there_is_one_site_alone(
    contest: Stage, rehearsal: Stage
) -> None:
    old = contest.runtime.launch(STRAY).container_id
    theirs = contest.runtime.launch(
        replace(STRAY, name="wr-theirs", owner=database_id(rehearsal.database))
    ).container_id
    contest.engine.reconcile()
    assert {old, theirs} <= contest.runtime.running()
    contest.runtime.discard(theirs)
    contest.engine.reconcile()
    assert old not in contest.runtime.running()


def test_a_database_that_is_gone_can_be_taken_over(contest: Stage, rehearsal: Stage) -> None:
    contest.engine.start_instance(1, 1)
    mine = rehearsal.engine.start_instance(2, 1).instance["container_id"]
    take_over(rehearsal.database, database_id(contest.database))
    rehearsal.engine.reconcile()
    assert contest.runtime.running() == {mine}


def test_every_process_of_a_database_has_the_same_id(any_database: Database) -> None:
    first = database_id(any_database)
    again = Database(any_database.engine.url.render_as_string(hide_password=False))
    assert database_id(again) == first
    assert ids_of(again) == {first}
    again.close()


def test_a_look_at_the_ids_makes_no_file(tmp_path: Path) -> None:
    assert ids_at(f"sqlite:///{tmp_path / 'not' / 'there.db'}") == frozenset()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("now_there", [None, "own", "another's"])
def test_a_database_keeps_its_id_when_its_rows_are_replaced(
    database: Database, now_there: str | None
) -> None:
    before = identity(database)
    with database.write() as connection:
        if now_there != "own":
            connection.exec_driver_sql("DELETE FROM cre_meta")
        if now_there == "another's":
            connection.exec_driver_sql(
                "INSERT INTO cre_meta VALUES ('database', 'aaaaaaaaaaaa'), ('also b', 'b')"
            )
    assert keep_identity(database, before) is (now_there == "another's")
    assert identity(database) == before


def test_a_site_alone_says_nothing(contest: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    contest.engine.start_instance(1, 1)
    contest.engine.cleanup_worker.run_once()
    assert [each for each in caplog.messages if "CRE_DEPLOYMENT" in each] == []
