"""How long the audit log is kept, and what is written down of it before it goes."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from subprocess import PIPE

import pytest
import sqlalchemy as sa
from support.cre_stage import Stage

from engines.audit import Action, ContainerEvent
from engines.catalog import ChallengeSpec
from engines.clock import VirtualClock
from engines.contract import Code
from engines.errors import BackendUnavailable
from engines.hybrid import DialStore
from engines.hybrid.shadow import WHO
from engines.settings import Settings
from engines.state.audit_export import LARGEST_FILE, ExportBusy, ExportFolder
from engines.state.audit_log import AuditLog
from engines.state.audit_retention import BATCH, BATCHES, Retention
from engines.state.database import Database
from engines.state.figures import read_figures
from engines.upkeep import Upkeep

DAY = timedelta(days=1)
KEEP = timedelta(days=90)
START = VirtualClock().now()

DIES_AT = """
import os, signal, sys
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from engines.clock import VirtualClock
from engines.state import audit_export, audit_retention
from engines.state.database import Database

url, folder = sys.argv[1], Path(sys.argv[2])
dies_at = seen = 0

def boundary(*_):
    global seen
    seen += 1
    if seen == dies_at:
        os.kill(os.getpid(), signal.SIGKILL)

class Torn:
    '''Writes a file in two halves, and may die in between.'''
    def __init__(self, file):
        self.file = file
    def __enter__(self):
        return self
    def __exit__(self, *_):
        self.file.close()
    def __getattr__(self, name):
        return getattr(self.file, name)
    def write(self, data):
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        boundary()
        self.file.write(data[len(data) // 2 :])

def around(module, name):
    real = getattr(module, name)
    def call(*args, **kwargs):
        boundary()
        done = real(*args, **kwargs)
        boundary()
        return done
    setattr(module, name, call)

real_fdopen = os.fdopen
os.fdopen = lambda *args, **kwargs: Torn(real_fdopen(*args, **kwargs))
around(os, "fsync")
around(Path, "replace")
around(Path, "unlink")
audit_retention.BATCH = 3

def work():
    global seen
    database = Database(url)
    database._schema_is_ours = True  # as it was seen before the fork
    sa.event.listen(database.engine, "before_cursor_execute", boundary)
    sa.event.listen(database.engine, "commit", boundary)
    clock = VirtualClock()
    clock.advance(timedelta(days=400).total_seconds())
    retention = audit_retention.Retention(database, clock, timedelta(days=1), 0, folder)
    seen = 0
    retention.step(batches=2)

looked = Database(url)
looked.ensure_schema()
looked.close()
for line in sys.stdin:
    dies_at, seen = int(line), -1000
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""For each number it reads, a process deletes what is a day old, in two batches of three, and is
killed at that boundary; says how it ended."""


def event(number: int = 0, **changed: object) -> ContainerEvent:
    made = ContainerEvent(
        START + timedelta(seconds=number), "cre", 7, None, 5, Action.STARTED, Code.OK, 3
    )
    return replace(made, **changed)  # type: ignore[arg-type] # each test names fields that exist


def filled(database: Database, *events: ContainerEvent) -> AuditLog:
    log = AuditLog(database)
    with database.write() as connection:
        for each in events:
            log.append(connection, each)
    return log


def retention(
    database: Database,
    *,
    after: timedelta = timedelta(),
    keep: timedelta | None = KEEP,
    most: int = 0,
    export: Path | None = None,
) -> Retention:
    clock = VirtualClock()
    clock.advance(after.total_seconds())
    return Retention(database, clock, keep, most, export)


def exported(folder: Path) -> list[dict[str, object]]:
    """Every row in the files; a file that ends in half a line fails."""
    rows = []
    for file in sorted(folder.glob("*.jsonl")):
        text = file.read_text(encoding="utf-8")
        assert text.endswith("\n"), f"{file.name} ends in half a line"
        rows += [json.loads(line) for line in text.splitlines()]
    return rows


def test_what_is_too_old_goes_and_the_rest_stays(any_database: Database) -> None:
    old = [event(number) for number in range(5)]
    young = [event(at=START + 2 * DAY), event(at=START + 3 * DAY)]
    log = filled(any_database, *old, *young)
    assert retention(any_database, after=KEEP + DAY).step() == 5
    assert [each.at for each in log.events()] == [each.at for each in young]


def test_a_step_is_small_and_the_next_goes_on(any_database: Database) -> None:
    log = filled(any_database, *(event(number) for number in range(2 * BATCH + 2)))
    worker = retention(any_database, after=2 * KEEP)
    assert [worker.step(batches=1) for _ in range(4)] == [BATCH, BATCH, 1, 0]
    assert len(log.events()) == 1


def test_the_newest_row_stays_so_that_no_id_is_used_twice(any_database: Database) -> None:
    log = filled(any_database, event(1), event(2))
    retention(any_database, after=2 * KEEP).step()
    last = log.events()[-1]
    log.record(event(3))
    assert last.id is not None
    assert [each.id for each in log.events()] == [last.id, last.id + 1]


def test_of_too_many_refusals_go_first_and_then_the_oldest(any_database: Database) -> None:
    refused = {"action": Action.STOP_FAILED, "code": Code.NOT_FOUND}
    repeated = {"action": Action.START_REPEATED, "code": Code.ALREADY_RUNNING}
    rows = [
        *(event(0), event(1, **refused), event(2), event(3, **repeated)),
        *(event(4), event(5, **refused), event(6)),
    ]
    log = filled(any_database, *rows)
    assert retention(any_database, most=5).step() == 2
    assert [each.at for each in log.events()] == [rows[n].at for n in (0, 2, 4, 5, 6)]
    assert retention(any_database, most=2).step() == 3
    assert [each.at for each in log.events()] == [rows[n].at for n in (4, 6)]


def test_a_flood_of_refusals_pushes_no_change_out(database: Database) -> None:
    changes = [event(number) for number in range(20)]
    flood = [
        event(100 + number, action=Action.START_FAILED, code=Code.BUSY) for number in range(300)
    ]
    log = filled(database, *changes, *flood)
    retention(database, most=50).step()
    left = Counter(each.action for each in log.events())
    assert left == {Action.STARTED: 20, Action.START_FAILED: 30}


def test_what_keeps_a_strangers_container_apart_stays_for_longer(database: Database) -> None:
    orphan = event(action=Action.ORPHANED, metadata={"container_id": "c1"})
    log = filled(database, orphan, *(event(number) for number in range(1, 4)))
    retention(database, after=30 * DAY, keep=DAY, most=1).step()
    assert log.tells(Action.ORPHANED, 7, "c1")
    retention(database, after=91 * DAY, keep=DAY, most=1).step()
    assert not log.tells(Action.ORPHANED, 7, "c1")


def test_without_limits_nothing_goes(database: Database) -> None:
    log = filled(database, *(event(number) for number in range(3)))
    assert retention(database, after=40 * KEEP, keep=None, most=0).step() == 0
    assert len(log.events()) == 3


def test_figures_go_on_counting_what_is_gone(any_database: Database) -> None:
    log = filled(
        any_database,
        *(event(number, duration_ms=number) for number in (1, 30, 700)),
        event(4, action=Action.STOP_FAILED, code=Code.NOT_FOUND, times=6, last_at=START),
        event(5, duration_ms=90_000),
    )
    before = read_figures(any_database, START).calls
    for most in (4, 2, 1):
        retention(any_database, most=most).step()
        assert read_figures(any_database, START).calls == before
    assert len(log.events()) == 1


def test_two_at_once_count_nothing_twice(any_database: Database) -> None:
    filled(any_database, *(event(number) for number in range(400)))
    before = read_figures(any_database, START).calls
    workers = [retention(any_database, after=2 * KEEP) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        deleted = list(threads.map(Retention.step, workers))
    assert sum(deleted) == 399
    assert read_figures(any_database, START).calls == before


# The export.


def test_what_goes_is_written_down_before(any_database: Database, tmp_path: Path) -> None:
    rows = [
        event(0, metadata={"container_id": "c1"}),
        event(1, action=Action.STOP_FAILED, code=Code.NOT_FOUND, times=3, last_at=START + DAY),
        event(2),
    ]
    log = filled(any_database, *rows)
    (first, second, _) = log.events()
    folder = tmp_path / "kept" / "audit"
    retention(any_database, after=2 * KEEP, export=folder).step()
    assert exported(folder) == [
        {
            "id": first.id,
            "at": START.isoformat(),
            "last_at": None,
            "times": 1,
            "backend": "cre",
            "user_id": 7,
            "team_id": None,
            "challenge_id": 5,
            "action": "started",
            "code": "ok",
            "duration_ms": 3,
            "metadata": {"container_id": "c1"},
        },
        {
            "id": second.id,
            "at": (START + timedelta(seconds=1)).isoformat(),
            "last_at": (START + DAY).isoformat(),
            "times": 3,
            "backend": "cre",
            "user_id": 7,
            "team_id": None,
            "challenge_id": 5,
            "action": "stop_failed",
            "code": "not_found",
            "duration_ms": 3,
            "metadata": {},
        },
    ]


def test_only_its_owner_may_read_it(database: Database, tmp_path: Path) -> None:
    filled(database, event(0), event(1))
    folder = tmp_path / "audit"
    retention(database, after=2 * KEEP, export=folder).step()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    assert modes == {0o600}


def test_small_batches_share_a_file_until_it_is_full(database: Database, tmp_path: Path) -> None:
    log = filled(database, event(0))
    said = {"reason": "x" * (LARGEST_FILE // 2)}
    for number in range(1, 7):
        log.record(event(number, metadata=said if number > 2 else {}))
        retention(database, after=2 * KEEP, export=tmp_path).step()
    assert len(list(tmp_path.glob("*.jsonl"))) == 2
    assert [row["at"] for row in exported(tmp_path)] == [event(n).at.isoformat() for n in range(6)]


def test_what_cannot_be_written_down_is_kept(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = filled(database, event(0), event(1))
    in_the_way = tmp_path / "audit"
    in_the_way.write_text("a file")
    clock = VirtualClock()
    clock.advance((2 * KEEP).total_seconds())
    upkeep = Upkeep(database, clock, Settings(audit_export_folder=in_the_way))
    assert upkeep.forget_old() == upkeep.forget_old() == 0
    assert len(log.events()) == 2
    assert caplog.text.count("cannot be exported, and is kept") == 1


def test_one_process_has_the_folder_at_a_time(database: Database, tmp_path: Path) -> None:
    log = filled(database, event(0), event(1))
    worker = retention(database, after=2 * KEEP, export=tmp_path)
    with ExportFolder(tmp_path).held(), pytest.raises(ExportBusy):
        worker.step()
    assert len(log.events()) == 2
    assert worker.step() == 1


def test_a_kill_at_any_moment_loses_no_row_and_writes_none_twice(tmp_path: Path) -> None:
    """A database and a folder live through a death at each boundary, one after the other."""
    url, folder = f"sqlite:///{tmp_path / 'state.db'}", tmp_path / "audit"
    database = Database(url)
    log = filled(database, event(0))
    ids: list[int | None] = []
    deaths = 0
    command = [sys.executable, "-c", DIES_AT, url, str(folder)]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, bufsize=1) as killer:
        assert killer.stdin is not None
        assert killer.stdout is not None
        while True:
            for number in range(2):
                log.record(event(number))
            ids = sorted({*ids, *(each.id for each in log.events())}, key=lambda each: each or 0)
            killer.stdin.write(f"{deaths + 1}\n")
            code = int(killer.stdout.readline())
            if folder.is_dir():
                exported(folder)  # no half lines, before anybody has put anything right
            if code == 0:
                break
            assert code == -signal.SIGKILL
            deaths += 1
        killer.stdin.close()
    assert deaths > 15
    left = [each.id for each in log.events()]
    found = [row["id"] for row in exported(folder)]
    assert sorted([*found, *left]) == ids, "a row was lost, or is there twice"
    assert not list(folder.glob(".*.part"))
    database.close()


# The worker.


def test_the_worker_does_it_also_while_the_engine_cannot_be_asked(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(database, ChallengeSpec(5, "First", "first"))
    log = filled(database, *(event(number) for number in range(BATCH * BATCHES + 10)))
    stage.clock.advance((2 * KEEP).total_seconds())
    with stage.runtime.outage(), pytest.raises(BackendUnavailable):
        stage.engine.cleanup_worker.run_once()
    assert len(log.events()) == 10
    stage.engine.cleanup_worker.run_once()
    assert len(log.events()) == 1


def test_old_differences_of_shadow_mode_go_and_changes_of_the_dial_stay(database: Database) -> None:
    clock = VirtualClock()
    store = DialStore(database, clock)
    store.note(WHO, "difference", "old")
    store.note("admin", "set", "an organiser")
    clock.advance((KEEP + DAY).total_seconds())
    store.note(WHO, "difference", "young")
    Upkeep(database, clock, Settings()).forget_old()
    assert [change.why for change in store.changes()] == ["young", "an organiser"]


def test_starts_that_no_window_reaches_are_forgotten(database: Database) -> None:
    stage = Stage(database, ChallengeSpec(5, "First", "first"))
    stage.engine.start_instance(7, 5)
    stage.clock.advance(3600)
    stage.engine.forget_old()
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT COUNT(*) FROM cre_starts")).scalar() == 0
