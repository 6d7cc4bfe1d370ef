"""A process beside CTFd with the same database: what the site deletes, it ends; no CTFd is needed.

Sources: CTFd/CTFd#1386, jonschipp/ISLET#69.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from support.cre_stage import Stage
from support.site_tables import another, make_site, ours, users

from engines.audit import Action
from engines.catalog import ChallengeSpec, StaticCatalog
from engines.cre import ContainerRuntimeEngine
from engines.cre.tables import cre_instances
from engines.ctfd.beside import SiteBeside, missing
from engines.ctfd.owners import SiteOwners
from engines.errors import BackendUnavailable
from engines.settings import Settings
from engines.state import schema
from engines.state.database import Database

SPEC = ChallengeSpec(id=1, name="First", image="chal:1")
PLAIN = StaticCatalog([SPEC])


@pytest.fixture(params=["sqlite", "mariadb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    if request.param == "mariadb":
        url = request.getfixturevalue("mariadb").create()
    database = Database(url)
    yield database
    database.close()


class Beside:
    """The site's own process, and a worker beside it on the same database and runtime."""

    def __init__(self, database: Database) -> None:
        database.ensure_schema()
        self.stage = Stage(database, SPEC, owners=SiteOwners(database))
        self.site = SiteBeside(Settings(), database, StaticCatalog())
        self.worker = ContainerRuntimeEngine(
            self.stage.settings,
            runtime=self.stage.runtime,
            catalog=self.site,
            database=database,
            clock=self.stage.clock,
            solved=self.site,
            owners=self.site,
        )

    def running(self) -> int:
        return len(self.stage.store.all())


def test_what_a_deletion_past_the_plugin_orphaned_is_ended(database: Database) -> None:
    make_site(database, 7, 8, 9)
    both = Beside(database)
    assert all(both.stage.engine.start_instance(user, 1).ok for user in (7, 8, 9))
    both.worker.cleanup_worker.run_once()
    assert both.running() == 3
    with database.write() as connection:
        connection.execute(users.delete().where(users.c.id == 7))
    another(database, 8)
    both.worker.cleanup_worker.run_once()
    assert [row.user_id for row in both.stage.store.all()] == [9]
    events = both.worker.audit.events()
    assert sorted(
        (event.user_id, event.metadata["reason"])
        for event in events
        if event.action is Action.ORPHANED
    ) == [
        (7, "its account is gone"),
        (8, "its account is gone, and another one has the number"),
    ]
    with database.write() as connection:
        connection.execute(ours.delete())
        connection.execute(sa.text("DELETE FROM challenges"))
    both.worker.cleanup_worker.run_once()
    assert both.running() == 0


def test_the_pool_is_filled_for_the_sites_challenges(database: Database) -> None:
    """Without its catalogue the worker would drain what the plugin keeps ready."""
    make_site(database, 7)
    both = Beside(database)
    both.worker.cleanup_worker.run_once()
    assert len(both.stage.runtime.running()) == 1


def test_during_an_import_nothing_is_ended(database: Database) -> None:
    """CTFd drops all tables, and makes ours by guessing when accounts are there again, or not."""
    make_site(database, 7)
    both = Beside(database)
    assert both.stage.engine.start_instance(7, 1).ok
    with database.write() as connection:
        connection.execute(users.delete())
        connection.exec_driver_sql("DROP TABLE cre_starts")
    with pytest.raises(BackendUnavailable, match="an import into CTFd is at work"):
        both.worker.end_orphans()
    assert both.running() == 1
    schema.upgrade(database.engine)
    assert both.worker.end_orphans() == 1


def test_an_import_that_begins_while_accounts_are_read_ends_nothing(database: Database) -> None:
    make_site(database, 7)
    answers = iter([False, True])
    with pytest.raises(BackendUnavailable):
        SiteOwners(database, lambda: next(answers)).marks([(7, None, 1)])


def test_a_database_of_no_ctfd_is_said_once(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    assert missing(database) == "the table users"
    database.ensure_schema()
    plain = SiteBeside(Settings(), database, PLAIN)
    assert plain.marks([(7, None, 1)]) is None
    assert [spec.id for spec in plain.all()] == [1]
    assert plain.get(1) == SPEC
    assert plain([]) == frozenset()
    said = [record.message for record in caplog.records]
    assert len(said) == 1
    assert "the table users is missing" in said[0]
    assert "not ended by this worker" in said[0]
    # An application's own users are not CTFd's, and a CTFd without the plugin is not ours.
    users.create(database.engine)
    assert missing(database) == "the table teams"
    make_site(database, 7)
    ours.drop(database.engine)
    assert missing(database) == "the table whale_ready_challenge"
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE whale_ready_challenge (id INTEGER PRIMARY KEY)")
    assert missing(database).startswith("the column container_")
    ours.drop(database.engine)
    ours.create(database.engine)
    # CTFd came up after the worker.
    assert plain.marks([(7, None, 1)]) is not None
    assert [spec.id for spec in plain.all()] == []  # its tables have none now


def test_rows_of_before_there_were_marks_get_one(database: Database) -> None:
    make_site(database, 7)
    both = Beside(database)
    assert both.stage.engine.start_instance(7, 1).ok
    with database.write() as connection:
        connection.execute(cre_instances.update().values(mark=None))
    both.worker.cleanup_worker.run_once()
    [row] = both.stage.store.all()
    assert row.mark
