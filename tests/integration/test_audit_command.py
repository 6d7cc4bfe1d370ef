"""``whale-ready audit``: what is there as a file, and what is old deleted."""

from __future__ import annotations

import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from engines.audit import Action, ContainerEvent
from engines.contract import Code
from engines.state.audit_log import AuditLog
from engines.state.database import Database
from whale_ready.cli import main

ROWS = 1200
"""More than are read at a time, and than one transaction deletes."""


@pytest.fixture
def log(database: Database, monkeypatch: pytest.MonkeyPatch) -> AuditLog:
    """Old rows, and a young one."""
    monkeypatch.setenv("CONTAINER_DATABASE_URL", str(database.engine.url))
    found, now = AuditLog(database), database.clock.now()
    with database.write() as connection:
        for number in range(ROWS):
            at = now - timedelta(days=100) + timedelta(seconds=number)
            event = ContainerEvent(at, "cre", 7, None, 5, Action.STARTED, Code.OK, 3)
            found.append(connection, event)
        found.append(connection, ContainerEvent(now, "cre", 7, 2, 5, Action.STOPPED, Code.OK, 4))
    return found


def run(*arguments: str) -> tuple[int, str]:
    ended = CliRunner().invoke(main, ["audit", *arguments])
    return ended.exit_code, ended.output


def test_export_prints_every_row_and_deletes_none(log: AuditLog) -> None:
    code, said = run("export")
    rows = [json.loads(line) for line in said.splitlines()]
    assert (code, len(rows)) == (0, ROWS + 1)
    assert [row["id"] for row in rows] == [event.id for event in log.events()]
    assert (rows[-1]["team_id"], rows[-1]["action"], rows[-1]["times"]) == (2, "stopped", 1)


def test_export_makes_a_file_for_its_owner_alone(log: AuditLog, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    assert run("export", str(file)) == (0, f"{ROWS + 1} rows in {file}\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text().splitlines()) == ROWS + 1
    code, said = run("export", str(file))
    assert code == 3
    assert "is there already" in said


def test_export_into_no_folder(log: AuditLog, tmp_path: Path) -> None:
    code, said = run("export", str(tmp_path / "none" / "audit.jsonl"))
    assert code == 3
    assert "No such file or directory" in said


def test_prune_goes_by_the_settings(
    log: AuditLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTAINER_AUDIT_DAYS", "120")
    assert run("prune") == (0, "0 rows deleted\n")
    monkeypatch.setenv("CONTAINER_AUDIT_DAYS", "90")
    monkeypatch.setenv("CONTAINER_AUDIT_EXPORT_FOLDER", str(tmp_path / "audit"))
    assert run("prune") == (0, f"{ROWS} rows deleted\n")
    assert [event.action for event in log.events()] == [Action.STOPPED]
    (file,) = (tmp_path / "audit").glob("*.jsonl")
    assert len(file.read_text().splitlines()) == ROWS


def test_prune_keeps_what_it_cannot_export(
    log: AuditLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "audit").write_text("a file")
    monkeypatch.setenv("CONTAINER_AUDIT_EXPORT_FOLDER", str(tmp_path / "audit"))
    code, said = run("prune")
    assert code == 3
    assert "File exists" in said
    assert len(log.events()) == ROWS + 1


@pytest.mark.parametrize("command", ["export", "prune"])
def test_a_database_that_is_none(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINER_DATABASE_URL", "postgresql+psycopg2://u:s3cret@127.0.0.1:1/x")
    code, said = run(command)
    assert code == 3
    assert "s3cret" not in said
