"""CTFd's accounts and challenges, told apart by more than their numbers; no CTFd is needed.

Sources: jonschipp/ISLET#69, CTFd/CTFd#1386.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.ctfd.owners import AT_A_TIME, SiteOwners
from engines.errors import BackendUnavailable
from engines.owners import Key, Mark
from engines.state.database import Database

MIGRATIONS = Path(__file__).parents[2] / "engines" / "ctfd" / "plugin" / "migrations"
TABLES = """
CREATE TABLE users (id INTEGER PRIMARY KEY, type VARCHAR(80), created DATETIME);
CREATE TABLE teams (id INTEGER PRIMARY KEY, created DATETIME);
CREATE TABLE challenges (id INTEGER PRIMARY KEY, type VARCHAR(80));
CREATE TABLE whale_ready_challenge (id INTEGER PRIMARY KEY, container_born VARCHAR(32));
CREATE TABLE config (key TEXT, value TEXT);
INSERT INTO users VALUES (1, 'admin', '2026-01-01 00:00:00.000001');
INSERT INTO users VALUES (7, 'user', '2026-01-01 00:00:00.000002');
INSERT INTO teams VALUES (3, '2026-01-01 00:00:00.000002');
INSERT INTO challenges VALUES (5, 'whale_ready'), (6, 'dynamic_docker');
INSERT INTO whale_ready_challenge VALUES (5, 'born');
INSERT INTO config VALUES ('user_mode', 'users');
"""


def execute(database: Database, *statements: str) -> None:
    with database.write() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.fixture
def site(database: Database) -> Database:
    execute(database, *filter(str.strip, TABLES.split(";")))
    return database


def mark(site: Database, user: int = 7, team: int | None = None, challenge: int = 5) -> Mark:
    key: Key = (user, team, challenge)
    return SiteOwners(site).marks([key])[key]


def test_what_is_there_keeps_its_mark(site: Database) -> None:
    before = mark(site)
    assert before.account
    assert before.challenge
    execute(site, "UPDATE users SET type = 'admin'")
    assert mark(site) == before
    assert "." not in before.account
    assert len(before.text) <= 64  # the column's


def test_the_same_number_of_another_account_or_challenge(site: Database) -> None:
    before = mark(site)
    execute(
        site,
        "DELETE FROM users WHERE id = 7",
        "INSERT INTO users VALUES (7, 'user', '2026-01-01 00:00:00.000003')",
    )
    assert mark(site).account != before.account
    assert mark(site).challenge == before.challenge
    execute(site, "UPDATE whale_ready_challenge SET container_born = 'again'")
    assert mark(site).challenge != before.challenge


def test_a_row_of_ours_that_a_deletion_left_is_no_challenge(site: Database) -> None:
    before = mark(site)
    execute(site, "DELETE FROM challenges WHERE id = 5")
    assert mark(site).challenge == ""
    execute(site, "INSERT INTO challenges VALUES (5, 'standard')")
    assert mark(site).challenge not in ("", before.challenge)


def test_what_is_gone_has_none(site: Database) -> None:
    assert mark(site, user=8).account == ""
    assert mark(site, challenge=9).challenge == ""
    assert mark(site, challenge=6).challenge  # Whale's type, where it is served


def test_users_or_teams(site: Database) -> None:
    assert mark(site).account
    assert mark(site, team=3).account == ""
    execute(site, "UPDATE config SET value = 'teams'")
    assert mark(site, team=3).account
    assert mark(site).account == ""
    assert mark(site, user=1).account  # an admin may try a challenge alone
    execute(site, "DELETE FROM users WHERE id = 7")
    assert mark(site, team=3).account  # it is the team's, whoever started it


def test_an_account_and_a_team_made_in_the_same_moment_are_two(site: Database) -> None:
    """They never meet: a mark stands beside its account, and a mode has either."""
    alone = mark(site)
    execute(site, "UPDATE config SET value = 'teams'")
    assert mark(site, team=3).account == alone.account


def test_more_than_fit_into_one_query(site: Database) -> None:
    keys: list[Key] = [(number, None, 5) for number in range(1, 2 * AT_A_TIME + 2)]
    found = SiteOwners(site).marks(keys)
    assert [key[0] for key in keys if found[key].account] == [1, 7]


def test_during_an_import_nobody_can_tell(site: Database) -> None:
    with pytest.raises(BackendUnavailable, match="import"):
        SiteOwners(site, lambda: True).marks([(7, None, 5)])
