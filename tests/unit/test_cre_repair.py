"""What the engine does about work that was left half-way, on simulated containers."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from support.cre_stage import Stage

from engines.audit import Action
from engines.catalog import ChallengeSpec, StaticCatalog
from engines.cleanup_worker import CleanupWorker
from engines.contract import Code
from engines.cre import ContainerRuntimeEngine
from engines.cre.deployment import deployment_name
from engines.cre.names import instance_name
from engines.cre.owner import database_id
from engines.cre.runtimes.base import Cleared, Launch, Launched, ListedResource
from engines.cre.runtimes.memory import MemoryRuntime
from engines.errors import BackendUnavailable, ContainerExited
from engines.state.database import Database
from engines.state.instances import Instance

SPECS = (ChallengeSpec(1, "A", "a"), ChallengeSpec(2, "B", "b"))


class Dying(MemoryRuntime):
    """A runtime that can be made to die at one point of a start."""

    dies_in = ""

    def launch(self, launch: Launch) -> Launched:
        launched = super().launch(launch)
        if self.dies_in == "launch":
            raise BackendUnavailable("the answer to a launch that was made was lost")
        return launched

    def wait_ready(self, launch: Launch, launched: Launched, seconds: float) -> None:
        if self.dies_in == "wait":
            raise BackendUnavailable("gone", untouched=True)
        if self.dies_in == "process":
            raise KeyboardInterrupt
        super().wait_ready(launch, launched, seconds)


@pytest.fixture
def stage(database: Database) -> Stage:
    return Stage(database, *SPECS, runtime=Dying())


@pytest.mark.parametrize("point", ["launch", "wait"])
def test_a_start_the_runtime_broke_off_is_cleared_away_by_the_worker(
    stage: Stage, point: str
) -> None:
    stage.runtime.dies_in = point
    result = stage.engine.start_instance(1, 1)
    assert (result.ok, result.code) == (False, Code.UNAVAILABLE)
    assert stage.engine.get_instance_status(1, 1) is None
    assert len(stage.runtime.running()) == 1  # known as abandoned work, not forgotten
    stage.engine.cleanup_worker.run_once()
    assert stage.runtime.running() == set()
    assert stage.store.all() == []
    assert stage.actions() == [Action.START_FAILED, Action.REPAIRED]


def test_the_next_start_clears_it_away_too(stage: Stage) -> None:
    stage.runtime.dies_in = "launch"
    stage.engine.start_instance(1, 1)
    stage.runtime.dies_in = ""
    result = stage.engine.start_instance(1, 2)
    assert result.ok
    assert stage.runtime.running() == {result.instance["container_id"]}


def test_a_process_that_died_in_a_start_holds_it_until_its_lease_is_over(stage: Stage) -> None:
    stage.runtime.dies_in = "process"
    with pytest.raises(KeyboardInterrupt):
        stage.engine.start_instance(1, 1)
    stage.runtime.dies_in = ""
    other = stage.another_process()
    busy = other.start_instance(1, 1)
    assert (busy.ok, busy.code, busy.retry_after) == (False, Code.BUSY, 1.0)
    assert other.stop_instance(1, 1).code is Code.BUSY
    assert other.reconcile() == 0
    stage.clock.advance(3600)
    assert other.start_instance(1, 1).ok
    assert len(stage.runtime.running()) == 1


def test_an_extension_of_what_a_start_left_half_made_finds_nothing(stage: Stage) -> None:
    stage.runtime.dies_in = "launch"
    stage.engine.start_instance(1, 1)
    result = stage.engine.extend_instance(1, 1)
    assert (result.ok, result.code) == (False, Code.NOT_FOUND)
    assert (stage.runtime.running(), stage.store.all()) == (set(), [])


def test_a_start_that_outlives_its_lease_leaves_nothing_behind(stage: Stage) -> None:
    """Somebody has cleared its row away before it makes its container."""
    launch = stage.runtime.launch

    def late(wanted: Launch) -> Launched:
        stage.past_all_leases()
        assert stage.another_process().reconcile() == 1
        return launch(wanted)

    stage.runtime.launch = late  # type: ignore[method-assign] # held up before it begins
    assert stage.engine.start_instance(1, 1).code is Code.BUSY
    assert (stage.runtime.running(), stage.store.all()) == (set(), [])


def test_a_removal_that_is_at_work_is_nobody_elses_to_repair(stage: Stage) -> None:
    stage.engine.start_instance(1, 1)
    other, remove = stage.another_process(), stage.runtime.remove
    told: list[Code] = []

    def meanwhile(container_id: str) -> Cleared:
        stage.runtime.remove = remove  # type: ignore[method-assign]
        told.append(other.stop_instance(1, 1).code)
        return remove(container_id)

    stage.runtime.remove = meanwhile  # type: ignore[method-assign] # another process comes
    assert stage.engine.stop_instance(1, 1).ok
    assert told == [Code.BUSY]


def test_a_removal_whose_container_is_gone_already_is_left_to_who_is_at_it(stage: Stage) -> None:
    stage.runtime.discard(stage.engine.start_instance(1, 1).instance["container_id"])
    [row] = stage.store.all()
    stopping = row.stopping(stage.clock.now() + timedelta(minutes=1))
    assert stage.store.save(stopping)
    assert stage.another_process().reconcile() == 0
    assert stage.store.all() == [stopping]


def test_a_stray_that_somebody_else_removes_first_is_not_counted(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stray = Launch("wr-stray", stage.engine.deployment, SPECS[0], "flag{x}", "127.0.0.1")
    container = stage.runtime.launch(stray).container_id
    find = stage.runtime.find

    def first(deployment: str) -> list[ListedResource]:
        found = find(deployment)
        stage.runtime.remove(container)
        return found

    stage.runtime.find = first  # type: ignore[method-assign] # another process comes
    assert stage.engine.reconcile() == 0
    assert caplog.messages == []


def test_a_simulated_container_that_ended_never_answers(stage: Stage) -> None:
    launch = Launch("wr-one", stage.engine.deployment, SPECS[0], "flag{x}", "127.0.0.1")
    launched = stage.runtime.launch(launch)
    stage.runtime.kill(launched.container_id)
    with pytest.raises(ContainerExited):
        stage.runtime.wait_ready(launch, launched, 1.0)


def test_a_simulated_clean_up_leaves_what_a_later_start_made(stage: Stage) -> None:
    launch = Launch("wr-one", stage.engine.deployment, SPECS[0], "flag{x}", "127.0.0.1", fence=2)
    made = stage.runtime.launch(launch).container_id
    assert not stage.runtime.clear(stage.engine.deployment, "wr-one", 1)
    assert stage.runtime.running() == {made}


def test_a_container_that_no_row_knows_is_removed_and_others_are_not(stage: Stage) -> None:
    mine = stage.engine.start_instance(1, 1).instance["container_id"]
    spec = SPECS[0]
    stray = Launch("wr-stray", stage.engine.deployment, spec, "flag{x}", "127.0.0.1")
    foreign = Launch("wr-foreign", "another-deployment", spec, "flag{y}", "127.0.0.1")
    stage.runtime.launch(stray)
    theirs = stage.runtime.launch(foreign).container_id
    assert stage.engine.reconcile() == 1
    assert stage.runtime.running() == {mine, theirs}


def test_a_start_that_comes_while_strays_are_removed_keeps_its_container(stage: Stage) -> None:
    spec = SPECS[0]
    name = instance_name(stage.engine.deployment, database_id(stage.database), "user:1", spec.id)
    stage.runtime.launch(Launch(name, stage.engine.deployment, spec, "flag{x}", "127.0.0.1"))
    started: list[str] = []

    def meanwhile() -> list[Instance]:
        rows = stage.store.all()
        started.append(stage.engine.start_instance(1, 1).instance["container_id"])
        return rows

    stage.engine._store.all = meanwhile  # type: ignore[method-assign] # between look and removal
    stage.engine.reconcile()
    assert stage.runtime.running() == set(started)


def test_a_lost_container_is_cleared_away_once(stage: Stage) -> None:
    stage.runtime.discard(stage.engine.start_instance(1, 1).instance["container_id"])
    assert [stage.engine.reconcile(), stage.engine.reconcile()] == [1, 0]
    assert stage.actions() == [Action.STARTED, Action.LOST]
    assert "left" not in stage.engine.audit.events()[-1].metadata, "nothing was left behind"


def test_nothing_is_repaired_while_the_runtime_cannot_be_asked(stage: Stage) -> None:
    stage.engine.start_instance(1, 1)
    with stage.runtime.outage(), pytest.raises(BackendUnavailable):
        stage.engine.reconcile()
    assert stage.engine.get_instance_status(1, 1) is not None


def test_an_expired_container_that_stays_keeps_its_row_and_goes_later(stage: Stage) -> None:
    container = stage.engine.start_instance(1, 1).instance["container_id"]
    stage.clock.advance(3600)
    with stage.runtime.stubborn(container):
        assert stage.engine.expire_due() == 0
        assert stage.engine.start_instance(1, 1).code is Code.UNAVAILABLE
    assert stage.engine.expire_due() == 1
    assert stage.actions() == [Action.STARTED, Action.START_FAILED, Action.EXPIRED]


def test_an_extension_between_the_workers_look_and_its_removal_saves_the_instance(
    stage: Stage,
) -> None:
    stage.engine.start_instance(1, 1)
    stage.clock.advance(3599)
    (seen,) = stage.store.due(stage.clock.now() + timedelta(seconds=1))
    assert stage.engine.extend_instance(1, 1).ok
    stage.clock.advance(1)
    assert not stage.store.save(seen.stopping(stage.clock.now()))
    assert stage.engine.expire_due() == 0
    assert stage.engine.get_instance_status(1, 1) is not None


def test_a_deployment_has_its_name_before_anything_else_is_made(any_database: Database) -> None:
    name = deployment_name(any_database)
    assert re.fullmatch("[0-9a-f]{12}", name)
    assert deployment_name(any_database) == name


def test_two_engines_on_one_database_share_the_deployment(stage: Stage) -> None:
    assert stage.another_process().deployment == stage.engine.deployment


def test_a_repair_that_could_not_be_done_may_be_tried_again_at_once(stage: Stage) -> None:
    stage.runtime.dies_in = "launch"
    stage.engine.start_instance(1, 1)
    stage.runtime.dies_in = ""
    (container,) = stage.runtime.running()
    with stage.runtime.stubborn(container):
        assert stage.engine.reconcile() == 0
    assert stage.engine.reconcile() == 1
    assert (stage.runtime.running(), stage.store.all()) == (set(), [])


def test_of_two_processes_one_does_the_rounds(stage: Stage) -> None:
    rounds = [threading.Semaphore(0), threading.Semaphore(0)]

    def counted(process: ContainerRuntimeEngine, done: threading.Semaphore) -> CleanupWorker:
        def expire_due() -> int:
            done.release()
            return 0

        process.expire_due = expire_due  # type: ignore[method-assign] # only counted
        return process.cleanup_worker

    first = counted(stage.engine, rounds[0])
    second = counted(stage.another_process(), rounds[1])
    with first:
        assert rounds[0].acquire(timeout=60)
        second.start()
        second.stop()
    assert not rounds[1].acquire(blocking=False)


def test_an_engine_that_is_given_nothing_goes_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its runtime is Docker, here one that is not there."""
    monkeypatch.setenv("CONTAINER_DATABASE_URL", f"sqlite:///{tmp_path / 'state.db'}")
    monkeypatch.setenv("CRE_DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("CRE_TIMEOUT_SECONDS", "77")
    engine = ContainerRuntimeEngine(catalog=StaticCatalog(SPECS))
    assert engine.settings.cre_timeout_seconds == 77
    assert engine.start_instance(1, 1).code is Code.UNAVAILABLE
    engine.close()


def test_what_a_stop_left_goes_by_itself_and_takes_nothing_with_it(stage: Stage) -> None:
    """A network that something foreign holds on to bears the name of the next instance too."""
    first = stage.engine.start_instance(1, 1).instance["container_id"]
    with stage.runtime.held_network(first):
        assert stage.engine.stop_instance(1, 1).ok
        again = stage.engine.start_instance(1, 1).instance["container_id"]
        stage.engine.reconcile()
        assert stage.runtime.running() == {again}
    found = stage.runtime.find(stage.engine.deployment)
    assert len(found) == 2, "the container, and the network that was left"
    stage.engine.reconcile()
    assert [resource.id for resource in stage.runtime.find(stage.engine.deployment)] == [again]
