"""INPUT: what is refused with ValueError, and that nothing else ever raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.harness import Hook
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import scenario
from conformance.spec.shape import check_message
from conformance.spec.steps import gone, live, repeated, same, started, untouched
from engines.contract import LARGEST_ID, Code

NOT_IDS: tuple[Any, ...] = (
    0,
    -1,
    True,
    False,
    1.0,
    "1",
    b"1",
    "1 OR 1=1",
    [],
    [1],
    {},
    LARGEST_ID + 1,
    -LARGEST_ID - 1,
    float("nan"),
)
"""What is no id; None is none either, except for the team."""


@scenario("INPUT-001")
def test_a_start_with_a_bad_id_raises(world: ScenarioContext) -> None:
    _refuses_bad_ids(world, world.backend.start_instance, "INPUT-001")


@scenario("INPUT-002")
def test_an_extend_with_a_bad_id_raises(world: ScenarioContext) -> None:
    _refuses_bad_ids(world, world.backend.extend_instance, "INPUT-002")


@scenario("INPUT-003")
def test_a_stop_with_a_bad_id_raises(world: ScenarioContext) -> None:
    _refuses_bad_ids(world, world.backend.stop_instance, "INPUT-003")


@scenario("INPUT-004")
def test_a_status_with_a_bad_id_raises(world: ScenarioContext) -> None:
    _refuses_bad_ids(world, world.backend.get_instance_status, "INPUT-004")


@scenario("INPUT-005", Hook.GROUND_TRUTH)
def test_bad_ids_make_no_container(world: ScenarioContext) -> None:
    for bad in NOT_IDS:
        for arguments in ((bad, world.first), (world.alice.user_id, bad)):
            with world.backend.expects(ValueError, "INPUT-001"):
                world.backend.start_instance(*arguments)
        with world.backend.expects(ValueError, "INPUT-001"):
            world.backend.start_instance(world.alice.user_id, world.first, bad)
    assert not world.running(), "a call that raised ValueError made a container"


@scenario("INPUT-006")
def test_bad_ids_leave_the_running_instance_alone(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    user = world.alice.user_id
    for method in (world.backend.extend_instance, world.backend.stop_instance):
        for bad in NOT_IDS:
            with world.backend.expects(ValueError, "INPUT-006"):
                method(user, world.first, bad)
            with world.backend.expects(ValueError, "INPUT-006"):
                method(bad, world.first)
    untouched(world, world.alice, world.first, instance)


@scenario("INPUT-007")
def test_the_biggest_ids_are_answered(world: ScenarioContext) -> None:
    biggest = LARGEST_ID
    backend, user = world.backend, world.alice.user_id
    assert not backend.start_instance(user, biggest).ok, "challenge 2**63-1 was started"
    # A backend that knows every user may start this one.
    if backend.start_instance(biggest, world.first, biggest).ok:
        assert backend.stop_instance(biggest, world.first, biggest).ok
    assert not backend.extend_instance(biggest, biggest, biggest).ok
    assert not backend.stop_instance(biggest, biggest, biggest).ok
    assert backend.get_instance_status(user, biggest) is None


@scenario("INPUT-008")
def test_odd_calls_are_answered(world: ScenarioContext) -> None:
    # An exception in any of them is caught on the way and is what this scenario fails with.
    player, unknown = world.alice, world.challenges.unknown
    for challenge in (unknown, world.first):
        assert not world.extend(player, challenge).ok
        assert not world.stop(player, challenge).ok
        world.clean_up(player, challenge)
    assert not world.start(player, unknown).ok
    started(world, player, world.first)
    repeated(world, player, world.first)
    assert not world.extend(player, unknown).ok
    assert not world.stop(player, unknown).ok


@scenario("INPUT-009")
def test_messages_are_for_players(world: ScenarioContext) -> None:
    player = world.alice
    messages = [
        world.start(player, world.challenges.unknown).message,
        world.extend(player, world.first).message,
        world.stop(player, world.first).message,
        world.start(player, world.first).message,
        world.start(player, world.first).message,
        world.start(player, world.second).message,
        world.extend(player, world.first).message,
        world.stop(player, world.second).message,
        world.stop(player, world.first).message,
    ]
    for message in messages:
        check_message(message)


@scenario("INPUT-010")
def test_a_refused_start_returns_no_instance(world: ScenarioContext) -> None:
    result = world.start(world.alice, world.challenges.unknown)
    assert not result.ok
    assert result.instance == {}
    assert result.code not in (Code.OK, Code.ALREADY_RUNNING)


@scenario("INPUT-011")
def test_arguments_by_position_or_by_name(world: ScenarioContext) -> None:
    user = world.alice.user_id
    named = {"user_id": user, "challenge_id": world.first, "team_id": world.alice.team_id}
    result = world.backend.start_instance(**named)
    assert result.ok, result.message
    by_position = live(world, world.alice, world.first)
    by_name = world.backend.get_instance_status(**named)
    assert by_name is not None
    same(by_position, by_name)
    world.backend.extend_instance(**named)
    stopped = world.backend.stop_instance(**named, auto_cleanup=False)
    assert stopped.ok, stopped.message
    gone(world, world.alice, world.first)


def _refuses_bad_ids(world: ScenarioContext, method: Callable[..., Any], rule: str) -> None:
    user, challenge = world.alice.user_id, world.first
    for bad in NOT_IDS:
        for arguments in ((bad, challenge), (user, bad), (user, challenge, bad)):
            with world.backend.expects(ValueError, rule):
                method(*arguments)
    for arguments in ((None, challenge), (user, None)):
        with world.backend.expects(ValueError, rule):
            method(*arguments)
