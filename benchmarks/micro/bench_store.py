"""Operations of the store, by database and number of rows, each against one plain statement.

A read is held against a SELECT by primary key, a change against an INSERT, UPDATE or DELETE of one
row by primary key; each in a transaction of its own on the same table.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa

from benchmarks.micro.pairs import NotDone, Pair, Variant
from conformance.harness import CannotRun
from conformance.harnesses.state import ServerState, TemporaryState
from engines.audit import Action, ContainerEvent
from engines.contract import Code
from engines.cre.tables import cre_instances
from engines.state.audit_log import AuditLog
from engines.state.database import Database
from engines.state.instance_store import InstanceStore
from engines.state.instances import Claimed, Instance, InstanceRequest, InstanceState, columns

KINDS = {"sqlite": "sqlite", "mariadb": "mysql+pymysql", "postgresql": "postgresql+psycopg2"}
"""With the driver that an URL of it names."""
ROWS = (10, 1_000, 10_000)
ROUNDS = 200
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
CHALLENGE = 1
MINE, PLAIN, NEW, NEW_PLAIN = "user:0", "user:1", "user:new", "user:new-plain"
"""Accounts that the store changes, that plain statements change, and such as have no row yet."""


class FilledStore:
    """A store among so many rows, and plain statements on the same table."""

    def __init__(self, database: Database, rows: int) -> None:
        self.store = InstanceStore(database, AuditLog(database), cre_instances)
        self.request = InstanceRequest(NEW, CHALLENGE, 0, None, "", 1, 2 * max(ROWS), 60.0)
        self._database = database
        self._by_id = cre_instances.c.id == sa.bindparam("key")
        self._select = sa.select(cre_instances).where(self._by_id)
        self._update = cre_instances.update().where(self._by_id)
        self._delete = cre_instances.delete().where(self._by_id)
        with database.write() as connection:
            values = [columns(_running(f"user:{number}")) for number in range(rows)]
            connection.execute(cre_instances.insert(), values)
        self.mine, self._plain = self.find(MINE), self.find(PLAIN)
        self._key = self._plain.id

    def find(self, account: str) -> Instance:
        found = self.store.find(account, CHALLENGE)
        if found is None:
            raise NotDone("there is no such row")
        return found

    def nothing_is_due(self) -> None:
        if self.store.due(NOW):
            raise NotDone("rows are due")

    def extend(self) -> None:
        after = self.mine.extended(NOW + timedelta(hours=2))
        if not self.store.save(after, _event(Action.EXTENDED)):
            raise NotDone("the row was not changed")
        self.mine = after

    def claim(self) -> None:
        match self.store.claim(self.request, NOW):
            case Claimed(row):
                self.claimed = row
            case obstacle:
                raise NotDone(f"not claimed: {type(obstacle).__name__}")

    def delete(self) -> None:
        if not self.store.delete(self.claimed, _event(Action.STOPPED)):
            raise NotDone("the row was not removed")

    def plain_select(self) -> None:
        with self._database.read() as connection:
            connection.execute(self._select, {"key": self._key}).one()

    def plain_update(self) -> None:
        self._change(self._update.values(**columns(self._plain)), self._key)

    def plain_insert(self) -> None:
        with self._database.write() as connection:
            done = connection.execute(cre_instances.insert().values(**columns(_running(NEW_PLAIN))))
        key: Any = done.inserted_primary_key
        self._inserted = key[0]

    def plain_delete(self) -> None:
        self._change(self._delete, self._inserted)

    def _change(self, statement: Any, key: int) -> None:
        with self._database.write() as connection:
            if connection.execute(statement, {"key": key}).rowcount != 1:
                raise NotDone("no row was changed")


def _running(account: str) -> Instance:
    return Instance(
        id=0,
        account=account,
        challenge_id=CHALLENGE,
        slot=0,
        user_id=1,
        team_id=None,
        state=InstanceState.RUNNING,
        version=1,
        lease_until=NOW,
        flag="flag{made up}",
        container_id=f"container of {account}",
        host="127.0.0.1",
        ports=("80",),
        started_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        extension_count=0,
    )


def _event(action: Action) -> ContainerEvent:
    return ContainerEvent(NOW, "cre", 1, None, CHALLENGE, action, Code.OK, 1)


def _url_of(config: pytest.Config, kind: str) -> str:
    """What ``--database`` says of this kind; skips where it says nothing."""
    names = {"mysql": "mariadb"}
    for url in config.getoption("--database"):
        try:
            found = sa.engine.make_url(url).get_backend_name()
        except sa.exc.ArgumentError:  # its text quotes the URL, and that may hold a password
            raise pytest.UsageError(
                "--database: write an URL such as mysql+pymysql://USER:PASSWORD@HOST/DATABASE"
            ) from None
        if names.get(found, found) == kind:
            return str(url)
    pytest.skip(
        f"to run this: --database {KINDS[kind]}://USER:PASSWORD@HOST/DATABASE, an empty one; "
        "PYTHONPATH=tests python -m support.servers starts servers and tells the options"
    )


@pytest.fixture(scope="module", params=list(KINDS))
def state(request: pytest.FixtureRequest) -> Iterator[TemporaryState | ServerState]:
    """Where rows are kept: one database of each kind."""
    kept: TemporaryState | ServerState
    if request.param == "sqlite":
        kept = TemporaryState()
    else:
        kept = ServerState(_url_of(request.config, request.param))
    try:
        if isinstance(kept, ServerState):
            kept.open()
        yield kept
    except CannotRun as error:
        pytest.fail(str(error), pytrace=False)
    finally:
        kept.close()


@pytest.fixture(scope="module", params=ROWS)
def stage(request: pytest.FixtureRequest, state: TemporaryState | ServerState) -> FilledStore:
    return FilledStore(state.emptied(), request.param)


def test_find(pair: Pair, stage: FilledStore) -> None:
    pair(Variant(lambda: stage.find(MINE)), Variant(stage.plain_select), ROUNDS)


def test_due(pair: Pair, stage: FilledStore) -> None:
    pair(Variant(stage.nothing_is_due), Variant(stage.plain_select), ROUNDS)


def test_extend(pair: Pair, stage: FilledStore) -> None:
    pair(Variant(stage.extend), Variant(stage.plain_update), ROUNDS)


def test_claim(pair: Pair, stage: FilledStore) -> None:
    plain = Variant(stage.plain_insert, after=stage.plain_delete)
    pair(Variant(stage.claim, after=stage.delete), plain, ROUNDS)


def test_delete(pair: Pair, stage: FilledStore) -> None:
    plain = Variant(stage.plain_delete, before=stage.plain_insert)
    pair(Variant(stage.delete, before=stage.claim), plain, ROUNDS)
