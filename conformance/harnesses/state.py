"""The state database of one run, empty at the start of every scenario."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from conformance.harness import Harness
from engines.database import Database, metadata


class TemporaryState:
    """A SQLite database in a temporary folder."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="whale-ready-"))
        self._database = Database(f"sqlite:///{self._folder / 'state.db'}")
        self._database.ensure_schema()

    def emptied(self) -> Database:
        """The database, without a row in any table.

        One database serves a whole run, because a new one for each scenario would have its tables
        made and its statements compiled each time.
        """
        with self._database.write() as connection:
            for table in metadata.sorted_tables:
                connection.execute(table.delete())
        return self._database

    def close(self) -> None:
        """Close the database and remove it."""
        self._database.close()
        shutil.rmtree(self._folder)


class StatefulHarness(Harness):
    """A harness whose worlds keep their state in :meth:`database`."""

    _state: TemporaryState | None = None

    def open(self) -> None:
        self._state = TemporaryState()

    def database(self) -> Database:
        """An empty database for the next world."""
        if self._state is None:
            raise RuntimeError("open() comes before world()")
        return self._state.emptied()

    def close(self) -> None:
        if self._state is not None:
            self._state.close()
            self._state = None
