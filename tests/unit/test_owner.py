"""Two sites with one CRE_DEPLOYMENT and two databases on one Docker (a copied ``.env``).

Sources: livepeer/go-livepeer#3754, codefreak/codefreak#100.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from support.cre_stage import Stage

from conformance.harnesses.guessed_tables import export_and_import
from engines.audit import Action
from engines.catalog import ChallengeSpec, Companion
from engines.cre.owner import database_id, identity, ids_at, ids_of, keep_identity, take_over
from engines.cre.runtimes.base import LABEL_OWNER, Launch
from engines.cre.runtimes.swarm_config import (
    challenge_service,
    companion_service,
    network_config,
)
from engines.settings import Settings
from engines.state.database import Database
from engines.state.schema import VERSION_TABLE
from engines.state.schema.tables import all_tables

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
    said = [message for message in caplog.messages if "CRE_DEPLOYMENT=stage" in message]
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
    assert [message for message in caplog.messages if "CRE_DEPLOYMENT" in message] == []


def import_rows_of(other: Database, into: Database) -> None:
    """As CTFd's import does with another site's export."""
    names = ("cre_meta", "cre_instances", "cre_pool")
    with other.read() as connection:
        rows = {name: connection.execute(sa.select(table(name))).mappings().all() for name in names}
    with into.write() as connection:
        for name in names:
            connection.execute(table(name).delete())
            for row in rows[name]:
                connection.execute(table(name).insert().values(**row))


def table(name: str) -> sa.Table:
    return all_tables().tables[name]


def test_the_export_of_another_site_costs_that_site_nothing(
    contest: Stage, rehearsal: Stage
) -> None:
    contest.engine.start_instance(1, 1)
    contest.engine.fill_pool()
    theirs = contest.runtime.running()
    mine = rehearsal.engine.start_instance(5, 1).instance["container_id"]
    before = identity(rehearsal.database)
    import_rows_of(contest.database, into=rehearsal.database)
    rehearsal.clock.advance(24 * 3600)  # all their time is over, by the rows
    rehearsal.engine.cleanup_worker.run_once()
    assert theirs <= contest.runtime.running()
    assert mine not in contest.runtime.running()  # found by its label, and no row knew it
    assert identity(rehearsal.database) == before
    assert rehearsal.actions()[-1] is Action.REPAIRED
    assert rehearsal.engine.get_instance_status(1, 1) is None


def test_a_repair_by_hand_looks_whose_the_rows_are_too(contest: Stage, rehearsal: Stage) -> None:
    contest.engine.start_instance(1, 1)
    before = identity(rehearsal.database)
    import_rows_of(contest.database, into=rehearsal.database)
    rehearsal.engine.reconcile()
    assert rehearsal.store.all() == []
    assert len(contest.runtime.running()) == 1
    assert identity(rehearsal.database) == before


def test_a_capacity_holds_after_an_import_took_the_gates_away(any_database: Database) -> None:
    """Whoever claims within a capacity holds a row; one that is gone is hung again."""
    stage = Stage(any_database, WEB, settings=Settings(cre_capacity=1))
    with any_database.write() as connection:
        connection.exec_driver_sql("DELETE FROM instance_gates")
    with ThreadPoolExecutor(4) as pool:
        started = list(pool.map(lambda user: stage.engine.start_instance(user, 1).ok, range(1, 5)))
    assert sum(started) == 1
    with any_database.read() as connection:
        gates = connection.exec_driver_sql("SELECT name FROM instance_gates").scalars().all()
    assert gates == ["cre_instances"]


def test_a_worker_that_runs_on_puts_tables_right_that_were_replaced(any_database: Database) -> None:
    """Where CTFd's import runs without the plugin; once both of two looks find the same."""
    any_database.ensure_schema()
    other = Database(any_database.engine.url.render_as_string(hide_password=False))
    export_and_import(other)
    assert other.schema_faults() != []
    any_database.look_again()
    assert other.schema_faults() != [], "an import may be at work"
    any_database.look_again()
    assert other.schema_faults() == []
    other.close()


def test_a_worker_leaves_tables_alone_that_have_no_version_yet(any_database: Database) -> None:
    any_database.ensure_schema()
    with any_database.write() as connection:
        for name in (*all_tables().tables, VERSION_TABLE):
            connection.exec_driver_sql(f"DROP TABLE {name}")
    for _ in range(3):
        any_database.look_again()
    with any_database.read() as connection:
        names = sa.inspect(connection).get_table_names()
    assert [name for name in names if not name.startswith("sqlite_")] == []


def test_all_that_a_swarm_makes_for_an_instance_carries_the_databases_id() -> None:
    spec = replace(WEB, companions=(Companion(name="db", image="db"),))
    launch = replace(STRAY, spec=spec, owner="0123456789ab")
    made = [
        network_config(launch, 1500),
        challenge_service(launch, "web", "network", ()),
        companion_service(launch, spec.companions[0], "db", "network", ()),
    ]
    assert [each["labels"][LABEL_OWNER] for each in made] == ["0123456789ab"] * 3
