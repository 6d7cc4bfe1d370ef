"""EXTEND: more time for a live instance, and for nothing else."""

from __future__ import annotations

from datetime import timedelta

from conformance.harness import Hook, Options
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import ADDITIVE, EXTENDS, FEW_EXTENSIONS, RESET, scenario
from conformance.spec.steps import (
    IDENTITY,
    MOST_EXTENDS,
    SLACK_SECONDS,
    done,
    expiry,
    fill_with_extensions,
    gone,
    let_expire,
    live,
    refused,
    same,
    started,
    untouched,
)
from engines.contract import Code, ExtendMode

TWO_EXTENSIONS = Options(max_extensions=2)
LAST_SECONDS = 30
"""Less than a minute, and more than two calls take."""


@scenario("EXTEND-001", EXTENDS, proves=EXTENDS)
def test_an_extend_counts_one_more(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    done(world.extend(world.alice, world.first))
    status = live(world, world.alice, world.first)
    assert status["extension_count"] == 1, f"counted {status['extension_count']} instead of 1"


@scenario("EXTEND-002", ADDITIVE, EXTENDS, proves=ADDITIVE)
def test_an_additive_extend_adds_its_step(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    done(world.extend(world.alice, world.first))
    added = expiry(live(world, world.alice, world.first)) - expiry(instance)
    step = timedelta(seconds=world.capabilities.extension_seconds)
    assert added == step, f"the expiry moved by {added} instead of {step}"


@scenario("EXTEND-003", Hook.CLOCK, RESET, EXTENDS, proves=RESET)
def test_a_resetting_extend_gives_the_full_time(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    world.advance(instance["remaining_seconds"] // 2)
    done(world.extend(world.alice, world.first))
    remaining = live(world, world.alice, world.first)["remaining_seconds"]
    full = world.capabilities.extension_seconds
    assert full - SLACK_SECONDS <= remaining <= full, f"{remaining} s remain instead of {full} s"


@scenario("EXTEND-004", EXTENDS)
def test_an_extend_right_after_the_start_does_not_shorten(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    done(world.extend(world.alice, world.first))
    _not_shortened(world, expiry(instance) - expiry(live(world, world.alice, world.first)))


@scenario("EXTEND-005", Hook.CLOCK, EXTENDS)
def test_an_extend_in_mid_life_does_not_shorten(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    world.advance(instance["remaining_seconds"] // 2)
    done(world.extend(world.alice, world.first))
    later = expiry(live(world, world.alice, world.first))
    _not_shortened(world, expiry(instance) - later)
    assert later > expiry(instance), "half of the life was over, and the extend gave nothing"


@scenario("EXTEND-006", FEW_EXTENSIONS, options=TWO_EXTENSIONS)
def test_every_declared_extension_is_granted(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    status = fill_with_extensions(world, world.alice, world.first)
    assert status["extension_count"] == world.capabilities.max_extensions


@scenario("EXTEND-007", FEW_EXTENSIONS, options=TWO_EXTENSIONS)
def test_one_extend_too_many_is_refused(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    fill_with_extensions(world, world.alice, world.first)
    refused(world.extend(world.alice, world.first), Code.EXTENSION_LIMIT)


@scenario("EXTEND-008", FEW_EXTENSIONS, options=TWO_EXTENSIONS)
def test_a_refused_extend_changes_nothing(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    full = fill_with_extensions(world, world.alice, world.first)
    world.extend(world.alice, world.first)
    untouched(world, world.alice, world.first, full)


@scenario("EXTEND-009")
def test_nothing_live_cannot_be_extended(world: ScenarioContext) -> None:
    refused(world.extend(world.alice, world.first), Code.NOT_FOUND)
    gone(world, world.alice, world.first)


@scenario("EXTEND-010")
def test_an_extend_of_another_challenge_is_refused(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    refused(world.extend(world.alice, world.second), Code.NOT_FOUND)
    untouched(world, world.alice, world.first, instance)


@scenario("EXTEND-011", EXTENDS)
def test_an_extend_keeps_container_and_address(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    done(world.extend(world.alice, world.first))
    same(instance, live(world, world.alice, world.first), IDENTITY)


@scenario("EXTEND-012")
def test_a_stopped_instance_cannot_be_extended(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    done(world.stop(world.alice, world.first))
    refused(world.extend(world.alice, world.first), Code.NOT_FOUND)
    gone(world, world.alice, world.first)


@scenario("EXTEND-013", Hook.OUTAGE, EXTENDS)
def test_an_extend_in_an_outage_is_unavailable(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    with world.outage():
        refused(world.extend(world.alice, world.first), Code.UNAVAILABLE)


@scenario("EXTEND-014", Hook.OUTAGE, EXTENDS)
def test_an_extend_in_an_outage_changes_nothing(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.outage():
        world.extend(world.alice, world.first)
    untouched(world, world.alice, world.first, instance)


@scenario("EXTEND-015", EXTENDS)
def test_a_new_instance_has_all_its_extensions(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    for _ in range(min(world.capabilities.max_extensions, MOST_EXTENDS)):
        done(world.extend(world.alice, world.first))
    done(world.stop(world.alice, world.first))
    again = started(world, world.alice, world.first)
    assert again["extension_count"] == 0, "the new instance inherited the old one's extensions"
    done(world.extend(world.alice, world.first))


@scenario("EXTEND-016", Hook.CLOCK, FEW_EXTENSIONS, options=TWO_EXTENSIONS)
def test_the_last_extension_in_the_last_minute_is_granted(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    for _ in range(world.capabilities.max_extensions - 1):
        done(world.extend(world.alice, world.first))
    world.advance(live(world, world.alice, world.first)["remaining_seconds"] - LAST_SECONDS)
    before = live(world, world.alice, world.first)
    done(world.extend(world.alice, world.first))
    after = live(world, world.alice, world.first)
    same(before, after, IDENTITY)
    assert after["extension_count"] == world.capabilities.max_extensions
    full, gained = world.capabilities.extension_seconds, expiry(after) - expiry(before)
    match world.capabilities.extend:
        case ExtendMode.ADDITIVE:
            assert gained == timedelta(seconds=full), f"the expiry moved by {gained}, not {full} s"
        case ExtendMode.RESET:
            left = after["remaining_seconds"]
            assert full - SLACK_SECONDS <= left <= full, f"{left} s remain instead of {full} s"
        case ExtendMode.MIXED:
            assert gained >= timedelta(seconds=full - LAST_SECONDS), f"it gave {gained} only"


@scenario("EXTEND-017", Hook.RENEW_BEHIND, Hook.CLOCK, Hook.WORKER)
def test_an_extension_past_the_backend_is_followed(world: ScenarioContext) -> None:
    before = started(world, world.alice, world.first)
    world.advance(before["remaining_seconds"] // 2)
    world.renew_behind(world.alice, before)
    after = live(world, world.alice, world.first)
    same(before, after, IDENTITY)
    gained = (expiry(after) - expiry(before)).total_seconds()
    assert gained > SLACK_SECONDS, "what was gained past the backend is not told"
    world.advance(after["remaining_seconds"] - LAST_SECONDS)
    world.run_worker()
    same(before, live(world, world.alice, world.first), IDENTITY)
    let_expire(world, after)
    gone(world, world.alice, world.first)


def _not_shortened(world: ScenarioContext, lost: timedelta) -> None:
    assert lost <= timedelta(0), f"the extend took {lost} away ({world.capabilities.extend.value})"
