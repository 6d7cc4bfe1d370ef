"""Files with secrets belong to one user: made so, and looked at where they were there before.

Nothing that is there already is ever changed: its owner may have had a reason.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

FILE_MODE, FOLDER_MODE = 0o600, 0o700
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_BESIDE = ("", "-wal", "-shm", "-journal")
"""What SQLite has beside a database, with parts of its rows in it."""


def make_private_folder(folder: Path) -> None:
    """Make a folder for its owner alone, whatever the umask, where it is not there.

    Raises:
        OSError: it cannot be made.
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(FOLDER_MODE)
        folder.chmod(FOLDER_MODE)
    except FileExistsError:
        if not folder.is_dir():  # else another process was first
            raise


def make_private_file(path: Path) -> None:
    """Make an empty file for its owner alone, whatever the umask, where it is not there.

    SQLite gives the files beside a database the mode of the database.

    Raises:
        OSError: it cannot be made.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
        path.chmod(FILE_MODE)


def open_to_others(path: Path) -> list[str]:
    """What other users of this machine may do with a database's files, each with its fix."""
    found = []
    for file in (path.with_name(f"{path.name}{end}") for end in _BESIDE):
        mode = _mode(file)
        if mode & _OTHERS:
            found.append(f"{file} has mode {mode:04o}: chmod 600 {file}")
    mode = _mode(path.parent)
    if mode & _OTHERS_WRITE and not mode & stat.S_ISVTX:
        found.append(f"{path.parent} has mode {mode:04o}: chmod go-w {path.parent}")
    return found


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0  # not there, or not to be seen
