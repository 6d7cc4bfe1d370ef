"""What the adapter does where Whale, or somebody at Whale's own page, does otherwise."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import requests

from conformance.harnesses.whale import TOKENS, FakeWhaleWorld
from engines.audit import Action
from engines.contract import Code, Scope
from engines.errors import BackendUnavailable, WhaleFault
from engines.state.instance_store import InstanceStore
from engines.whale import StaticTokens
from engines.whale.api import WhaleAPI
from engines.whale.client import WhaleAnswer
from engines.whale.manager import whale_instances
from engines.whale.wire import refusal_of
from fake_whale.whale.redis import Redis

ALICE, BOB, MATE, OTHER_MATE = 11, 12, 21, 22
TEAM = 2


def by_hand(world: FakeWhaleWorld, method: str, user: int, challenge: int) -> requests.Response:
    """What the user does on Whale's own page, behind the adapter's back."""
    return requests.request(
        method,
        f"{world.url}/api/v1/plugins/ctfd-whale/container?challenge_id={challenge}",
        headers={
            "Authorization": f"Token {TOKENS[user]}",
            "Content-Type": "application/json",
        },
        timeout=10,
    )


def actions(world: FakeWhaleWorld) -> list[Action]:
    return [event.action for event in world.events()]


def writes(world: FakeWhaleWorld) -> list[str]:
    """The adapter's requests that were no reads."""
    return [line.split()[0] for line in world.exchanges() if not line.startswith("GET")]


def test_a_container_started_by_hand_is_found_and_not_replaced(world: FakeWhaleWorld) -> None:
    by_hand(world, "POST", ALICE, 1)
    (uuid,) = world.running()
    result = world.manager.start_instance(ALICE, 1)
    assert (result.code, result.instance["container_id"]) == (Code.ALREADY_RUNNING, uuid)
    assert world.running() == {uuid}
    assert actions(world) == [Action.ADOPTED, Action.START_REPEATED]


def test_a_container_started_by_hand_is_shown_extended_and_stopped(world: FakeWhaleWorld) -> None:
    by_hand(world, "POST", ALICE, 1)
    world.advance(60)
    status = world.manager.get_instance_status(ALICE, 1)
    assert status is not None
    assert status["remaining_seconds"] == 3540
    assert world.manager.extend_instance(ALICE, 1).ok
    assert world.manager.stop_instance(ALICE, 1).ok
    assert world.running() == set()


def test_another_challenge_started_by_hand_stands_at_the_limit(world: FakeWhaleWorld) -> None:
    by_hand(world, "POST", ALICE, 2)
    before = world.running()
    result = world.manager.start_instance(ALICE, 1)
    assert result.code is Code.LIMIT_REACHED
    assert "challenge 2" in result.message
    assert world.running() == before
    assert writes(world) == []


def test_another_challenge_that_is_hidden_while_it_runs_stands_at_the_limit(
    world: FakeWhaleWorld,
) -> None:
    by_hand(world, "POST", ALICE, 2)
    before = world.running()
    world.fake.machine.directory.change_challenge(2, state="hidden")
    assert world.manager.start_instance(ALICE, 1).code is Code.LIMIT_REACHED
    assert world.running() == before


def test_a_look_that_tells_of_another_challenge_tells_what_whale_holds(
    world: FakeWhaleWorld,
) -> None:
    by_hand(world, "POST", ALICE, 2)
    assert world.manager.get_instance_status(ALICE, 1) is None
    assert (world.manager.traits.tells, world.manager.traits.scope) == (True, Scope.PER_ACCOUNT)


def test_a_start_that_cannot_see_what_else_runs_leaves_it_alone(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = WhaleAPI.look

    def looking(api: WhaleAPI, user: int, challenge: int) -> Any:
        if challenge != 1:
            raise WhaleFault(Code.UNAVAILABLE, "not now")
        return sound(api, user, challenge)

    monkeypatch.setattr(WhaleAPI, "look", looking)
    assert world.manager.start_instance(ALICE, 1).code is Code.UNAVAILABLE
    assert writes(world) == []


def test_what_answered_once_is_not_asked_again(world: FakeWhaleWorld) -> None:
    started = world.manager.start_instance(ALICE, 1)
    looks = len(world.exchanges())
    world.fake.machine.engine.discard(started.instance["container_id"])
    world.fake.machine.sync_instances()  # silent now, and Whale has not noticed
    assert world.manager.start_instance(ALICE, 1).code is Code.ALREADY_RUNNING
    assert len(world.exchanges()) == looks + 1


def test_what_is_remembered_of_those_that_answered_has_a_bound(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engines.whale.starter.MOST_REMEMBERED", 2)
    for user in (ALICE, BOB, MATE):
        assert world.manager.start_instance(user, 1).ok
    assert len(world.manager._starter._answered) <= 2


def test_another_challenge_that_expired_unseen_does_not_stand_in_the_way(
    world: FakeWhaleWorld,
) -> None:
    by_hand(world, "POST", ALICE, 2)
    world.advance(3601)  # Whale's cleaner comes every ten seconds
    assert world.manager.start_instance(ALICE, 1).ok


def test_a_container_stopped_by_hand_is_gone_and_can_be_started_anew(
    world: FakeWhaleWorld,
) -> None:
    assert world.manager.start_instance(ALICE, 1).ok
    assert by_hand(world, "DELETE", ALICE, 1).status_code == 200
    assert world.manager.get_instance_status(ALICE, 1) is None
    assert world.manager.extend_instance(ALICE, 1).code is Code.NOT_FOUND
    assert world.manager.stop_instance(ALICE, 1).code is Code.NOT_FOUND
    assert world.manager.start_instance(ALICE, 1).ok
    assert len(world.running()) == 1
    assert Action.LOST in actions(world)


def test_a_container_replaced_by_hand_is_never_stopped_by_mistake(world: FakeWhaleWorld) -> None:
    assert world.manager.start_instance(ALICE, 1).ok
    by_hand(world, "POST", ALICE, 2)
    replaced = world.running()
    assert world.manager.get_instance_status(ALICE, 1) is None
    assert world.manager.stop_instance(ALICE, 1).code is Code.NOT_FOUND
    assert world.manager.stop_instance(ALICE, 1, auto_cleanup=True).ok
    assert world.running() == replaced


def test_a_renewal_by_hand_moves_the_expiry(world: FakeWhaleWorld) -> None:
    assert world.manager.start_instance(ALICE, 1).ok
    world.advance(1800)
    by_hand(world, "PATCH", ALICE, 1)
    status = world.manager.get_instance_status(ALICE, 1)
    assert status is not None
    assert status["remaining_seconds"] == 3600
    world.advance(1801)
    world.run_worker()
    assert world.manager.get_instance_status(ALICE, 1) is not None


def test_a_renewal_limit_met_by_hand_is_told_as_the_limit(world: FakeWhaleWorld) -> None:
    assert world.manager.start_instance(ALICE, 1).ok
    for _ in range(5):
        assert by_hand(world, "PATCH", ALICE, 1).status_code == 200
    assert world.manager.extend_instance(ALICE, 1).code is Code.EXTENSION_LIMIT


def test_the_lock_a_refusal_left_behind_is_rate_limited_with_a_time_that_helps(
    world: FakeWhaleWorld,
) -> None:
    assert by_hand(world, "PATCH", ALICE, 1).status_code == 403  # leaves its lock for 10 s
    result = world.manager.start_instance(ALICE, 1)
    assert (result.ok, result.code, result.definite) == (False, Code.RATE_LIMITED, True)
    assert world.running() == set()
    world.advance(result.retry_after or 0)
    assert world.manager.start_instance(ALICE, 1).ok


def test_a_challenge_hidden_while_it_runs_is_still_known_and_can_be_stopped(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.manager.start_instance(ALICE, 1).ok

    def hidden(_api: WhaleAPI, _user: int, _challenge: int) -> None:
        raise WhaleFault(Code.CHALLENGE_UNAVAILABLE, "This challenge is not available")

    with monkeypatch.context() as patched:
        patched.setattr(WhaleAPI, "look", hidden)
        assert world.manager.get_instance_status(ALICE, 1) is not None
        assert world.manager.stop_instance(ALICE, 1).ok
    assert world.running() == set()


def test_a_user_without_a_token_is_told_so_and_nothing_is_asked(world: FakeWhaleWorld) -> None:
    result = world.manager.start_instance(99, 1)
    assert (result.ok, result.code) == (False, Code.UNAUTHENTICATED)
    with pytest.raises(BackendUnavailable):
        world.manager.get_instance_status(99, 1)
    assert world.exchanges() == []


def test_a_token_whale_does_not_accept_is_told_so(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {"Authorization": "Token ctfd_wrong"}
    monkeypatch.setattr(StaticTokens, "headers", lambda _tokens, _user: wrong)
    assert world.manager.start_instance(ALICE, 1).code is Code.UNAUTHENTICATED
    with pytest.raises(BackendUnavailable):
        world.manager.get_instance_status(ALICE, 1)


def test_the_owner_who_changes_team_does_not_take_the_old_teams_instance_along(
    world: FakeWhaleWorld,
) -> None:
    started = world.manager.start_instance(MATE, 1, TEAM)
    assert started.ok
    moved = world.manager.start_instance(MATE, 1, 3)
    assert moved.code is Code.LIMIT_REACHED  # Whale holds one per user, and it is the old team's
    assert world.manager.get_instance_status(MATE, 1, 3) is None
    status = world.manager.get_instance_status(OTHER_MATE, 1, TEAM)
    assert status is not None
    assert status["container_id"] == started.instance["container_id"]


def test_a_mate_stops_and_extends_as_the_one_who_started(world: FakeWhaleWorld) -> None:
    assert world.manager.start_instance(MATE, 1, TEAM).ok
    assert world.manager.extend_instance(OTHER_MATE, 1, TEAM).ok
    assert world.manager.stop_instance(OTHER_MATE, 1, TEAM).ok
    assert world.running() == set()


def just_after_whales_cleaner(world: FakeWhaleWorld) -> None:
    """Move to two seconds after a round of Whale's cleaner; the next one is eight seconds off."""
    by_hand(world, "POST", BOB, 1)
    world.advance(3590)
    while world.running():
        world.advance(1)
    world.advance(2)


def test_the_worker_ends_what_expired_before_whales_cleaner_comes(world: FakeWhaleWorld) -> None:
    just_after_whales_cleaner(world)
    assert world.manager.start_instance(ALICE, 1).ok
    world.advance(3602)
    assert len(world.running()) == 1
    world.run_worker()
    assert world.running() == set()
    assert actions(world) == [Action.STARTED, Action.EXPIRED]
    started, expired = (event.metadata for event in world.events())
    assert expired["old_expiry"] == started["new_expiry"]


def test_a_start_that_never_answers_is_destroyed_again(world: FakeWhaleWorld) -> None:
    result = world.manager.start_instance(ALICE, world.challenges.missing_image or 0)
    assert (result.ok, result.code) == (False, Code.NOT_READY)
    assert world.running() == set()
    assert writes(world) == ["POST", "DELETE"]
    assert "gave no answer within" in world.events()[-1].metadata["reason"]


def test_what_whale_said_of_a_failure_is_in_the_audit_row_and_not_in_the_answer(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """hexbay/ocean_ctf#18, GZTimeWalker/GZCTF#31."""

    def refusing(api: WhaleAPI, user: int, challenge: int) -> None:
        answer = WhaleAnswer("POST", "/", 200, "application/json", {"success": False}, 1)
        raise refusal_of(answer, "Container creation failed", known=True)

    monkeypatch.setattr(WhaleAPI, "create", refusing)
    result = world.manager.start_instance(ALICE, 1)
    assert result.code is Code.START_FAILED
    assert "Whale" not in result.message
    event = world.events()[-1]
    assert (event.action, event.code) == (Action.START_FAILED, Code.START_FAILED)
    assert event.metadata["reason"] == "Whale answered 200: Container creation failed"


LOST = WhaleFault(Code.UNAVAILABLE, "lost", definite=False)
SETTLED_SECONDS = 121
CALLS = {"create": "start_instance", "renew": "extend_instance", "destroy": "stop_instance"}


def lose(
    world: FakeWhaleWorld,
    monkeypatch: pytest.MonkeyPatch,
    write: str,
    *,
    done: bool,
    user: int = ALICE,
    challenge: int = 1,
) -> Any:
    """The result of a call whose one write breaks off, after Whale did it or before."""
    sound = getattr(WhaleAPI, write)
    sent = []

    def losing(api: WhaleAPI, user: int, challenge: int) -> None:
        sent.append(write)
        if done:
            sound(api, user, challenge)
        raise LOST

    with monkeypatch.context() as patched:
        patched.setattr(WhaleAPI, write, losing)
        result = getattr(world.manager, CALLS[write])(user, challenge)
    assert sent == [write], "a write is never sent twice"
    return result


@pytest.mark.parametrize("write", ["create", "renew", "destroy"])
def test_a_write_whose_answer_is_lost_is_found_to_be_done(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    if write != "create":
        assert world.manager.start_instance(ALICE, 1).ok
    world.advance(600)
    assert lose(world, monkeypatch, write, done=True).code is Code.OK
    status = world.manager.get_instance_status(ALICE, 1)
    if write == "destroy":
        assert status is None
        assert world.running() == set()
    else:
        assert status is not None
        assert status["remaining_seconds"] == 3600
        assert status["extension_count"] == (write == "renew")
        assert world.running() == {status["container_id"]}


def test_after_a_lost_start_nothing_is_started_until_whale_cannot_be_at_it_any_more(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = lose(world, monkeypatch, "create", done=False)
    assert (result.code, result.definite) == (Code.UNAVAILABLE, False)
    assert world.events()[-1].metadata == {"definite": False}
    again = world.manager.start_instance(ALICE, 1)
    assert (again.code, again.retry_after) == (Code.BUSY, 10.0)
    assert world.manager.start_instance(ALICE, 2).code is Code.BUSY
    assert world.manager.extend_instance(ALICE, 1).code is Code.BUSY
    assert world.manager.stop_instance(ALICE, 1).code is Code.BUSY
    assert world.manager.get_instance_status(ALICE, 1) is None
    world.advance(SETTLED_SECONDS)
    assert world.manager.start_instance(ALICE, 2).code is Code.OK
    assert len(world.running()) == 1


@pytest.mark.parametrize("next_call", ["start_instance", "get_instance_status", "run_worker"])
def test_a_container_that_shows_late_is_taken_in(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch, next_call: str
) -> None:
    lose(world, monkeypatch, "create", done=False)
    by_hand(world, "POST", ALICE, 1)  # the lost request arrives
    if next_call == "run_worker":
        world.run_worker()
    elif next_call == "start_instance":
        assert world.manager.start_instance(ALICE, 1).code is Code.OK
    status = world.manager.get_instance_status(ALICE, 1)
    assert status is not None
    assert world.running() == {status["container_id"]}
    assert world.manager.stop_instance(ALICE, 1).ok


def test_a_stop_that_broke_off_is_settled_though_its_challenge_is_hidden(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.manager.start_instance(ALICE, 1).ok
    lose(world, monkeypatch, "destroy", done=False)
    world.fake.machine.directory.change_challenge(1, state="hidden")
    world.advance(SETTLED_SECONDS)
    assert world.manager.get_instance_status(ALICE, 1) is not None


@pytest.mark.parametrize(
    ("done", "expected"), [(True, []), (False, [0.05, 0.1, 0.2, 0.4, 0.5, 0.5, 0.25])]
)
def test_what_became_of_a_lost_request_is_looked_for_ever_more_slowly(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch, done: bool, expected: list[float]
) -> None:
    pauses: list[float] = []
    by_pauses = SimpleNamespace(monotonic=lambda: sum(pauses), sleep=pauses.append)
    monkeypatch.setattr("engines.whale.ledger.time", by_pauses)
    monkeypatch.setattr(world.manager._ledger, "_look_again_seconds", 2.0)
    lose(world, monkeypatch, "create", done=done)
    assert pauses == pytest.approx(expected)


def test_the_event_of_a_repair_names_the_container(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(world, monkeypatch, "create", done=False)
    by_hand(world, "POST", ALICE, 1)  # the lost request arrives
    world.run_worker()
    (event,) = [each for each in world.events() if each.action is Action.REPAIRED]
    assert world.running() == {event.metadata["container_id"]}


def test_what_others_start_late_says_nothing_of_how_many_a_user_may_have(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A challenge of which one user has nothing may be the very one that another's start is of."""
    own_port = world.challenges.own_port or 0
    lose(world, monkeypatch, "create", done=False, user=BOB, challenge=own_port)
    lose(world, monkeypatch, "create", done=False)
    monkeypatch.setattr(world.manager._starter, "_empty", own_port)  # as if it was looked at last
    by_hand(world, "POST", BOB, own_port)  # the lost request arrives
    assert world.manager.start_instance(BOB, own_port).ok
    assert world.manager.traits.scope is None


def test_a_start_that_nobody_can_look_at_says_when_to_look_again(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = WhaleAPI.create

    def creating(api: WhaleAPI, user: int, challenge: int) -> None:
        sound(api, user, challenge)
        monkeypatch.setattr(WhaleAPI, "look", failing)

    def failing(*_: object) -> None:
        raise WhaleFault(Code.UNAVAILABLE, "not now")

    monkeypatch.setattr(WhaleAPI, "create", creating)
    result = world.manager.start_instance(ALICE, 1)
    assert (result.code, result.definite) == (Code.UNAVAILABLE, False)
    assert result.retry_after


def test_the_worker_counts_what_it_ends(world: FakeWhaleWorld) -> None:
    assert world.manager.expire_due() == 0
    just_after_whales_cleaner(world)
    for user in (ALICE, MATE):
        assert world.manager.start_instance(user, 1).ok
    world.advance(3602)
    assert world.manager.expire_due() == 2


def test_who_settles_what_another_is_just_removing_leaves_it_to_them(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.manager.start_instance(ALICE, 1).ok
    lose(world, monkeypatch, "destroy", done=False)
    world.advance(3600)  # to the second: Whale's cleaner has not come
    ledger = world.manager._ledger
    (row,) = ledger._store.all()
    removing = row.stopping(ledger.lease_end())
    assert ledger._store.save(removing)
    assert ledger.settle(row) == ledger._store.find(row.account, 1)
    assert len(world.running()) == 1


def test_a_lost_stop_that_was_not_done_may_be_repeated(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.manager.start_instance(ALICE, 1)
    result = lose(world, monkeypatch, "destroy", done=False)
    assert (result.code, result.definite) == (Code.UNAVAILABLE, False)
    assert world.manager.get_instance_status(ALICE, 1) is not None
    # What shows may still go: nobody is told that it runs.
    assert world.manager.start_instance(ALICE, 1).code is Code.BUSY
    assert world.manager.extend_instance(ALICE, 1).code is Code.BUSY
    assert world.manager.stop_instance(ALICE, 1).code is Code.OK
    assert world.running() == set()


def test_a_repeated_stop_that_is_refused_leaves_the_first_one_open(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.manager.start_instance(ALICE, 1)
    lose(world, monkeypatch, "destroy", done=False)
    by_hand(world, "PATCH", ALICE, 2)  # refused, and leaves Whale's lock behind
    assert world.manager.stop_instance(ALICE, 1).code is Code.RATE_LIMITED
    assert world.manager.start_instance(ALICE, 1).code is Code.BUSY
    world.advance(SETTLED_SECONDS)
    assert world.manager.start_instance(ALICE, 1).code is Code.ALREADY_RUNNING


def test_an_expired_container_is_not_taken_for_a_fresh_one(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand(world, "POST", ALICE, 1)
    world.advance(3590)
    (old,) = world.running()
    world.advance(11)  # its time is over, and Whale's cleaner has not come
    assert world.running() == {old}
    assert lose(world, monkeypatch, "create", done=False).definite is False


def test_a_lost_stop_that_was_never_done_leaves_a_live_instance(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.manager.start_instance(ALICE, 1)
    lose(world, monkeypatch, "destroy", done=False)
    world.advance(SETTLED_SECONDS)
    assert world.manager.start_instance(ALICE, 1).code is Code.ALREADY_RUNNING
    assert world.manager.extend_instance(ALICE, 1).ok


def test_an_expired_container_of_a_lost_stop_is_destroyed(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.manager.start_instance(ALICE, 1)
    lose(world, monkeypatch, "destroy", done=False)
    world.advance(3600)  # to the second: Whale's cleaner has not come
    assert len(world.running()) == 1
    world.run_worker()
    assert world.running() == set()
    assert actions(world)[-1] is Action.EXPIRED


@pytest.mark.parametrize("comes_true", [True, False], ids=["it was done", "it was not done"])
def test_who_settles_second_believes_who_settled_first(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch, comes_true: bool
) -> None:
    lose(world, monkeypatch, "create", done=False)
    if comes_true:
        by_hand(world, "POST", ALICE, 1)  # the lost request arrives
    world.advance(SETTLED_SECONDS)
    ledger = world.manager._ledger
    (row,) = ledger._store.all()
    first = ledger.settle(row)
    if not comes_true:
        assert world.manager.start_instance(ALICE, 1).ok  # and already there is a younger one
    second = ledger.settle(row)
    assert second is not None
    assert world.running() == {second.container_id}
    assert first == (second if comes_true else None)


def test_who_settles_what_another_has_begun_anew_leaves_it_alone(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(world, monkeypatch, "create", done=False)
    world.advance(SETTLED_SECONDS)
    ledger, manager = world.manager._ledger, world.manager
    (row,) = ledger._store.all()
    assert ledger.settle(row) is None
    begun = ledger._store.claim(
        manager._request(manager._call(ALICE, 1, None)), manager.clock.now()
    )
    assert ledger.settle(row) == begun.row


def test_a_lost_renewal_that_was_not_done_is_not_counted(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.manager.start_instance(ALICE, 1)
    world.advance(600)
    result = lose(world, monkeypatch, "renew", done=False)
    assert (result.code, result.definite) == (Code.UNAVAILABLE, False)
    status = world.manager.get_instance_status(ALICE, 1)
    assert status is not None
    assert (status["remaining_seconds"], status["extension_count"]) == (3000, 0)
    assert world.manager.extend_instance(ALICE, 1).ok


def test_a_renewal_that_nobody_could_look_at_is_counted_when_it_shows(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.manager.start_instance(ALICE, 1)
    world.advance(600)
    sound = WhaleAPI.renew

    def renewing(api: WhaleAPI, user: int, challenge: int) -> None:
        sound(api, user, challenge)
        patched.setattr(WhaleAPI, "look", failing)
        raise LOST

    def failing(*_: object) -> None:
        raise WhaleFault(Code.UNAVAILABLE, "not now")

    with monkeypatch.context() as patched:
        patched.setattr(WhaleAPI, "renew", renewing)
        result = world.manager.extend_instance(ALICE, 1)
    assert (result.code, result.definite) == (Code.UNAVAILABLE, False)
    status = world.manager.get_instance_status(ALICE, 1)
    assert status is not None
    assert (status["remaining_seconds"], status["extension_count"]) == (3600, 1)


def test_what_is_being_started_is_not_shown(
    world: FakeWhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whale has a record before it has a port: a look just then cannot be read."""
    direct = world.challenges.own_port or 0
    seen = []
    take = Redis.take_port

    def looking(redis: Redis) -> int:
        shown = by_hand(world, "GET", ALICE, direct).json()["data"]["user_access"]
        seen.append((shown.split()[-1], world.manager.get_instance_status(ALICE, direct)))
        return take(redis)

    monkeypatch.setattr(Redis, "take_port", looking)
    assert world.manager.start_instance(ALICE, direct).ok
    assert seen == [("0", None)]


def test_the_ledger_holds_nothing_when_whale_holds_nothing(world: FakeWhaleWorld) -> None:
    store = InstanceStore(world.database, world.manager.audit, whale_instances)
    for user in (ALICE, BOB):
        assert world.manager.start_instance(user, 1).ok
    assert len(store.all()) == 2
    for user in (ALICE, BOB):
        assert world.manager.stop_instance(user, 1).ok
    assert store.all() == []
