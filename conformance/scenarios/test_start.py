"""START: making an instance, and what must not make a second one."""

from __future__ import annotations

from conformance.harness import Hook, Options
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import (
    EXITS_AT_ONCE,
    HIDDEN,
    MISSING_IMAGE,
    ONE_AT_A_TIME,
    TWO_AT_ONCE,
    scenario,
)
from conformance.spec.shape import check_status
from conformance.spec.steps import (
    FIXED,
    OWN_START_CODES,
    SLACK_SECONDS,
    START_SLACK_SECONDS,
    done,
    gone,
    live,
    names,
    refused,
    repeated,
    same,
    started,
    untouched,
)
from engines.contract import Code


@scenario("START-001")
def test_a_fresh_start_returns_a_whole_instance(world: ScenarioContext) -> None:
    gone(world, world.alice, world.first)
    instance = started(world, world.alice, world.first)
    check_status(instance)
    assert instance["challenge_id"] == world.first


@scenario("START-002")
def test_a_fresh_instance_has_its_whole_life_ahead(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    whole = world.capabilities.timeout_seconds
    remaining = instance["remaining_seconds"]
    assert whole - START_SLACK_SECONDS <= remaining <= whole, (
        f"{remaining} s remain of a life of {whole} s"
    )
    assert instance["extension_count"] == 0, "a fresh instance was extended already"


@scenario("START-003")
def test_a_double_click_returns_the_same_instance(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    same(instance, repeated(world, world.alice, world.first))


@scenario("START-004", Hook.GROUND_TRUTH)
def test_a_double_click_makes_one_container(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    world.start(world.alice, world.first)
    running = world.running()
    assert len(running) == 1, f"{len(running)} containers run for one instance"


@scenario("START-005", Hook.CLOCK)
def test_a_late_second_start_does_not_renew(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    world.advance(instance["remaining_seconds"] // 2)
    again = repeated(world, world.alice, world.first)
    same(instance, again)
    assert again["remaining_seconds"] <= instance["remaining_seconds"] // 2 + SLACK_SECONDS


@scenario("START-006", ONE_AT_A_TIME, proves=ONE_AT_A_TIME)
def test_a_second_challenge_is_beyond_a_limit_of_one(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    refused(world.start(world.alice, world.second), Code.LIMIT_REACHED)


@scenario("START-007", ONE_AT_A_TIME)
def test_the_refusal_says_what_is_running(world: ScenarioContext) -> None:
    # Both ways round, so that a number that stands there by chance does not do.
    for player, running, other in (
        (world.alice, world.first, world.second),
        (world.bob, world.second, world.first),
    ):
        started(world, player, running)
        message = world.start(player, other).message
        assert names(world, message, running), (
            f"challenge {running} is running, but the refusal is: {message}"
        )


@scenario("START-008", ONE_AT_A_TIME)
def test_a_refused_start_leaves_the_running_one_alone(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    world.start(world.alice, world.second)
    untouched(world, world.alice, world.first, instance)
    gone(world, world.alice, world.second)


@scenario("START-009")
def test_an_unknown_challenge_is_not_available(world: ScenarioContext) -> None:
    unknown = world.challenges.unknown
    refused(world.start(world.alice, unknown), Code.CHALLENGE_UNAVAILABLE)
    gone(world, world.alice, unknown)


@scenario("START-010", HIDDEN)
def test_a_hidden_challenge_is_not_available(world: ScenarioContext) -> None:
    assert world.challenges.hidden is not None
    refused(world.start(world.alice, world.challenges.hidden), Code.CHALLENGE_UNAVAILABLE)
    gone(world, world.alice, world.challenges.hidden)


@scenario("START-011", Hook.GROUND_TRUTH, MISSING_IMAGE)
def test_a_missing_image_leaves_nothing(world: ScenarioContext) -> None:
    assert world.challenges.missing_image is not None
    _fails_and_leaves_nothing(world, world.challenges.missing_image)


@scenario("START-012", MISSING_IMAGE)
def test_a_missing_image_does_not_stand_in_the_way(world: ScenarioContext) -> None:
    assert world.challenges.missing_image is not None
    world.start(world.alice, world.challenges.missing_image)
    started(world, world.alice, world.first)
    live(world, world.alice, world.first)


@scenario("START-013", Hook.GROUND_TRUTH, EXITS_AT_ONCE)
def test_a_container_that_exits_leaves_nothing(world: ScenarioContext) -> None:
    assert world.challenges.exits_at_once is not None
    _fails_and_leaves_nothing(world, world.challenges.exits_at_once)


@scenario("START-014", EXITS_AT_ONCE)
def test_a_container_that_exits_does_not_stand_in_the_way(world: ScenarioContext) -> None:
    assert world.challenges.exits_at_once is not None
    world.start(world.alice, world.challenges.exits_at_once)
    started(world, world.alice, world.first)
    live(world, world.alice, world.first)


@scenario("START-015", Hook.CAPACITY, options=Options(capacity=1))
def test_a_full_system_refuses_and_harms_nobody(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    refused(world.start(world.bob, world.first), Code.CAPACITY)
    gone(world, world.bob, world.first)
    untouched(world, world.alice, world.first, instance)


@scenario("START-016", Hook.CAPACITY, options=Options(capacity=1))
def test_a_stop_frees_a_place_in_a_full_system(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    refused(world.start(world.bob, world.first), Code.CAPACITY)
    done(world.stop(world.alice, world.first))
    # Not Bob: a backend may ask somebody it has just refused to wait.
    started(world, world.carol, world.first)


@scenario(
    "START-017",
    Hook.ACCOUNT_LIMIT,
    TWO_AT_ONCE,
    options=Options(account_limit=2),
    proves=TWO_AT_ONCE,
)
def test_a_limit_of_two_allows_two(world: ScenarioContext) -> None:
    first = started(world, world.alice, world.first)
    second = started(world, world.alice, world.second)
    assert first["container_id"] != second["container_id"], "two challenges share a container"
    untouched(world, world.alice, world.first, first)
    untouched(world, world.alice, world.second, second)


@scenario("START-018")
def test_start_and_status_tell_the_same(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    status = live(world, world.alice, world.first)
    same(instance, status, (*FIXED, "active", "challenge_id", "max_extensions", "backend"))
    waited = instance["remaining_seconds"] - status["remaining_seconds"]
    assert 0 <= waited <= SLACK_SECONDS, f"the remaining time jumped by {waited} s"


@scenario("START-019")
def test_a_start_unpacks_and_carries_its_code(world: ScenarioContext) -> None:
    # The shapes are checked on every call; here both outcomes are met for certain.
    good = world.start(world.alice, world.first)
    ok, message, instance = good
    assert (ok, message, instance) == (good[0], good[1], good[2])
    assert ok is True
    assert good.definite is True, "a start that succeeded is a known outcome"
    ok, message, instance = world.start(world.bob, world.challenges.unknown)
    assert ok is False
    assert instance == {}


@scenario("START-020", Hook.OUTAGE)
def test_a_start_in_an_outage_is_unavailable(world: ScenarioContext) -> None:
    with world.outage():
        refused(world.start(world.alice, world.first), Code.UNAVAILABLE)


@scenario("START-021", Hook.OUTAGE, Hook.GROUND_TRUTH)
def test_a_start_in_an_outage_leaves_nothing(world: ScenarioContext) -> None:
    with world.outage():
        world.start(world.alice, world.first)
    gone(world, world.alice, world.first)
    assert not world.running(), "a container is left of a start that failed"
    started(world, world.alice, world.first)


@scenario("START-022", ONE_AT_A_TIME)
def test_a_stop_frees_the_account(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    done(world.stop(world.alice, world.first))
    started(world, world.alice, world.second)
    gone(world, world.alice, world.first)


def _fails_and_leaves_nothing(world: ScenarioContext, challenge: int) -> None:
    result = world.start(world.alice, challenge)
    assert not result.ok, "a start that cannot work returned True"
    assert result.code in OWN_START_CODES, (
        f"the code tells nothing of the failed start: {result.code.value}"
    )
    gone(world, world.alice, challenge)
    assert not world.running(), "a container is left of a start that failed"
