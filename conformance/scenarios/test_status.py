"""STATUS: what is told of a live instance, and that unknown is never told as none."""

from __future__ import annotations

from datetime import timedelta

from conformance.harness import Hook
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import DETECTS_LOSS, scenario
from conformance.spec.shape import check_status
from conformance.spec.steps import (
    IDENTITY,
    SLACK_SECONDS,
    START_SLACK_SECONDS,
    agree,
    beginning,
    demand,
    done,
    expiry,
    gone,
    let_expire,
    live,
    same,
    started,
    untouched,
)
from engines.errors import BackendUnavailable


@scenario("STATUS-001")
def test_a_status_is_whole(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    check_status(live(world, world.alice, world.first))


@scenario("STATUS-002")
def test_nothing_started_is_none(world: ScenarioContext) -> None:
    for challenge in (world.first, world.second, world.challenges.unknown):
        gone(world, world.alice, challenge)


@scenario("STATUS-003")
def test_another_challenge_is_none(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    gone(world, world.alice, world.second)
    live(world, world.alice, world.first)


@scenario("STATUS-004", Hook.CLOCK)
def test_the_remaining_time_falls(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    step = instance["remaining_seconds"] // 3
    before = live(world, world.alice, world.first)["remaining_seconds"]
    world.advance(step)
    fell = before - live(world, world.alice, world.first)["remaining_seconds"]
    assert step - 1 <= fell <= step + SLACK_SECONDS, f"{step} s went by, {fell} s were counted"


@scenario("STATUS-005", Hook.CLOCK)
def test_the_remaining_time_agrees_with_the_expiry(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    life = int((expiry(instance) - beginning(instance)).total_seconds())
    whole = world.capabilities.timeout_seconds
    assert abs(life - whole) <= START_SLACK_SECONDS, f"start and expiry lie {life} s apart"
    world.advance(life // 4)
    status = live(world, world.alice, world.first)
    # The backend's now is not the suite's: it is told by the start and the clock that was moved.
    now = beginning(instance) + timedelta(seconds=life // 4)
    left = (expiry(status) - now).total_seconds()
    off = abs(left - status["remaining_seconds"])
    assert off <= START_SLACK_SECONDS, f"{left:.0f} s lie ahead, the status tells {off:.0f} s off"


@scenario("STATUS-006")
def test_the_remaining_time_does_not_grow(world: ScenarioContext) -> None:
    last = started(world, world.alice, world.first)["remaining_seconds"]
    assert last <= world.capabilities.timeout_seconds
    for _ in range(5):
        now = live(world, world.alice, world.first)["remaining_seconds"]
        assert 0 <= now <= last, f"{now} s remain after {last} s remained"
        last = now


@scenario("STATUS-007")
def test_looking_changes_nothing(world: ScenarioContext) -> None:
    first = started(world, world.alice, world.first)
    for _ in range(3):
        same(first, live(world, world.alice, world.first))


@scenario("STATUS-008")
def test_times_are_in_utc(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    status = live(world, world.alice, world.first)
    assert beginning(status) < expiry(status), "the expiry lies before the start"
    for key in (status["started_at"], status["expires_at"]):
        assert key.endswith(("Z", "+00:00")), f"{key} does not say UTC"


@scenario("STATUS-009")
def test_the_number_of_extensions_is_told(world: ScenarioContext) -> None:
    declared = world.capabilities.max_extensions
    for player, challenge in ((world.alice, world.first), (world.bob, world.second)):
        started(world, player, challenge)
        told = live(world, player, challenge)["max_extensions"]
        assert told == declared, f"told {told}, declared {declared}"


@scenario("STATUS-010")
def test_a_status_says_of_what_and_by_whom(world: ScenarioContext) -> None:
    started(world, world.alice, world.second)
    status = live(world, world.alice, world.second)
    assert status["challenge_id"] == world.second
    assert status["backend"] in world.backend.names


@scenario("STATUS-011", Hook.REMOVE_BEHIND, DETECTS_LOSS, proves=DETECTS_LOSS)
def test_a_removed_container_is_not_live(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    world.remove_behind(instance["container_id"])
    gone(world, world.alice, world.first)


@scenario("STATUS-012", Hook.REMOVE_BEHIND, DETECTS_LOSS, proves=DETECTS_LOSS)
def test_a_removed_container_can_be_started_anew(world: ScenarioContext) -> None:
    lost = started(world, world.alice, world.first)
    world.remove_behind(lost["container_id"])
    _starts_anew(world, lost["container_id"])


@scenario("STATUS-013", Hook.KILL_BEHIND, DETECTS_LOSS, proves=DETECTS_LOSS)
def test_a_dead_container_is_not_live(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    world.kill_behind(instance["container_id"])
    gone(world, world.alice, world.first)


@scenario("STATUS-014", Hook.KILL_BEHIND, DETECTS_LOSS, proves=DETECTS_LOSS)
def test_a_dead_container_can_be_started_anew(world: ScenarioContext) -> None:
    lost = started(world, world.alice, world.first)
    world.kill_behind(lost["container_id"])
    _starts_anew(world, lost["container_id"])


@scenario("STATUS-015", Hook.OUTAGE)
def test_unknown_is_not_none(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    with world.outage(), world.backend.expects(BackendUnavailable, "STATUS-015"):
        world.status(world.alice, world.first)


@scenario("STATUS-016", Hook.OUTAGE)
def test_an_outage_is_forgotten_when_it_is_over(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.outage(), world.backend.expects(BackendUnavailable, "STATUS-015"):
        world.status(world.alice, world.first)
    untouched(world, world.alice, world.first, instance)


@scenario("STATUS-018", Hook.SHORTEN_BEHIND, Hook.CLOCK)
def test_a_time_that_was_cut_past_the_backend_is_told(world: ScenarioContext) -> None:
    before = started(world, world.alice, world.first)
    cut = before["remaining_seconds"] // 2
    world.shorten_behind(cut)
    after = live(world, world.alice, world.first)
    same(before, after, IDENTITY)
    lost = (expiry(before) - expiry(after)).total_seconds()
    assert lost >= cut - SLACK_SECONDS, f"{cut} s were cut off, {lost:.0f} s are told"
    let_expire(world, after)
    gone(world, world.alice, world.first)


@scenario("STATUS-017", Hook.REPLACE_BEHIND, Hook.WORKER, Hook.GROUND_TRUTH)
def test_what_took_the_place_of_an_instance_is_not_it(world: ScenarioContext) -> None:
    old = started(world, world.alice, world.first)
    if world.capabilities.max_extensions:
        done(world.extend(world.alice, world.first))
    other = world.replace_behind(world.alice, old)
    status = world.status(world.alice, world.first)
    if status is not None:
        demand(status["container_id"] == other, "status tells of the container that is gone")
        demand(status["extension_count"] == 0, "status tells of the old container's extensions")
    world.run_worker()
    result = world.start(world.alice, world.first)
    demand(result.ok, f"a start after that is refused: {result.message} ({result.code.value})")
    after = live(world, world.alice, world.first)
    demand(after["container_id"] != old["container_id"], "a start returned what is gone")
    demand(after["extension_count"] == 0, "a start returned the old container's extensions")
    agree(world, world.alice)


def _starts_anew(world: ScenarioContext, lost: str) -> None:
    new = started(world, world.alice, world.first)
    assert new["container_id"] != lost, "the start returned the lost container"
    untouched(world, world.alice, world.first, new)
