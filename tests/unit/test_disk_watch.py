"""An instance that fills the disk all share is ended, and everybody is told; moby/moby#28302."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from support.cre_stage import Stage

import engines.cleanup_worker
from engines.audit import Action, done_by
from engines.catalog import ChallengeSpec, StaticCatalog
from engines.cleanup_worker import CleanupWorker
from engines.contract import Code
from engines.cre import ContainerRuntimeEngine
from engines.cre.runtimes.memory import MemoryRuntime
from engines.settings import Settings
from engines.state.database import Database
from engines.web.calls import NOTHING_RUNS, InstanceCalls

SPEC = ChallengeSpec(1, "A", "a", disk_mb=100)
SOON = 20.0


def started(stage: Stage, user: int = 1, challenge: int = 1) -> str:
    return str(stage.engine.start_instance(user, challenge).instance["container_id"])


def test_who_has_written_too_much_is_ended_and_nobody_else(database: Database) -> None:
    free = replace(SPEC, id=2, disk_mb=0)
    stage = Stage(database, SPEC, free)
    full, below, unlimited = started(stage), started(stage, 2), started(stage, 3, 2)
    for container, megabytes in ((full, 100), (below, 99), (unlimited, 10_000)):
        stage.runtime.write(container, megabytes)
    assert stage.engine.watch() == 1
    assert stage.runtime.running() == {below, unlimited}
    assert stage.engine.get_instance_status(1, 1) is None
    assert stage.store.find("user:1", 1) is None
    event = stage.engine.audit.events()[-1]
    assert (event.action, event.code, event.user_id) == (Action.DISK_FULL, Code.OK, 1)
    assert event.metadata["container_id"] == full
    assert (event.metadata["written_mb"], event.metadata["disk_mb"]) == (100, 100)
    assert stage.engine.watch() == 0


def test_the_player_is_told_why_until_the_next_start(database: Database) -> None:
    stage = Stage(database, SPEC)
    calls = InstanceCalls(stage.engine, 1, 1, None)
    assert calls.status().message == NOTHING_RUNS
    stage.runtime.write(started(stage), 100)
    stage.engine.watch()
    said = calls.status()
    assert (said.code, said.data) == (Code.OK, None)
    assert said.message.startswith("Your container was ended: it had written more than the 100 MB")
    assert InstanceCalls(stage.engine, 2, 1, None).status().message == NOTHING_RUNS
    assert started(stage)
    assert stage.engine.stop_instance(1, 1).ok
    assert calls.status().message == NOTHING_RUNS


def test_a_team_is_told_by_its_team(database: Database) -> None:
    stage = Stage(database, SPEC)
    given = stage.engine.start_instance(1, 1, 7).instance
    stage.runtime.write(given["container_id"], 200)
    stage.engine.watch()
    assert stage.engine.why_ended(2, 1, 7) is not None
    assert stage.engine.why_ended(2, 1, 8) is None
    stage.clock.advance(3601)
    assert stage.engine.why_ended(2, 1, 7) is None


def test_who_is_at_work_meanwhile_has_no_part_in_it(database: Database) -> None:
    stage = Stage(database, SPEC)
    stage.runtime.write(started(stage), 100)
    with done_by(9, "admin"):
        stage.engine.watch()
    assert "actor" not in stage.engine.audit.events()[-1].metadata


def test_one_from_the_warm_pool_is_known_too(database: Database) -> None:
    stage = Stage(database, replace(SPEC, warm=1))
    assert stage.engine.fill_pool() == 1
    claimed = started(stage)
    stage.runtime.write(claimed, 100)
    assert stage.engine.watch() == 1
    assert stage.actions()[-1] is Action.DISK_FULL
    stage.engine.fill_pool()
    (waiting,) = stage.runtime.running()
    stage.runtime.write(waiting, 100)
    assert stage.engine.watch() == 1
    assert stage.runtime.running() == set()
    stage.engine.reconcile()
    assert stage.engine.fill_pool() == 1  # its row was cleared away


class Busy(ContainerRuntimeEngine):
    """Its rounds go on until somebody has looked at the disk."""

    looked = threading.Event()

    def fill_pool(self) -> int:
        assert self.looked.wait(SOON)
        return 0

    def watch(self) -> int:
        ended = super().watch()
        if threading.current_thread().name == "cleanup-watch":
            self.looked.set()
        return ended


def test_the_disk_is_looked_at_while_a_round_is_at_work(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round may be making containers for a minute; a disk is full within seconds."""
    monkeypatch.setattr(engines.cleanup_worker, "WATCH_SECONDS", 0.01)
    catalog = StaticCatalog([SPEC])
    engine = Busy(Settings(), runtime=MemoryRuntime(), catalog=catalog, database=database)
    with CleanupWorker(engine, 60):
        assert Busy.looked.wait(SOON)
    engine.close()
