"""Flags as the plugin asks for them: the account's own, Whale's, and somebody else's.

Sources: BIT-NSC/CTFd-owl#2, jonschipp/ISLET#69.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from engines.audit import Action, ContainerEvent
from engines.cre.runtimes.memory import MemoryRuntime
from engines.ctfd.deployment import RUNTIME, Deployment
from engines.errors import BackendUnavailable
from engines.factory import reset_container_backend
from engines.state.database import Database
from engines.state.given_flags import digest

CTFDS = """
CREATE TABLE users (id INTEGER PRIMARY KEY, type VARCHAR(80), created DATETIME);
CREATE TABLE teams (id INTEGER PRIMARY KEY, created DATETIME);
CREATE TABLE challenges (id INTEGER PRIMARY KEY, name TEXT, type VARCHAR(80), state TEXT);
CREATE TABLE config (key TEXT, value TEXT);
CREATE TABLE whale_ready_challenge (id INTEGER PRIMARY KEY, container_born TEXT, {});
INSERT INTO users VALUES (7, 'user', '2026-01-01 00:00:00.000001');
INSERT INTO users VALUES (8, 'user', '2026-01-01 00:00:00.000002');
INSERT INTO challenges VALUES (1, 'Web', 'whale_ready', 'visible');
INSERT INTO whale_ready_challenge (id, container_born, container_image) VALUES (1, 'b', 'web:1')
"""
GONE = "DELETE FROM users WHERE id = 7"
ANOTHER = "INSERT INTO users VALUES (7, 'user', '2026-01-01 00:00:00.000009')"


class Site:
    """A deployment beside CTFd's tables."""

    def __init__(self, url: str, database: Database) -> None:
        self.database = database
        self.deployment = Deployment({RUNTIME: MemoryRuntime()}, url, lambda: False)
        self.backend = self.deployment.backend()

    def execute(self, *statements: str) -> None:
        with self.database.write() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def flag(self, user: int) -> str:
        assert self.backend.start_instance(user, 1).ok
        return self.deployment.flags(user, 1, None).counting[0]

    def told(self) -> list[ContainerEvent]:
        events = self.backend.audit.events()
        return [event for event in events if event.action is Action.FOREIGN_FLAG]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    from engines.ctfd.fields import FIELDS

    url = f"sqlite:///{tmp_path / 'ctfd.db'}"
    database = Database(url)
    columns = ", ".join(f"{field.column} TEXT" for field in FIELDS)
    with database.write() as connection:
        for statement in CTFDS.format(columns).split(";"):
            connection.exec_driver_sql(statement)
    yield Site(url, database)
    reset_container_backend()
    database.close()


def test_an_account_that_never_started_has_had_none(site: Site) -> None:
    assert not site.deployment.flags(7, 1, None).any_ever
    flag = site.flag(7)
    held = site.deployment.flags(7, 1, None)
    assert (held.counting, held.digests) == ((flag,), frozenset({digest(flag)}))
    assert not site.deployment.flags(8, 1, None).any_ever


def test_somebody_elses_flag_is_recorded_with_both_accounts(site: Site) -> None:
    flag = site.flag(7)
    assert site.deployment.note_foreign(flag, 8, 1, None)
    [event] = site.told()
    assert (event.user_id, event.challenge_id, event.backend) == (8, 1, "cre")
    assert event.metadata["flag_of"] == "user:7"
    assert flag not in json.dumps(dict(event.metadata))
    assert site.backend.stop_instance(7, 1).ok
    assert site.deployment.note_foreign(flag, 8, 1, None)  # of a container that is over, too


def test_ones_own_and_nobodys_are_not(site: Site) -> None:
    flag = site.flag(7)
    assert not site.deployment.note_foreign(flag, 7, 1, None)
    assert not site.deployment.note_foreign("flag{guessed}", 8, 1, None)
    assert site.told() == []


def test_the_flag_of_the_numbers_former_owner_is_somebody_elses(site: Site) -> None:
    flag = site.flag(7)
    site.execute(GONE, ANOTHER)
    assert not site.deployment.flags(7, 1, None).any_ever
    assert site.deployment.note_foreign(flag, 7, 1, None)
    [event] = site.told()
    assert "deleted since" in event.metadata["reason"]


def test_a_flag_of_the_challenge_that_had_the_number_is_nobodys(site: Site) -> None:
    flag = site.flag(7)
    site.execute("UPDATE whale_ready_challenge SET container_born = 'another'")
    assert not site.deployment.note_foreign(flag, 8, 1, None)


def test_a_deletion_ends_what_it_orphans(site: Site) -> None:
    site.flag(7)
    site.flag(8)
    site.execute(GONE)
    site.deployment.end_orphans(60)
    assert [each.user_id for each in site.deployment.parts().overview.live()] == [8]
    last = site.backend.audit.events()[-1]
    assert (last.action, last.user_id) == (Action.ORPHANED, 7)
    with site.database.read() as connection:
        routes = connection.execute(sa.text("SELECT user_id FROM hybrid_routes")).scalars()
        assert list(routes) == [8]


def test_out_of_reach_is_no_answer(site: Site) -> None:
    site.execute("ALTER TABLE users RENAME TO users_away")
    with pytest.raises(BackendUnavailable):
        site.deployment.flags(7, 1, None)
    assert not site.deployment.note_foreign("flag{guessed}", 7, 1, None)  # only logged
    site.deployment.end_orphans(60)
