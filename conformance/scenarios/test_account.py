"""ACCOUNT: whose instance it is: a user's own, or a team's together."""

from __future__ import annotations

from itertools import product

from conformance.harness import Hook, Lockout
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import EXTENDS, ONE_AT_A_TIME, TEAMS, scenario
from conformance.spec.steps import (
    FIXED,
    demand,
    done,
    gone,
    let_expire,
    live,
    names,
    only_event,
    refused,
    repeated,
    same,
    started,
    untouched,
)
from engines.audit import Action
from engines.contract import Code
from engines.errors import BackendUnavailable

SECONDS_BEFORE = (3, 4, 5)
MINUTE = 60


@scenario("ACCOUNT-001")
def test_two_users_get_two_instances(world: ScenarioContext) -> None:
    hers = started(world, world.alice, world.first)
    his = started(world, world.bob, world.first)
    assert hers["container_id"] != his["container_id"], "two accounts share one container"
    untouched(world, world.alice, world.first, hers)
    untouched(world, world.bob, world.first, his)


@scenario("ACCOUNT-002")
def test_nobody_sees_a_strangers_instance(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    gone(world, world.bob, world.first)


@scenario("ACCOUNT-003")
def test_nobody_extends_a_strangers_instance(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    refused(world.extend(world.bob, world.first), Code.NOT_FOUND)
    untouched(world, world.alice, world.first, instance)


@scenario("ACCOUNT-004")
def test_nobody_stops_a_strangers_instance(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    refused(world.stop(world.bob, world.first), Code.NOT_FOUND)
    untouched(world, world.alice, world.first, instance)


@scenario("ACCOUNT-005", ONE_AT_A_TIME)
def test_limits_are_counted_apart(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    started(world, world.bob, world.second)
    refused(world.start(world.bob, world.first), Code.LIMIT_REACHED)


@scenario("ACCOUNT-006", TEAMS, proves=TEAMS)
def test_mates_see_the_same_instance(world: ScenarioContext) -> None:
    starter, mate = world.mates[:2]
    instance = started(world, starter, world.first)
    untouched(world, mate, world.first, instance)


@scenario("ACCOUNT-007", TEAMS, proves=TEAMS)
def test_a_mates_start_returns_the_teams_instance(world: ScenarioContext) -> None:
    starter, mate = world.mates[:2]
    instance = started(world, starter, world.first)
    same(instance, repeated(world, mate, world.first))
    untouched(world, starter, world.first, instance)


@scenario("ACCOUNT-008", TEAMS, EXTENDS)
def test_a_mate_may_extend(world: ScenarioContext) -> None:
    starter, mate = world.mates[:2]
    started(world, starter, world.first)
    done(world.extend(mate, world.first))
    for player in (starter, mate):
        assert live(world, player, world.first)["extension_count"] == 1


@scenario("ACCOUNT-009", TEAMS, proves=TEAMS)
def test_a_mate_may_stop(world: ScenarioContext) -> None:
    starter, mate = world.mates[:2]
    started(world, starter, world.first)
    done(world.stop(mate, world.first))
    gone(world, starter, world.first)
    gone(world, mate, world.first)


@scenario("ACCOUNT-010", TEAMS, ONE_AT_A_TIME)
def test_mates_share_one_limit(world: ScenarioContext) -> None:
    starter, mate = world.mates[:2]
    instance = started(world, starter, world.first)
    refused(world.start(mate, world.second), Code.LIMIT_REACHED)
    untouched(world, starter, world.first, instance)


@scenario("ACCOUNT-011", TEAMS, proves=TEAMS)
def test_a_user_without_team_does_not_see_a_teams(world: ScenarioContext) -> None:
    instance = started(world, world.mates[0], world.first)
    gone(world, world.alice, world.first)
    gone(world, world.mates[0].leaves(), world.first)
    refused(world.stop(world.alice, world.first), Code.NOT_FOUND)
    untouched(world, world.mates[0], world.first, instance)


@scenario("ACCOUNT-012", TEAMS, proves=TEAMS)
def test_a_change_of_team_ends_the_view(world: ScenarioContext) -> None:
    starter, _, other, _ = world.mates[:4]
    started(world, starter, world.first)
    assert other.team_id is not None
    moved = starter.joins(other.team_id)
    gone(world, moved, world.first)
    refused(world.extend(moved, world.first), Code.NOT_FOUND)
    refused(world.stop(moved, world.first), Code.NOT_FOUND)


@scenario("ACCOUNT-013", TEAMS, proves=TEAMS)
def test_the_team_keeps_what_a_leaver_started(world: ScenarioContext) -> None:
    starter, mate, other, _ = world.mates[:4]
    instance = started(world, starter, world.first)
    assert other.team_id is not None
    world.stop(starter.joins(other.team_id), world.first)
    untouched(world, mate, world.first, instance)
    done(world.stop(mate, world.first))


@scenario("ACCOUNT-014", TEAMS, proves=TEAMS)
def test_a_new_member_gets_the_new_teams_instance(world: ScenarioContext) -> None:
    starter, mate, other, _ = world.mates[:4]
    started(world, starter, world.first)
    theirs = started(world, other, world.first)
    assert other.team_id is not None
    moved = mate.joins(other.team_id)
    untouched(world, moved, world.first, theirs)
    same(theirs, repeated(world, moved, world.first))


@scenario("ACCOUNT-015", TEAMS, proves=TEAMS)
def test_two_teams_are_two_accounts(world: ScenarioContext) -> None:
    one, _, other, _ = world.mates[:4]
    ours = started(world, one, world.first)
    gone(world, other, world.first)
    theirs = started(world, other, world.first)
    assert ours["container_id"] != theirs["container_id"], "two teams share one container"
    done(world.stop(other, world.first))
    untouched(world, one, world.first, ours)


@scenario("ACCOUNT-016", TEAMS, proves=TEAMS)
def test_a_team_is_not_the_user_of_its_number(world: ScenarioContext) -> None:
    namesake = world.mates[0].joins(world.alice.user_id)
    instance = started(world, world.alice, world.first)
    gone(world, namesake, world.first)
    refused(world.stop(namesake, world.first), Code.NOT_FOUND)
    untouched(world, world.alice, world.first, instance)


@scenario("ACCOUNT-017", Hook.OWNERS, Hook.GROUND_TRUTH)
def test_a_numbers_new_owner_does_not_see_the_old_ones(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    world.give_number_again(world.alice)
    gone(world, world.alice, world.first)
    refused(world.extend(world.alice, world.first), Code.NOT_FOUND)
    refused(world.stop(world.alice, world.first), Code.NOT_FOUND)
    assert instance["container_id"] in world.running(), "another's call has ended it"


@scenario("ACCOUNT-018", Hook.OWNERS)
def test_a_numbers_new_owner_starts_at_once(world: ScenarioContext) -> None:
    old = started(world, world.alice, world.first)
    world.give_number_again(world.alice)
    new = started(world, world.alice, world.first)
    assert new["container_id"] != old["container_id"], "it is the deleted account's"


@scenario("ACCOUNT-019", Hook.OWNERS, Hook.WORKER, Hook.GROUND_TRUTH, Hook.AUDIT)
def test_what_a_deleted_account_has_left_is_ended(world: ScenarioContext) -> None:
    left = started(world, world.alice, world.first)
    kept = started(world, world.bob, world.first)
    world.give_number_again(world.alice)
    world.run_worker()
    assert world.running() & {left["container_id"], kept["container_id"]} == {kept["container_id"]}
    world.run_worker()
    event = only_event(world, Action.ORPHANED)
    assert event.user_id == world.alice.user_id


@scenario("ACCOUNT-020", Hook.NEW_CHALLENGE, Hook.GROUND_TRUTH)
def test_a_new_challenge_does_not_show_the_deleted_ones_instance(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    world.give_challenge_again(world.first)
    gone(world, world.alice, world.first)
    refused(world.extend(world.alice, world.first), Code.NOT_FOUND)
    refused(world.stop(world.alice, world.first), Code.NOT_FOUND)
    assert instance["container_id"] in world.running(), "a call about the new one has ended it"


@scenario("ACCOUNT-021", Hook.NEW_CHALLENGE)
def test_a_new_challenge_is_started_at_once(world: ScenarioContext) -> None:
    old = started(world, world.alice, world.first)
    world.give_challenge_again(world.first)
    new = started(world, world.alice, world.first)
    assert new["container_id"] != old["container_id"], "it is the deleted challenge's"
    untouched(world, world.alice, world.first, new)


@scenario("ACCOUNT-022", Hook.NEW_CHALLENGE, Hook.WORKER, Hook.GROUND_TRUTH, Hook.AUDIT)
def test_what_a_deleted_challenge_has_left_is_ended(world: ScenarioContext) -> None:
    left = started(world, world.alice, world.first)
    kept = started(world, world.bob, world.second)
    world.give_challenge_again(world.first)
    world.run_worker()
    assert world.running() & {left["container_id"], kept["container_id"]} == {kept["container_id"]}
    world.run_worker()
    event = only_event(world, Action.ORPHANED)
    assert (event.user_id, event.challenge_id) == (world.alice.user_id, world.first)


@scenario("ACCOUNT-023", Hook.OWNERS, ONE_AT_A_TIME)
def test_what_a_deleted_account_has_left_takes_no_place(world: ScenarioContext) -> None:
    started(world, world.alice, world.second)
    world.give_number_again(world.alice)
    started(world, world.alice, world.first)


@scenario("ACCOUNT-024", Hook.OWNERS, Hook.OUTAGE, Hook.WORKER, Hook.GROUND_TRUTH, Hook.AUDIT)
def test_an_account_may_be_deleted_in_an_outage(world: ScenarioContext) -> None:
    left = started(world, world.alice, world.first)
    with world.outage():
        world.give_number_again(world.alice)
        world.try_worker()
    for _ in range(2):
        world.run_worker()
    assert left["container_id"] not in world.running(), "it runs, and belongs to nobody"
    only_event(world, Action.ORPHANED)


@scenario("ACCOUNT-025", Hook.OWNERS, TEAMS)
def test_a_teams_number_may_be_given_again(world: ScenarioContext) -> None:
    starter, mate = world.mates[:2]
    old = started(world, starter, world.first)
    world.give_number_again(starter)
    gone(world, mate, world.first)
    refused(world.extend(mate, world.first), Code.NOT_FOUND)
    refused(world.stop(mate, world.first), Code.NOT_FOUND)
    new = started(world, mate, world.first)
    assert new["container_id"] != old["container_id"], "it is the deleted team's"


@scenario("ACCOUNT-026", Hook.ANOTHER_SITE, Hook.GROUND_TRUTH)
def test_an_account_of_another_site_is_another_account(world: ScenarioContext) -> None:
    hers = started(world, world.alice, world.first)
    with world.another_site():
        gone(world, world.alice, world.first)
        refused(world.extend(world.alice, world.first), Code.NOT_FOUND)
        refused(world.stop(world.alice, world.first), Code.NOT_FOUND)
        theirs = started(world, world.alice, world.first)
        assert theirs["container_id"] != hers["container_id"], "two sites share one container"
        assert hers["container_id"] in world.running(), "a start has replaced another site's"
        done(world.stop(world.alice, world.first))
    untouched(world, world.alice, world.first, hers)
    assert world.running() == {hers["container_id"]}


@scenario("ACCOUNT-027", TEAMS)
def test_what_is_last_known_of_a_teams_is_told_to_the_team(world: ScenarioContext) -> None:
    starter, mate, stranger = world.mates[:3]
    started(world, world.alice, world.first)
    shown = live(world, world.alice, world.first)
    instance = started(world, starter, world.first)
    known = world.last_known(world.alice, world.first)
    if known is None:  # a backend may go without records: then it has none of anybody
        gone_from_records = [world.last_known(player, world.first) for player in (starter, mate)]
        assert gone_from_records == [None, None], "a team has records, and a user has none"
        return
    same(shown, known, (*FIXED, "max_extensions"))
    for player in (starter, mate):
        told = world.last_known(player, world.first)
        demand(told is not None, "what is last known of a team's instance is not told to the team")
        same(instance, told or instance)
    for other in (stranger, mate.leaves(), starter.leaves()):
        demand(
            world.last_known(other, world.first) is None,
            "what is last known of a team's instance is told to who is not in the team",
        )


@scenario("ACCOUNT-028", Hook.ACCESS, Hook.GROUND_TRUTH)
def test_who_is_not_let_in_changes_nothing(world: ScenarioContext) -> None:
    for why in Lockout:
        with world.locked_out(world.alice, why):
            refused(world.start(world.alice, world.first), Code.UNAUTHENTICATED)
            his = started(world, world.bob, world.first)
            assert world.running() == {his["container_id"]}, "who is not let in has started"
            untouched(world, world.bob, world.first, his)
        started(world, world.alice, world.first)
        for player in (world.alice, world.bob):
            done(world.stop(player, world.first))


@scenario("ACCOUNT-029", Hook.ACCESS, Hook.WORKER, Hook.GROUND_TRUTH)
def test_who_is_locked_out_loses_nothing(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    for why in Lockout:
        with world.locked_out(world.alice, why):
            with world.backend.allows(BackendUnavailable):
                demand(
                    world.status(world.alice, world.first) is not None,
                    "status says None of the instance of a user who is not let in any more",
                )
            refused(world.extend(world.alice, world.first), Code.UNAUTHENTICATED)
            refused(world.stop(world.alice, world.first), Code.UNAUTHENTICATED)
            world.run_worker()
            assert world.running() == {instance["container_id"]}
        untouched(world, world.alice, world.first, instance)
    done(world.stop(world.alice, world.first))
    demand(not world.running(), "the container still runs after a stop that succeeded")


@scenario("ACCOUNT-034", Hook.ACCESS, Hook.WORKER)
def test_the_log_does_not_hold_what_lets_a_user_in(world: ScenarioContext) -> None:
    # The log is listened to in every scenario, from DEBUG up; here all that asks is called.
    started(world, world.alice, world.first)
    for why in Lockout:
        with world.locked_out(world.alice, why), world.backend.allows(BackendUnavailable):
            world.start(world.alice, world.second)
            world.extend(world.alice, world.first)
            world.run_worker()
            world.status(world.alice, world.first)
    world.start(world.alice, world.first)
    world.extend(world.alice, world.first)
    done(world.stop(world.alice, world.first))


@scenario("ACCOUNT-035", Hook.ACCESS, Hook.WORKER, Hook.CLOCK, Hook.GROUND_TRUTH)
def test_who_is_locked_out_holds_up_no_others_end(world: ScenarioContext) -> None:
    others = (world.alice, world.bob, world.carol)
    for locked, why in product(others[:2], Lockout):
        instances = {player: started(world, player, world.first) for player in others}
        with world.locked_out(locked, why):
            let_expire(world, instances[locked])
            world.run_worker()
            left = world.running() - {instances[locked]["container_id"]}
            assert not left, "an expired instance runs on while another's user is not let in"
        world.run_worker()


@scenario("ACCOUNT-030", Hook.OWNERS)
def test_what_is_last_known_is_not_told_to_a_numbers_new_owner(world: ScenarioContext) -> None:
    kept = started(world, world.bob, world.first)
    players = [world.alice]
    if world.capabilities.teams and world.mates:
        players.append(world.mates[0])
    for player in players:
        started(world, player, world.first)
        world.give_number_again(player)
    if players[1:]:
        players.append(world.mates[1])
    for player in players:
        told = world.last_known(player, world.first)
        demand(told is None, "what a deleted account has left is last known of another's")
    known = world.last_known(world.bob, world.first)
    if known is not None:
        same(kept, known)


@scenario("ACCOUNT-031", Hook.NEW_CHALLENGE)
def test_what_is_last_known_is_not_told_of_another_challenge(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    kept = started(world, world.bob, world.second)
    world.give_challenge_again(world.first)
    told = world.last_known(world.alice, world.first)
    demand(told is None, "an instance of a deleted challenge is last known of another one")
    known = world.last_known(world.bob, world.second)
    if known is not None:
        same(kept, known)


@scenario("ACCOUNT-032", Hook.OWNERS, Hook.ACCESS, Hook.WORKER)
def test_what_could_not_be_ended_is_no_new_owners(world: ScenarioContext) -> None:
    for why in Lockout:
        old = started(world, world.alice, world.first)
        world.give_number_again(world.alice)
        with world.locked_out(world.alice, why):
            world.run_worker()
        gone(world, world.alice, world.first)
        refused(world.extend(world.alice, world.first), Code.NOT_FOUND)
        refused(world.stop(world.alice, world.first), Code.NOT_FOUND)
        new = started(world, world.alice, world.first)
        assert new["container_id"] != old["container_id"], "it is the deleted account's"
        done(world.stop(world.alice, world.first))


@scenario("ACCOUNT-033", Hook.REPLACE_BEHIND, Hook.CLOCK, ONE_AT_A_TIME)
def test_what_took_its_place_is_not_in_the_way_when_its_time_is_over(
    world: ScenarioContext,
) -> None:
    for seconds in SECONDS_BEFORE:
        named = []
        # Both ways round, so that a number that stands there by chance does not do.
        for one, other in ((world.first, world.second), (world.second, world.first)):
            world.advance(seconds)  # so that its end lies between two rounds of what cleans up
            old = started(world, world.alice, one)
            world.replace_behind(world.alice, old)
            world.advance(world.capabilities.timeout_seconds + 1)
            result = world.start(world.alice, other)
            named.append(result.code is Code.LIMIT_REACHED and names(world, result.message, one))
            if not result.ok:  # a backend need not see whose it is
                world.advance(MINUTE)
                result = world.start(world.alice, other)
            code = result.code.value
            demand(result.ok, f"what has ended is in the way: {result.message} ({code})")
            done(world.stop(world.alice, other))
            world.advance(MINUTE)
        demand(not all(named), "what has ended is named as in the way of a start")
