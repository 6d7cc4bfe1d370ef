"""Whale's one table of container records, with MariaDB's two isolation levels.

Under REPEATABLE-READ a transaction reads from the picture taken at its first read, while deletes
and updates work on the rows as they are now. This is what lets two POSTs of one user at once both
believe that nothing runs (docs/whale-wire.md, "Concurrency").
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum

from . import mariadb
from .errors import DatabaseError

FLAG_COLUMN = 128
"""Characters the flag's column holds."""


class TransactionIsolation(str, Enum):
    """MariaDB's transaction isolation; CTFd runs at MariaDB's default, the first."""

    REPEATABLE_READ = "repeatable-read"
    READ_COMMITTED = "read-committed"


class Dbms(str, Enum):
    """What CTFd keeps its tables in.

    SQLite, as CTFd opens it, begins no transaction to read: every read sees the table as it is now,
    whatever the isolation. Nor does it mind how long a text is.
    """

    MARIADB = "mariadb"
    SQLITE = "sqlite"


@dataclass(frozen=True)
class Record:
    """One row: what Whale believes to run. ``start_time`` is in epoch seconds."""

    id: int
    user_id: int
    challenge_id: int
    start_time: float
    uuid: str
    flag: str = field(repr=False)
    renew_count: int = 0
    port: int = 0


class InstanceTable:
    """The table; every change goes through a :class:`Transaction`."""

    def __init__(self, isolation: TransactionIsolation, kind: Dbms = Dbms.MARIADB) -> None:
        self.kind = kind
        self.isolation = isolation if kind is Dbms.MARIADB else TransactionIsolation.READ_COMMITTED
        self._lock = threading.Lock()
        self._rows: dict[int, Record] = {}
        self._last_id = 0

    def begin(self) -> Transaction:
        """A transaction of one request."""
        return Transaction(self)

    def rows(self) -> tuple[Record, ...]:
        """All rows as they are now, oldest first."""
        with self._lock:
            return tuple(self._rows.values())

    def insert(
        self, user_id: int, challenge_id: str, start_time: float, uuid: str, flag: str
    ) -> Record:
        """Add a row; raises :class:`DatabaseError` when a value does not fit its column."""
        number = mariadb.stored(challenge_id)
        if len(flag) > FLAG_COLUMN and self.kind is Dbms.MARIADB:
            raise DatabaseError("data too long for column 'flag'")
        with self._lock:
            self._last_id += 1
            record = Record(self._last_id, user_id, number, start_time, uuid, flag)
            self._rows[record.id] = record
            return record

    def delete(self, ids: Iterable[int]) -> None:
        """Remove rows by id."""
        with self._lock:
            for row_id in ids:
                self._rows.pop(row_id, None)

    def delete_of_user(self, user_id: int, challenge_id: int | None = None) -> None:
        """Remove every row of the user (of that challenge, if one is given).

        Whatever any transaction has seen of them.
        """
        with self._lock:
            self._rows = {
                number: row
                for number, row in self._rows.items()
                if row.user_id != user_id or challenge_id not in (None, row.challenge_id)
            }

    def update(self, changed: Record) -> None:
        """Write ``changed`` over its row; raises :class:`DatabaseError` when the row is gone."""
        with self._lock:
            if changed.id not in self._rows:
                raise DatabaseError("expected to update 1 row, 0 were matched")
            self._rows[changed.id] = changed


class Transaction:
    """What one request sees of the table, and does to it; each change commits."""

    def __init__(self, database: InstanceTable) -> None:
        self._database = database
        self._picture: tuple[Record, ...] | None = None

    def look(self) -> None:
        """Take the picture now, as any first read of the request does."""
        self._read()

    def of_users(self, user_ids: Iterable[int], challenge_id: int | None = None) -> list[Record]:
        """All records of those users (of that challenge, if one is given)."""
        owners = frozenset(user_ids)
        return [
            row
            for row in self._read()
            if row.user_id in owners and challenge_id in (None, row.challenge_id)
        ]

    def alive(self, since: float) -> list[Record]:
        """Records started at ``since`` (epoch seconds) or later."""
        return [r for r in self._read() if r.start_time >= since]

    def expired(self, before: float) -> list[Record]:
        """Records started before ``before`` (epoch seconds)."""
        return [r for r in self._read() if r.start_time < before]

    def everything(self) -> tuple[Record, ...]:
        """All records."""
        return self._read()

    def insert(self, user_id: int, challenge_id: str, start: float, uuid: str, flag: str) -> Record:
        """See :meth:`InstanceTable.insert`."""
        record = self._database.insert(user_id, challenge_id, start, uuid, flag)
        self._commit()
        return record

    def delete_of_user(self, user_id: int, challenge_id: int | None = None) -> None:
        """See :meth:`InstanceTable.delete_of_user`."""
        self._database.delete_of_user(user_id, challenge_id)
        self._commit()

    def delete(self, ids: Iterable[int]) -> None:
        """See :meth:`InstanceTable.delete`."""
        self._database.delete(ids)
        self._commit()

    def set_port(self, record: Record, port: int) -> Record:
        """Note the direct port; raises :class:`DatabaseError` when the row is gone."""
        changed = replace(record, port=port)
        self._database.update(changed)
        self._commit()
        return changed

    def renew(self, record: Record, start: float) -> Record:
        """Restart the record's time and count one renewal more than *this request* saw."""
        changed = replace(record, start_time=start, renew_count=record.renew_count + 1)
        self._database.update(changed)
        self._commit()
        return changed

    def _read(self) -> tuple[Record, ...]:
        if self._database.isolation is TransactionIsolation.READ_COMMITTED:
            return self._database.rows()
        if self._picture is None:
            self._picture = self._database.rows()
        return self._picture

    def _commit(self) -> None:
        self._picture = None
