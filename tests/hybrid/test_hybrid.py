"""HybridBackend over the engine and a fake Whale: who owns what, and what when Whale fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from hybrid.stage import ALICE, BOB, TIMEOUT, Site

from engines.audit import Action
from engines.contract import Code, ExtendMode, Scope
from engines.cre.runtimes.memory import MemoryRuntime
from engines.errors import BackendUnavailable
from engines.front import Call
from engines.heartbeat import LAPSE_SECONDS
from engines.hybrid import Position, shadow
from engines.hybrid.backend import LEASE_SECONDS
from engines.hybrid.dial import ALL
from engines.hybrid.routes import RouteClaimed, RouteStore, Wanted, lease, routes
from engines.state.figures import read_figures
from engines.state.lease import Lease
from engines.whale.api import WhaleAPI

NONE, EVERYTHING = Position(0), Position(ALL)
REFUSED: dict[str, object] = {"kind": "refuse", "seconds": 3600.0}
LOST_REQUEST: dict[str, object] = {
    "kind": "reset_before_headers",
    "method": "POST",
    "when": "before",
}


def routed(site: Site, action: Action) -> tuple[str, Any]:
    """Backend and reason of the one event of this action."""
    (event,) = site.events(action)
    return event.backend, event.metadata.get("routed_by")


def route_of(site: Site, user: int, challenge: int) -> str | None:
    return site.hybrid.owner_of(user, challenge)


# Where a start goes, and that it is written down.


def test_a_start_says_in_the_audit_log_why_it_went_where(here: Site) -> None:
    here.turn(Position(0, challenges={1: True}))
    assert here.start(ALICE, 1).instance["backend"] == "whale"
    assert here.start(BOB, 2).instance["backend"] == "cre"
    told = {event.backend: event.metadata for event in here.events(Action.STARTED)}
    assert told["whale"]["routed_by"] == "challenge_flag"
    assert told["whale"]["routed_because"] == "the challenge is on"
    assert told["cre"]["routed_by"] == "percentage"
    assert len(here.events()) == 2, "one call is one event"


@pytest.mark.settings(use_whale=True)
def test_use_whale_decides_until_the_dial_is_set(here: Site) -> None:
    assert here.start(ALICE, 1).instance["backend"] == "whale"
    assert routed(here, Action.STARTED) == ("whale", "setting")
    here.turn(NONE)
    assert here.start(BOB, 1).instance["backend"] == "cre"


def test_a_live_instance_stays_whatever_the_dial_says(here: Site) -> None:
    before = here.start(ALICE, 1).instance
    here.turn(EVERYTHING)
    again = here.start(ALICE, 1)
    assert (again.code, again.instance["container_id"]) == (
        Code.ALREADY_RUNNING,
        before["container_id"],
    )
    assert routed(here, Action.START_REPEATED)[1] == "sticky"
    assert here.hybrid.extend_instance(ALICE, 1).ok
    status = here.status(ALICE, 1)
    assert status is not None
    assert (status["backend"], status["extension_count"]) == ("cre", 1)
    assert here.on_whale() == set()
    assert here.hybrid.stop_instance(ALICE, 1).ok
    assert here.on_cre() == set()
    assert here.start(ALICE, 1).instance["backend"] == "whale"


def test_a_pause_sends_everything_home_and_keeps_the_position(here: Site) -> None:
    here.turn(EVERYTHING, paused=True)
    assert here.start(ALICE, 1).instance["backend"] == "cre"
    assert routed(here, Action.STARTED) == ("cre", "paused")
    assert here.dial().position == EVERYTHING


@pytest.mark.settings(cre_account_limit=3)
def test_the_limit_holds_across_both(here: Site) -> None:
    assert here.hybrid.capabilities.account_limit == 3, "a dial at nothing changes nothing"
    assert here.start(ALICE, 1).ok
    assert here.start(ALICE, 2).ok
    here.turn(EVERYTHING)
    assert here.hybrid.capabilities.account_limit == 1
    refused = here.start(ALICE, 3)
    assert refused.code is Code.LIMIT_REACHED
    assert "challenge 1, challenge 2" in refused.message
    assert here.hybrid.stop_instance(ALICE, 1).ok
    assert here.start(ALICE, 3).code is Code.LIMIT_REACHED
    assert here.hybrid.stop_instance(ALICE, 2).ok
    assert here.start(ALICE, 3).ok


def test_what_is_promised_holds_on_both(here: Site) -> None:
    here.turn(Position(ALL // 2))
    both = here.hybrid.capabilities
    assert (both.scope, both.extend) == (Scope.PER_ACCOUNT, ExtendMode.MIXED)
    assert not both.detects_loss
    assert not both.isolation
    assert not both.lapse_seconds, "Whale does not say how long a dead start is in the way"
    here.turn(Position(0))
    assert here.hybrid.capabilities.lapse_seconds == LAPSE_SECONDS
    here.turn(EVERYTHING)
    assert here.hybrid.capabilities.extend is ExtendMode.MIXED, "a start may fall back"
    here.hybrid.router.falls_back = False
    assert here.hybrid.capabilities == here.hybrid.sides["whale"].capabilities


@pytest.mark.settings(whale_max_extensions=2)
def test_the_lower_limit_of_extensions_holds_on_both(here: Site) -> None:
    here.turn(Position(0, challenges={2: True}))
    assert here.hybrid.extend_instance(ALICE, 1).code is Code.NOT_FOUND
    assert here.start(ALICE, 1).instance["max_extensions"] == 2
    told = [here.hybrid.extend_instance(ALICE, 1).code for _ in range(3)]
    assert told == [Code.OK, Code.OK, Code.EXTENSION_LIMIT]


@pytest.mark.settings(cre_max_extensions=2)
def test_an_extend_by_who_is_not_let_in_says_so_where_the_limits_differ(here: Site) -> None:
    here.turn(EVERYTHING)
    assert here.start(ALICE, 1).ok
    without_her_token = replace(here, tokens={}).process()
    refused = without_her_token.extend_instance(ALICE, 1)
    without_her_token.close()
    assert (refused.code, refused.definite) == (Code.UNAUTHENTICATED, True)


def test_what_has_expired_counts_for_no_limit_before_the_worker_comes(here: Site) -> None:
    here.turn(NONE)
    assert here.start(ALICE, 1).ok
    here.advance(3601)
    assert here.start(ALICE, 2).ok


def test_an_expired_instance_is_no_tie(here: Site) -> None:
    assert here.start(ALICE, 1).ok
    here.advance(3601)
    here.turn(EVERYTHING)
    assert here.start(ALICE, 1).instance["backend"] == "whale"
    here.work()
    assert here.on_cre() == set()
    assert len(here.on_whale()) == 1
    assert len(here.events(Action.EXPIRED)) == 1


# Fallback.


def test_a_start_falls_back_when_whale_is_definitely_down(here: Site) -> None:
    here.turn(EVERYTHING)
    here.fake.inject(REFUSED)
    started = here.start(ALICE, 1)
    here.fake.lift_faults()
    assert (started.code, started.instance["backend"]) == (Code.OK, "cre")
    assert routed(here, Action.STARTED) == ("cre", "fallback")
    assert len(here.events()) == 1, "a start that fell back is one event"
    assert here.status(ALICE, 1) is not None
    assert here.on_whale() == set()


def test_so_is_one_whose_whale_goes_down_between_look_and_start(
    here: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = WhaleAPI.create

    def refused_by_then(api: WhaleAPI, user_id: int, challenge_id: int) -> None:
        here.fake.inject(REFUSED)
        create(api, user_id, challenge_id)

    here.turn(EVERYTHING)
    monkeypatch.setattr(WhaleAPI, "create", refused_by_then)
    started = here.start(ALICE, 1)
    here.fake.lift_faults()
    assert (started.code, started.instance["backend"]) == (Code.OK, "cre")
    assert [(e.action, e.backend) for e in here.events()] == [(Action.STARTED, "cre")]
    assert here.on_whale() == set()


def test_no_start_goes_elsewhere_while_the_outcome_is_not_known(here: Site) -> None:
    here.turn(EVERYTHING)
    here.fake.inject(LOST_REQUEST)
    result = here.start(ALICE, 1)
    here.fake.lift_faults()
    assert (result.code, result.definite) == (Code.UNAVAILABLE, False)
    assert here.on_cre() == set()
    here.turn(NONE)
    assert here.start(ALICE, 1).code is Code.BUSY, "Whale may be at work on it still"
    assert here.start(ALICE, 2).code is Code.BUSY, "it would be one too many"
    assert here.on_cre() == set()
    assert here.hybrid.owner_of(ALICE, 1) == "whale"
    here.advance(200)
    here.work()
    assert here.start(ALICE, 1).instance["backend"] == "cre"
    assert here.on_whale() == set()


def test_nor_while_it_is_not_known_what_a_refusal_left_on_whale(
    here: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot_be_asked(*_who: object) -> bool:
        raise BackendUnavailable("whale is away")

    here.turn(EVERYTHING)
    monkeypatch.setattr(here.hybrid.sides["whale"], "holds", cannot_be_asked)
    here.fake.inject(REFUSED)
    refused = here.start(ALICE, 1)
    here.fake.lift_faults()
    assert (refused.code, refused.definite) == (Code.UNAVAILABLE, True)
    assert here.on_cre() == set()
    assert route_of(here, ALICE, 1) == "whale"


def test_nor_after_a_refusal_of_a_start_whose_first_try_was_not_known(
    here: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.turn(EVERYTHING)
    here.fake.inject(LOST_REQUEST)
    assert not here.start(ALICE, 1).definite
    here.fake.lift_faults()
    whale = here.hybrid.sides["whale"]
    first = whale.holds
    asked: list[bool] = []

    def over_by_now(*who: Any) -> bool:
        asked.append(first(*who) and not asked)
        return asked[-1]

    monkeypatch.setattr(whale, "holds", over_by_now)
    monkeypatch.setattr(whale, "get_instance_status", lambda *_who: None)
    here.fake.inject(REFUSED)
    refused = here.start(ALICE, 1)
    here.fake.lift_faults()
    assert asked == [True, False]
    assert (refused.code, refused.definite) == (Code.UNAVAILABLE, True)
    assert here.on_cre() == set()


def test_a_start_on_whale_is_noticed(here: Site) -> None:
    """The site notes the flag that Whale has given."""
    noticed: list[str] = []
    here.hybrid.notice = lambda: noticed.append("whale")
    here.turn(Position(0, challenges={1: True}))
    assert here.start(BOB, 2).ok
    assert not noticed
    assert here.start(ALICE, 1).ok
    assert noticed == ["whale"]


def test_a_start_whose_answer_was_lost_is_whales(here: Site) -> None:
    here.turn(EVERYTHING)
    here.fake.inject({**LOST_REQUEST, "when": "after"})
    assert here.start(ALICE, 1).instance["backend"] == "whale"
    here.fake.lift_faults()
    assert here.on_cre() == set()


def test_whale_that_refuses_is_not_down(here: Site) -> None:
    here.turn(EVERYTHING)
    here.fake.patch_config({"docker_max_container_count": "-1"})
    refused = here.start(ALICE, 1)
    assert refused.code is Code.CAPACITY
    assert here.on_cre() == set()
    assert route_of(here, ALICE, 1) is None


def test_whale_down_and_no_fallback(here: Site) -> None:
    here.hybrid.router.falls_back = False
    here.turn(EVERYTHING)
    here.fake.inject(REFUSED)
    refused = here.start(ALICE, 1)
    here.fake.lift_faults()
    assert (refused.code, refused.definite) == (Code.UNAVAILABLE, True)
    assert here.on_cre() == set()
    assert route_of(here, ALICE, 1) is None, "what made nothing ties to nothing"


@pytest.mark.settings(rollout_breaker_failures=2, rollout_breaker_seconds=30.0)
def test_the_breaker_spares_starts_the_wait(here: Site) -> None:
    here.turn(EVERYTHING)
    here.fake.inject(REFUSED)
    for user in (ALICE, BOB):
        assert here.start(user, 1).ok
        assert here.hybrid.stop_instance(user, 1).ok
    here.fake.lift_faults()
    assert here.start(ALICE, 1).instance["backend"] == "cre"
    last = here.events(Action.STARTED)[-1]
    assert last.metadata["routed_because"] == "whale was not asked: it failed 2 times in a row"
    here.advance(31)
    # Starts that ask nobody do not use up the one that finds out whether Whale is back.
    assert here.start(ALICE, 1).code is Code.ALREADY_RUNNING
    assert here.start(ALICE, 2).code is Code.LIMIT_REACHED
    assert here.start(BOB, 1).instance["backend"] == "whale"
    assert not here.hybrid.router.breaker.open


def test_while_the_owner_is_down_nobody_says_none(here: Site) -> None:
    here.turn(EVERYTHING)
    container = here.start(ALICE, 1).instance["container_id"]
    here.turn(NONE)
    here.fake.inject(REFUSED)
    with pytest.raises(BackendUnavailable):
        here.status(ALICE, 1)
    known = here.hybrid.last_known(ALICE, 1)
    assert known is not None
    assert known["container_id"] == container
    assert here.hybrid.last_known(ALICE, 2) is None
    assert here.start(ALICE, 2).code is Code.LIMIT_REACHED, "it may live, so it stands in the way"
    for result in (
        here.start(ALICE, 1),
        here.hybrid.extend_instance(ALICE, 1),
        here.hybrid.stop_instance(ALICE, 1),
    ):
        assert (result.code, result[0]) == (Code.UNAVAILABLE, False)
        assert result.retry_after
    here.fake.lift_faults()
    assert here.on_cre() == set()
    assert here.status(ALICE, 1) is not None


def test_whoever_was_on_a_whale_that_is_gone_plays_on_once_it_is_forgotten(here: Site) -> None:
    here.turn(EVERYTHING)
    lost = here.start(ALICE, 1).instance["container_id"]
    here.fake.inject(REFUSED)
    here.turn(NONE, paused=True)
    here.advance(10 * TIMEOUT)
    assert here.start(ALICE, 2).code is Code.LIMIT_REACHED, "nobody knows whether it is over"

    RouteStore(here.database).forget("whale", here.hybrid.clock.now())

    assert here.status(ALICE, 1) is None
    assert here.start(ALICE, 1).instance["backend"] == "cre"
    # Whale comes back after all: what is over there ends, and nothing else.
    here.fake.lift_faults()
    here.work()
    assert lost not in here.on_whale()
    assert here.status(ALICE, 1) is not None


# Routes that somebody left, or that nobody made.


def abandoned(here: Site, backend: str) -> None:
    """A process died after its claim."""
    until = lease(here.hybrid.clock.now(), LEASE_SECONDS)
    claim = RouteStore(here.database).claim(
        Wanted(f"user:{ALICE}", 1, ALICE, None, backend, 1, until)
    )
    assert isinstance(claim, RouteClaimed)


@pytest.mark.parametrize("backend", ["cre", "whale"])
def test_a_claim_whose_process_died_is_in_the_way_until_its_lease_ends(
    here: Site, backend: str
) -> None:
    abandoned(here, backend)
    for result in (
        here.start(ALICE, 1),
        here.start(ALICE, 2),
        here.hybrid.stop_instance(ALICE, 1),
        here.hybrid.extend_instance(ALICE, 1),
    ):
        assert result.code is Code.BUSY
        assert result.retry_after
    here.advance(LEASE_SECONDS + 1)
    assert here.start(ALICE, 1).instance["backend"] == "cre"


def test_the_worker_drops_a_claim_whose_process_died(here: Site) -> None:
    abandoned(here, "whale")
    here.advance(LEASE_SECONDS + 1)
    here.work()
    assert route_of(here, ALICE, 1) is None


def test_a_route_that_was_not_settled_is_settled_by_the_worker(here: Site) -> None:
    assert here.start(ALICE, 1).ok
    with here.database.write() as connection:
        connection.execute(routes.update().values(state="starting"))
    here.advance(LEASE_SECONDS + 1)
    here.work()
    with here.database.read() as connection:
        assert connection.execute(sa.select(routes.c.state)).scalars().all() == ["held"]
    assert here.hybrid.stop_instance(ALICE, 1).ok


@pytest.mark.parametrize("meanwhile", ["whale", "cre", None])
def test_a_start_that_outlives_its_lease_is_undone_unless_it_is_there(
    here: Site, meanwhile: str | None
) -> None:
    """Another process has given the key to a backend meanwhile, or to none."""
    cre = here.hybrid.home
    inner = cre.start_instance

    def slow(*ids: Any) -> Any:
        result = inner(*ids)
        with here.database.write() as connection:
            if meanwhile is None:
                connection.execute(routes.delete())
            else:
                given = {"backend": meanwhile, "version": routes.c.version + 1}
                connection.execute(routes.update().values(state="held", **given))
        return result

    cre.start_instance = slow  # type: ignore[method-assign] # a pause of this process
    result = here.start(ALICE, 1)
    kept = meanwhile == "cre"
    assert (result.code, result.ok) == (Code.OK if kept else Code.BUSY, kept)
    assert len(here.on_cre()) == kept


def test_what_runs_on_the_engine_without_a_route_is_found_and_not_doubled(here: Site) -> None:
    before = here.hybrid.home.start_instance(ALICE, 1).instance
    here.turn(EVERYTHING)
    status = here.status(ALICE, 1)
    assert status is not None
    assert status["container_id"] == before["container_id"]
    assert here.hybrid.extend_instance(ALICE, 1).ok
    assert here.start(ALICE, 1).code is Code.ALREADY_RUNNING
    assert route_of(here, ALICE, 1) == "cre"
    assert here.on_whale() == set()
    assert here.hybrid.stop_instance(ALICE, 1).ok
    assert route_of(here, ALICE, 1) is None


def test_a_backend_that_this_process_does_not_have_cannot_be_asked(here: Site) -> None:
    here.turn(EVERYTHING)
    assert here.start(ALICE, 1).ok
    without = replace(here, settings=replace(here.settings, whale_api_url=None)).process()
    with pytest.raises(BackendUnavailable, match="whale is not set up in this process"):
        without.get_instance_status(ALICE, 1)
    assert without.stop_instance(ALICE, 1).code is Code.UNAVAILABLE
    assert without.start_instance(ALICE, 1).code is Code.UNAVAILABLE
    assert without.start_instance(BOB, 1).instance["backend"] == "cre", "no dial turns it"
    without.cleanup_worker.run_once()
    assert route_of(here, ALICE, 1) == "whale", "only who has it knows what has ended there"
    without.close()


# The worker.


@pytest.mark.settings(use_whale=True)
def test_the_engines_rounds_stop_once_nothing_of_it_is_live(here: Site) -> None:
    here.turn(NONE)
    assert here.start(ALICE, 1).ok
    here.turn(EVERYTHING)
    rounds: list[str] = []
    cre = here.hybrid.home
    inner = cre.reconcile

    def counted() -> int:
        rounds.append("cre")
        return inner()

    cre.reconcile = counted  # type: ignore[method-assign] # what is counted
    here.work()
    assert rounds == ["cre"], "an instance of it is live"
    here.advance(3601)
    here.work()
    assert rounds == ["cre"] * 2
    assert here.on_cre() == set()
    here.work()
    assert rounds == ["cre"] * 2, "nothing of it is left"


def test_a_whale_that_is_down_does_not_hold_up_the_engines_rounds(here: Site) -> None:
    here.turn(Position(0, challenges={1: True}))
    assert here.start(ALICE, 1).ok
    assert here.start(BOB, 2).ok
    here.advance(3601)
    here.fake.inject(REFUSED)
    assert here.hybrid.expire_due() == 1
    here.fake.lift_faults()
    assert here.on_cre() == set()


def test_a_round_says_so_when_it_can_ask_none_that_needs_it(here: Site) -> None:
    runtime = here.ground.runtime
    assert isinstance(runtime, MemoryRuntime)
    here.turn(Position(0))
    assert here.start(BOB, 2).ok
    with runtime.outage(), pytest.raises(BackendUnavailable):
        here.hybrid.reconcile()
    here.turn(Position(0, challenges={1: True}))
    with runtime.outage():
        assert here.hybrid.reconcile() == 0, "Whale can be asked"


def test_a_round_says_how_many_routes_it_has_put_right(here: Site) -> None:
    here.turn(Position(0, challenges={1: True}))
    assert here.start(ALICE, 1).ok
    assert here.start(BOB, 2).ok
    here.advance(3601)
    assert here.hybrid.expire_due() == 2
    assert here.hybrid.reconcile() == 2
    assert here.hybrid.reconcile() == 0


def test_the_metrics_know_its_worker_for_both(here: Site) -> None:
    here.turn(Position(0, challenges={1: True}))
    assert here.start(ALICE, 1).ok
    assert here.start(BOB, 2).ok
    now = here.hybrid.clock.now()
    before = read_figures(here.database, now).backlogs
    assert {name: each.worker_alive for name, each in before.items()} == {
        "cre": False,
        "whale": False,
    }
    assert Lease(here.database, here.hybrid.clock, "cleanup hybrid", 30.0).acquire()
    after = read_figures(here.database, now).backlogs
    assert all(each.worker_alive for each in after.values())


# Shadow mode.


def test_shadow_mode_writes_down_what_only_the_other_one_has(here: Site) -> None:
    here.turn(NONE, shadow=True)
    mine = here.start(ALICE, 1).instance
    whale = here.hybrid.sides["whale"]
    strange = whale.start_instance(ALICE, 1).instance
    status = here.status(ALICE, 1)
    assert status is not None
    assert status["container_id"] == mine["container_id"], "the player sees the owner's"
    here.hybrid.close()
    (found,) = [change for change in here.store.changes() if change.action == "difference"]
    assert strange["container_id"] in found.after
    assert f"user:{ALICE}, challenge 1" in found.why


def test_a_difference_is_written_down_once_and_not_without_end(
    here: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow, "REMEMBERED", 2)
    here.turn(NONE, shadow=True)
    compared = shadow.Shadow(here.hybrid.sides, here.hybrid.router, here.store)
    whale = here.hybrid.sides["whale"]
    for user, challenge in ((ALICE, 1), (ALICE, 1), (BOB, 1), (ALICE, 2), (ALICE, 2)):
        whale.start_instance(user, challenge)
        done = compared.compare(Call("cre", here.hybrid.clock, user, challenge, None), "cre", None)
        assert done is not None
        done.result()
        if challenge == 1 and user == BOB:
            assert whale.stop_instance(ALICE, 1).ok
    compared.close()
    told = [change.why for change in here.store.changes() if change.action == "difference"]
    assert [why.partition(":")[2][:13] for why in reversed(told)] == [
        f"{ALICE}, challenge",
        f"{BOB}, challenge",
    ]


def test_a_start_under_way_is_no_difference(here: Site) -> None:
    here.turn(NONE, shadow=True)
    abandoned(here, "cre")
    assert here.hybrid.sides["whale"].start_instance(ALICE, 1).ok
    assert here.status(ALICE, 1) is None
    here.hybrid.close()
    assert not [change for change in here.store.changes() if change.action == "difference"]


def test_without_shadow_mode_one_backend_is_asked(here: Site) -> None:
    assert here.start(ALICE, 1).ok
    here.fake.inject(REFUSED)
    assert here.status(ALICE, 1) is not None
    here.fake.lift_faults()


def test_the_watch_over_the_disk_goes_on_behind_the_dial(here: Site) -> None:
    """moby/moby#28302: one player fills the disk of the machine that all containers share."""
    here.turn(NONE)
    runtime = here.ground.runtime
    assert isinstance(runtime, MemoryRuntime)
    runtime.write(here.start(ALICE, 1).instance["container_id"], 256)
    assert here.hybrid.watch() == 1
    assert here.status(ALICE, 1) is None
    assert routed(here, Action.DISK_FULL) == ("cre", None)
    assert "256 MB" in str(here.hybrid.why_ended(ALICE, 1))
    assert here.hybrid.why_ended(BOB, 1) is None
