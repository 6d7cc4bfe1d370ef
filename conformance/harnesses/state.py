"""A database of its own for one scenario, gone with it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from engines.database import Database


class TemporaryState:
    """A fresh SQLite database in a temporary folder."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="whale-ready-"))
        self.database = Database(f"sqlite:///{self._folder / 'state.db'}")

    def close(self) -> None:
        """Close the database and remove it."""
        self.database.close()
        shutil.rmtree(self._folder)
