"""The warm pool, on simulated containers: who gets what, what counts, and what a crash leaves."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

import pytest
from support.cre_stage import Stage

from engines.catalog import ChallengeSpec
from engines.contract import Code
from engines.cre.pool_store import WarmState
from engines.cre.runtimes.base import Launch, Launched
from engines.cre.runtimes.memory import MemoryRuntime
from engines.errors import BackendUnavailable
from engines.settings import Settings
from engines.state.database import Database

WARM = ChallengeSpec(1, "A", "a", warm=2)
COLD = ChallengeSpec(2, "B", "b")
SETTINGS = Settings(cre_start_limit=0)


class Counting(MemoryRuntime):
    """Counts launches, and tells an image apart by :attr:`build`."""

    build = "1"
    launches = 0
    lost = False

    def launch(self, launch: Launch) -> Launched:
        self.launches += 1
        launched = super().launch(launch)
        if self.lost:
            raise BackendUnavailable("the answer was lost")
        return launched

    def image_id(self, image: str) -> str | None:
        found = super().image_id(image)
        return None if found is None else f"{found}-{self.build}"


@pytest.fixture
def stage(any_database: Database) -> Stage:
    stage = Stage(any_database, WARM, COLD, runtime=Counting(), settings=SETTINGS)
    assert stage.engine.fill_pool() == 2
    return stage


def counting(stage: Stage) -> Counting:
    assert isinstance(stage.runtime, Counting)
    return stage.runtime


def level(stage: Stage) -> int:
    return sum(row.state is WarmState.READY for row in stage.engine._pool.rows.all())


def test_a_start_takes_a_ready_container_and_makes_none(stage: Stage) -> None:
    result = stage.engine.start_instance(1, 1)
    assert (result.ok, result.code) == (True, Code.OK)
    assert counting(stage).launches == 2
    assert level(stage) == 1
    assert stage.engine.get_instance_status(1, 1) == result.instance
    assert stage.engine.audit.events()[-1].metadata["warm"] is True


def test_its_flag_is_the_recorded_one_and_nobody_elses(stage: Stage) -> None:
    flags = set()
    for user in (1, 2, 3):
        instance = stage.engine.start_instance(user, 1).instance
        flag = stage.engine.recorded_flag(user, 1)
        assert stage.runtime.fetch(instance["ports"][0], "/cgi-bin/flag") == flag
        flags.add(flag)
    assert len(flags) == 3


def test_an_empty_pool_makes_one_and_the_worker_fills_it_again(stage: Stage) -> None:
    for user in (1, 2, 3):
        assert stage.engine.start_instance(user, 1).ok
    assert counting(stage).launches == 3
    stage.engine.cleanup_worker.run_once()
    assert level(stage) == 2


def test_a_stop_removes_it_and_does_not_put_it_back(stage: Stage) -> None:
    container = stage.engine.start_instance(1, 1).instance["container_id"]
    assert stage.engine.stop_instance(1, 1).ok
    assert container not in stage.runtime.running()
    assert level(stage) == 1


@pytest.mark.parametrize(
    "changed", [replace(WARM, image="a:2"), replace(WARM, environment={"A": "1"})]
)
def test_it_is_drained_when_the_challenge_changes(stage: Stage, changed: ChallengeSpec) -> None:
    old = stage.runtime.running()
    stage.change(changed)
    assert stage.engine.start_instance(1, 1).instance["container_id"] not in old
    assert stage.engine.fill_pool() == 2
    assert not old & stage.runtime.running()


def test_it_is_drained_when_the_image_changes_under_its_name(stage: Stage) -> None:
    old = stage.runtime.running()
    counting(stage).build = "2"
    assert stage.engine.fill_pool() == 2
    assert not old & stage.runtime.running()


@pytest.mark.parametrize("changed", [replace(WARM, warm=0), replace(WARM, warm=1)])
def test_what_is_too_many_goes(stage: Stage, changed: ChallengeSpec) -> None:
    stage.change(changed)
    assert stage.engine.fill_pool() == 0
    assert level(stage) == changed.warm == len(stage.runtime.running())


def test_waiting_containers_count_and_give_way(any_database: Database) -> None:
    settings = replace(SETTINGS, cre_capacity=3)
    stage = Stage(any_database, WARM, COLD, settings=settings)
    stage.engine.fill_pool()
    assert stage.engine.start_instance(1, 2).ok  # the third place
    assert stage.engine.start_instance(2, 2).ok  # a waiting one gave way
    assert level(stage) == 1
    assert stage.engine.start_instance(3, 1).ok  # takes the waiting one: no further place
    assert stage.engine.start_instance(4, 2).code is Code.CAPACITY
    assert stage.engine.fill_pool() == 0  # no room
    assert len(stage.runtime.running()) == 3


def test_one_that_died_while_waiting_is_not_handed_out(stage: Stage) -> None:
    for container in stage.runtime.running():
        stage.runtime.kill(container)
    result = stage.engine.start_instance(1, 1)
    assert result.ok
    assert stage.runtime.running() == {result.instance["container_id"]}
    assert len(stage.engine._pool.rows.all()) == 1  # the one it had claimed is gone
    assert stage.engine.reconcile() == 1  # the other dead one
    assert stage.engine.fill_pool() == 2


def test_reconcile_leaves_the_pool_and_what_came_from_it_alone(stage: Stage) -> None:
    assert stage.engine.start_instance(1, 1).ok
    running = stage.runtime.running()
    assert stage.another_process().reconcile() == 0
    assert stage.runtime.running() == running


def test_a_claim_whose_process_died_goes_with_its_container(stage: Stage) -> None:
    stage.engine._starter.create = interrupted  # type: ignore[method-assign, assignment] # dies
    with pytest.raises(KeyboardInterrupt):
        stage.engine.start_instance(1, 1)
    other = stage.another_process()
    assert other.start_instance(1, 1).code is Code.BUSY
    assert other.reconcile() == 0
    stage.past_all_leases()
    assert other.reconcile() == 2  # the row, and the container it had claimed
    assert stage.store.all() == []
    assert level(stage) == 1 == len(stage.runtime.running())
    assert other.reconcile() == 0


def test_a_claimed_container_and_its_start_take_one_place(any_database: Database) -> None:
    settings = replace(SETTINGS, cre_capacity=2)
    stage = Stage(any_database, replace(WARM, warm=1), COLD, settings=settings)
    stage.engine.fill_pool()
    stage.engine._starter.create = interrupted  # type: ignore[method-assign, assignment] # dies
    with pytest.raises(KeyboardInterrupt):
        stage.engine.start_instance(1, 1)
    other = stage.another_process()
    assert other.start_instance(2, 2).ok
    assert other.start_instance(3, 2).code is Code.CAPACITY


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_one_that_outlives_its_lease_leaves_nothing_behind(any_database: Database) -> None:
    """Somebody has cleared its row away before its container is made."""
    stage = Stage(any_database, replace(WARM, warm=1), runtime=Counting(), settings=SETTINGS)
    launch = stage.runtime.launch

    def late(wanted: Launch) -> Launched:
        stage.past_all_leases()
        assert stage.another_process().reconcile() == 1
        return launch(wanted)

    stage.runtime.launch = late  # type: ignore[method-assign] # held up before it begins
    assert stage.engine.fill_pool() == 0
    assert (stage.runtime.running(), stage.engine._pool.rows.all()) == (set(), [])


def test_one_half_made_is_cleared_away(stage: Stage) -> None:
    assert stage.engine.start_instance(1, 1).ok
    counting(stage).lost = True
    with pytest.raises(BackendUnavailable):
        stage.engine.fill_pool()
    counting(stage).lost = False
    stage.past_all_leases()
    stage.engine.expire_due()
    assert stage.engine.reconcile() == 1
    assert level(stage) == 1 == len(stage.runtime.running())


def test_a_start_while_the_runtime_is_down_gives_its_container_back(stage: Stage) -> None:
    with stage.runtime.outage():
        assert stage.engine.start_instance(1, 1).code is Code.UNAVAILABLE
    assert level(stage) == 2
    assert stage.store.all() == []


def test_a_missing_image_fills_nothing_and_harms_nobody(any_database: Database) -> None:
    runtime = MemoryRuntime(images={"b"})
    stage = Stage(any_database, WARM, replace(COLD, warm=1), runtime=runtime, settings=SETTINGS)
    assert stage.engine.fill_pool() == 1


def test_images_of_challenges_that_keep_none_ready_are_not_looked_for(
    any_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(any_database, WARM, COLD, runtime=MemoryRuntime(images={"a"}), settings=SETTINGS)
    assert stage.engine.fill_pool() == 2
    assert caplog.messages == []


def test_the_flags_of_waiting_containers_are_told_to_nobody(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    rows = stage.engine._pool.rows.all()
    result = stage.engine.start_instance(1, 1)
    told = f"{rows!r} {result!r} {caplog.text} {stage.engine.audit.events()!r}"
    assert all(row.flag.startswith("flag{") and row.flag not in told for row in rows)


def test_one_that_waits_is_reached_where_its_challenge_says(any_database: Database) -> None:
    spec = replace(WARM, host="web.example")
    stage = Stage(any_database, spec, runtime=Counting(), settings=SETTINGS)
    assert stage.engine.fill_pool() == 2
    assert stage.engine.start_instance(1, 1).instance["host"] == "web.example"
    assert counting(stage).launches == 2


def test_one_that_is_being_removed_does_not_count_and_holds_up_no_other(stage: Stage) -> None:
    pool = stage.engine._pool.rows
    first = pool.all()[0]
    assert pool.save(first.retiring(stage.clock.now() + timedelta(minutes=1)))
    assert stage.engine.fill_pool() == 1
    stage.change(replace(WARM, warm=1))
    assert stage.engine.fill_pool() == 0
    assert level(stage) == 1
