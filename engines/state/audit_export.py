"""Rows of the audit log in files, before they are deleted from the database.

A file holds JSON lines and appears whole: a batch is written beside it, with what the file held
before, and takes its place once the database has deleted the rows. The transaction that deletes
them says which batch that was, so that after a kill at any moment a batch is either put into its
place or thrown away: no row is lost, none is there twice, and no file ends in half a line.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.state.database import metadata

LARGEST_FILE = 1 << 20
"""Bytes from which on a file is full: it is written anew with each batch."""

audit_exports = sa.Table(
    "audit_exports",
    metadata,
    sa.Column("folder", sa.String(32), primary_key=True),
    sa.Column("written", sa.String(32), nullable=False),
)
"""The last batch of each folder whose rows were deleted."""

_LOCK = ".lock"
_PART = ".part"


class ExportBusy(Exception):
    """Another process is at work on the folder."""


class ExportFolder:
    """A folder of files that only their owner can read.

    Args:
        path: is made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._id = ""
        self._staged: tuple[Path, Path] | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have the folder to oneself within.

        Raises:
            ExportBusy: somebody else has it.
            OSError: it cannot be written to.
        """
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ExportBusy from None
            self._id = os.pread(lock, 32, 0).decode("ascii", "replace")
            if len(self._id) != 32:  # new, or its maker was killed
                self._id = secrets.token_hex(16)
                os.pwrite(lock, self._id.encode(), 0)
                os.fsync(lock)
            yield
        finally:
            os.close(lock)

    def unfinished(self) -> bool:
        """Whether a process that was killed has left something."""
        return any(self._path.glob(f".*{_PART}"))

    def recover(self, connection: Connection) -> None:
        """Bring to its end what a killed process has left: a batch whose rows are gone from the
        database is put into its place, any other is thrown away."""
        query = sa.select(audit_exports.c.written).where(audit_exports.c.folder == self._id)
        written = connection.execute(query).scalar()
        for part in self._path.glob(f".*{_PART}"):
            name, token = part.name[1 : -len(_PART)].rsplit(".", 1)
            if token == written:
                self._put(part, self._path / name)
            else:
                part.unlink()

    def stage(
        self, connection: Connection, rows: Iterable[Mapping[str, Any]], now: datetime
    ) -> None:
        """Write rows beside their file, in the transaction that deletes them; :meth:`publish`
        follows once that is committed."""
        file = self._current() or self._new(now)
        token = secrets.token_hex(16)
        part = self._path / f".{file.name}.{token}{_PART}"
        before = file.read_bytes() if file.exists() else b""
        with private_file(part) as written:
            written.write(before + b"".join(line(row) for row in rows))
        mine = audit_exports.update().where(audit_exports.c.folder == self._id)
        if connection.execute(mine.values(written=token)).rowcount == 0:
            values = {"folder": self._id, "written": token}
            connection.execute(audit_exports.insert().values(**values))
        self._staged = part, file

    def publish(self) -> None:
        """Put the staged batch into its place."""
        if self._staged is not None:
            self._put(*self._staged)
        self._staged = None

    def _current(self) -> Path | None:
        """The file that is not full yet."""
        there = [(file.stat(), file) for file in self._path.glob("container-events-*.jsonl")]
        newest = max(there, key=lambda each: (each[0].st_mtime_ns, each[1].name), default=None)
        return newest[1] if newest is not None and newest[0].st_size < LARGEST_FILE else None

    def _new(self, now: datetime) -> Path:
        names = (f"container-events-{now:%Y%m%dT%H%M%SZ}-{number:04}.jsonl" for number in count(1))
        return next(file for name in names if not (file := self._path / name).exists())

    def _put(self, part: Path, file: Path) -> None:
        part.replace(file)
        folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def line(row: Mapping[str, Any]) -> bytes:
    """A row of ``container_events`` as a line of JSON."""
    told = {name: value for name, value in row.items() if name != "same"}
    for name in ("at", "last_at"):
        told[name] = None if row[name] is None else row[name].isoformat()
    told["metadata"] = json.loads(row["metadata"])
    return json.dumps(told, sort_keys=True).encode() + b"\n"


@contextmanager
def private_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a new file that only its owner can read, down to the disk."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
