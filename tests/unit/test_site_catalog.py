"""The catalogue out of CTFd's tables, on a database that has them; no CTFd is needed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa

from engines.catalog import Port, Visibility, may_be_on_whale, not_on_whale
from engines.ctfd.catalog import SiteCatalog, contest_end
from engines.ctfd.fields import FIELDS
from engines.state.database import Database

Add = Callable[..., None]


@pytest.fixture
def add(database: Database) -> Add:
    """Adds a challenge to tables as CTFd and the migration make them."""
    tables = sa.MetaData()
    challenges = sa.Table(
        "challenges",
        tables,
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.String(80)) for name in ("name", "type", "state")),
    )
    ours = sa.Table(
        "whale_ready_challenge",
        tables,
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(field.column, sa.Text) for field in FIELDS),
    )
    sa.Table("config", tables, sa.Column("key", sa.Text), sa.Column("value", sa.Text))
    tables.create_all(database.engine)

    def added(
        number: int, *, kind: str = "whale_ready", state: str = "visible", **more: str
    ) -> None:
        with database.write() as connection:
            row = {"id": number, "name": f"c{number}", "type": kind, "state": state}
            connection.execute(challenges.insert().values(**row))
            if more:
                connection.execute(ours.insert().values(id=number, **more))

    return added


def set_config(database: Database, key: str, value: str) -> None:
    with database.write() as connection:
        query = sa.text("INSERT INTO config VALUES (:key, :value)")
        connection.execute(query, {"key": key, "value": value})


def test_challenges_of_our_type(database: Database, add: Add) -> None:
    add(1, container_image="a:1", container_memory_mb="64")
    add(2, kind="standard", container_image="a:1")  # its type was another one once
    add(3, state="hidden", container_image="b:1")
    add(4, state="locked", container_image="b:1")
    add(5, state="of the future", container_image="b:1")
    catalog = SiteCatalog(database)
    found = catalog.get(1)
    assert found is not None
    assert (found.name, found.image, found.memory_mb, found.startable) == ("c1", "a:1", 64, True)
    assert catalog.get(2) is None
    assert catalog.get(99) is None
    assert [(each.id, each.startable) for each in catalog.all()] == [
        (1, True),
        (3, False),
        (4, False),
        (5, False),
    ]


def test_an_admin_may_start_what_is_hidden(database: Database, add: Add) -> None:
    add(3, state="hidden", container_image="b:1")
    admin_asks = [False]
    catalog = SiteCatalog(database, lambda: admin_asks[0])
    assert [each.visibility for each in catalog.all()] == [Visibility.HIDDEN]
    admin_asks[0] = True
    assert [each.visibility for each in catalog.all()] == [Visibility.VISIBLE]


def test_a_broken_challenge_is_left_out_and_logged(
    database: Database, add: Add, caplog: pytest.LogCaptureFixture
) -> None:
    add(1, container_image="a:1")
    add(2, container_image="a:1", container_memory_mb="-5")
    assert [each.id for each in SiteCatalog(database).all()] == [1]
    assert "challenge 2 cannot be run, edit it: Memory" in caplog.text


def test_the_contests_end_is_every_challenges(database: Database, add: Add) -> None:
    add(1, container_image="a:1")
    set_config(database, "end", "1796144400")
    found = SiteCatalog(database).get(1)
    assert found is not None
    assert found.ends_at == datetime(2026, 12, 1, 17, tzinfo=timezone.utc)
    set_config(database, "view_after_ctf", "true")
    found = SiteCatalog(database).get(1)
    assert found is not None
    assert found.ends_at is None


@pytest.mark.parametrize("value", [None, "", "0", "soon", "9" * 30])
def test_no_end(value: str | None) -> None:
    assert contest_end({"end": value}) is None


def test_challenges_of_whales_own_type_where_asked_for(database: Database, add: Add) -> None:
    add(1, container_image="a:1")
    add(2, kind="dynamic_docker")
    add_whales(database, 2)
    assert [each.id for each in SiteCatalog(database).all()] == [1]
    catalog = SiteCatalog(database, whales_too=True)
    assert [each.id for each in catalog.all()] == [1, 2]
    found = catalog.get(2)
    assert found is not None
    assert (found.image, found.memory_mb, found.cpus) == ("w:1", 1024, 0.25)
    assert found.ports == (Port(8080),)


def add_whales(database: Database, *numbers: int) -> None:
    """ctfd-whale's table, with challenges of these ids."""
    with database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE dynamic_docker_challenge (id INTEGER, docker_image TEXT, "
            "memory_limit TEXT, cpu_limit FLOAT, redirect_port INTEGER)"
        )
        insert = sa.text(
            "INSERT INTO dynamic_docker_challenge VALUES (:number, 'w:1', '1g', 0.25, 8080)"
        )
        connection.execute(insert, [{"number": number} for number in numbers])


def test_in_one_ctfd_whale_has_the_challenges_of_its_own_type(database: Database, add: Add) -> None:
    add(1, container_image="a:1")
    add(2, kind="dynamic_docker")
    add(3, container_image="a:1", container_memory_mb="-5")  # not to be run here either
    add(4, container_image="a:1")  # of Whale's type once
    add(5, kind="standard")
    add_whales(database, 2, 4)
    for whales_too in (True, False):
        catalog = SiteCatalog(database, whales_too=whales_too, whale=database.engine)
        assert not_on_whale(catalog) == {1, 3, 4}
        assert may_be_on_whale(catalog, 2)


def test_of_a_whale_elsewhere_its_own_database_tells(
    database: Database, add: Add, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add(1, container_image="a:1")
    add(2, container_image="a:1")
    assert not_on_whale(SiteCatalog(database)) == set(), "nothing is known"
    theirs = Database(f"sqlite:///{tmp_path / 'whale.db'}")
    try:
        catalog = SiteCatalog(database, whale=theirs.engine)
        assert [not_on_whale(catalog) for _ in range(3)] == [set()] * 3, "it has no such table"
        assert caplog.text.count("what Whale has cannot be read") == 1, "it was asked once"
        with theirs.write() as connection:
            connection.exec_driver_sql(
                "CREATE TABLE challenges (id INTEGER, name TEXT, type TEXT, state TEXT)"
            )
            connection.exec_driver_sql(
                "INSERT INTO challenges VALUES (1, 'w', 'dynamic_docker', 'visible')"
            )
        add_whales(theirs, 1)
        catalog = SiteCatalog(database, whale=theirs.engine)
        assert not_on_whale(catalog) == {2}
        with theirs.write() as connection:
            connection.exec_driver_sql("DROP TABLE dynamic_docker_challenge")
        add(3, container_image="a:1")
        assert not_on_whale(catalog) == {2, 3}, "what was read last holds"
    finally:
        theirs.close()
