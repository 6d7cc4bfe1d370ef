"""The state on disk is its owner's alone, whatever the umask; what was there before is named."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from engines.doctor import FindingState
from engines.doctor.database_side import database_findings, state_file_finding
from engines.errors import SettingsError
from engines.settings import Settings
from engines.state import database as module
from engines.state.database import Database


@pytest.fixture(params=[0o000, 0o022, 0o777], ids=lambda mask: f"umask {mask:03o}")
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_looked_at", set())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def made(path: Path) -> Database:
    database = Database(f"sqlite:///{path}")
    database.ensure_schema()
    return database


@pytest.mark.usefixtures("umask")
def test_all_of_a_fresh_state_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    database = made(folder / "state.db")
    with database.write():
        files = {path.name: mode(path) for path in folder.iterdir()}
    assert {"state.db", "state.db-wal", "state.db-shm"} <= files.keys()
    assert set(files.values()) == {0o600}
    assert mode(folder) == 0o700
    database.close()


def test_what_was_there_keeps_its_mode_and_is_named_once(
    tmp_path: Path, fresh_process: None, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o775)
    path = folder / "state.db"
    path.touch()
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            made(path).close()
    assert (mode(path), mode(folder)) == (0o644, 0o775)
    said = [record.getMessage() for record in caplog.records]
    assert sum(f"{path} has mode 0644: chmod 600 {path}" in line for line in said) == 1
    assert sum(f"{folder} has mode 0775: chmod go-w {folder}" in line for line in said) == 1


@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal"])
def test_doctor_names_a_file_that_others_may_read(tmp_path: Path, end: str) -> None:
    path = tmp_path / "state.db"
    made(path).close()
    settings = Settings(database_url=f"sqlite:///{path}")
    assert state_file(settings)[0] is FindingState.OK
    opened = path.with_name(f"state.db{end}")
    opened.touch()
    opened.chmod(0o640)
    state, seen, fix = state_file(settings)
    assert state is FindingState.NOT_OK
    assert f"{opened} has mode 0640" in seen
    assert fix == f"chmod 600 {opened}"


def test_a_folder_for_all_with_the_sticky_bit_is_no_fault(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    made(tmp_path / "state.db").close()
    assert state_file(Settings(database_url=f"sqlite:///{tmp_path}/state.db"))[0] is FindingState.OK


@pytest.mark.parametrize(
    "url", ["postgresql://u:p@127.0.0.1:9/n", "sqlite:///file:x?uri=true", "x"]
)
def test_there_may_be_no_file_to_look_at(url: str) -> None:
    assert state_file(Settings(database_url=url)) == (
        *(FindingState.OK, "none: the database is a server's"),
        "",
    )


def test_a_file_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = Settings(database_url=f"sqlite:///{tmp_path}/file/state.db")
    with pytest.raises(SettingsError, match=r"Not a directory|File exists"):
        made(tmp_path / "file" / "folder" / "state.db")
    with pytest.raises(SettingsError, match=r"CONTAINER_DATABASE_URL: .*/file: File exists"):
        made(tmp_path / "file" / "state.db")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(OperationalError, match="unable to open database file"):
        made(tmp_path / "folder.db")
    assert database_findings(settings)[0].state is FindingState.OK, "it is made by the first start"


def state_file(settings: Settings) -> tuple[FindingState, str, str]:
    found = state_file_finding(settings)
    return found.state, found.seen, found.fix
