"""HybridBackend: the contract over two backends, with a decision where each instance starts.

Three things hold in any number of processes, at any moment of a change of the dial:

- A live instance stays with the backend that started it until it ends.
- No account has two live instances of one challenge, nor more than its limit on both together.
- When the owner of an instance cannot be asked the answer is that it cannot be asked: never
  "you have none", and never a start elsewhere.

The row in ``hybrid_routes`` sees to them: backends are asked for a start only by who holds it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy.exc import SQLAlchemyError

from engines import replies
from engines.audit import Action, with_detail
from engines.cleanup_worker import CleanupWorker
from engines.clock import Clock
from engines.contract import (
    ActionResult,
    Capabilities,
    ContainerBackend,
    InstanceStatus,
    StartResult,
    account_key,
)
from engines.errors import BackendUnavailable
from engines.front import AuditedBackend, Call
from engines.heartbeat import Heartbeat
from engines.hybrid.dial_store import DialStore
from engines.hybrid.intersection import meet
from engines.hybrid.maintenance import BackendRounds
from engines.hybrid.router import StartRouter
from engines.hybrid.routes import (
    Full,
    Route,
    RouteClaimed,
    RouteState,
    RouteStore,
    RouteTaken,
    Wanted,
    routes,
)
from engines.hybrid.routing import RoutedBy, RoutingDecision
from engines.hybrid.shadow import Shadow
from engines.reasons import reason
from engines.state.audit_log import AuditLog, Held, holding_back
from engines.state.database import Database, one_clock
from engines.upkeep import Upkeep

log = logging.getLogger(__name__)

ROUNDS = 5
"""How often a start looks again when others change the same route under its hands."""
LEASE_SECONDS = 330.0
"""How long, at most, a route belongs to who starts its instance: longer than any start takes."""


class HybridBackend(AuditedBackend):
    """Two backends behind one set of calls.

    Args:
        home: serves what nobody decided otherwise, and all that has no route (CRE).
        new: the one that is being rolled out (Whale); None when there is none.
        router: where starts go; its keys are what the backends are called in routes.
        database: where the routes are kept; the backends may have another one.
        after_round: done at the end of every round of the worker, as watching the rollout is.
        shadow: where differences are written while the dial is in shadow mode; None for never.
        owned: closed together with this backend, before the database is let go of.
        upkeep: counts its callers, and deletes what is old enough.
    """

    def __init__(
        self,
        home: ContainerBackend,
        new: ContainerBackend | None,
        router: StartRouter,
        *,
        database: Database,
        clock: Clock | None = None,
        worker_seconds: float = 10.0,
        lease_seconds: float = LEASE_SECONDS,
        after_round: Callable[[], None] | None = None,
        shadow: DialStore | None = None,
        owned: tuple[Callable[[], None], ...] = (),
        upkeep: Upkeep | None = None,
    ) -> None:
        super().__init__(one_clock(database, clock), AuditLog(database), upkeep)
        self.router = router
        self.sides: dict[str, ContainerBackend] = {router.keys.home: home}
        if new is not None and router.keys.new is not None:
            self.sides[router.keys.new] = new
        self.home = home
        self.notice: Callable[[], None] = lambda: None
        """Called after a start away from home, and in every round: what runs there has changed."""
        self._routes = RouteStore(database)
        self._lease = timedelta(seconds=lease_seconds)
        self._heartbeat = Heartbeat(database, self.clock, routes)
        self._shadow = None if shadow is None else Shadow(self.sides, router, shadow)
        self._owned = owned
        self._rounds = BackendRounds(self.sides, router, self._routes, self.clock, after_round)
        self.cleanup_worker = CleanupWorker(self, worker_seconds, database=database)

    @property
    def name(self) -> str:
        return "hybrid"

    @property
    def names(self) -> frozenset[str]:
        return frozenset({self.name}).union(*(side.names for side in self.sides.values()))

    @property
    def capabilities(self) -> Capabilities:
        """What holds on every backend that a start may go to as the dial stands."""
        try:
            keys = self.router.in_play()
        except SQLAlchemyError:
            keys = tuple(self.sides)
        return meet([self.sides[key].capabilities for key in keys])

    def holds_any(self) -> bool:
        return any(side.holds_any() for side in self.sides.values())

    def ends_on_solve(self, challenge_id: int) -> bool:
        return self.home.ends_on_solve(challenge_id)

    def may_be_challenge(self, challenge_id: int) -> bool:
        return self.home.may_be_challenge(challenge_id)

    def recorded_flag(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> str | None:
        side = self._owner(self._routes.find(account_key(user_id, team_id), challenge_id))
        return side.recorded_flag(user_id, challenge_id, team_id)

    def why_ended(self, user_id: int, challenge_id: int, team_id: int | None = None) -> str | None:
        told = (side.why_ended(user_id, challenge_id, team_id) for side in self.sides.values())
        return next((each for each in told if each is not None), None)

    def counting_flags(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> tuple[str, ...]:
        # What has ended may have run elsewhere than what runs now.
        now_there = self._owner(self._routes.find(account_key(user_id, team_id), challenge_id))
        sides = [now_there, *(side for side in self.sides.values() if side is not now_there)]
        return tuple(
            flag for side in sides for flag in side.counting_flags(user_id, challenge_id, team_id)
        )

    def owner_of(self, user_id: int, challenge_id: int, team_id: int | None = None) -> str | None:
        """The key of the backend that has the route of this instance; None: it has no route."""
        route = self._routes.find(account_key(user_id, team_id), challenge_id)
        return None if route is None else route.backend

    def expire_due(self) -> int:
        """Remove what has expired, on each backend that has anything or may get something.

        Raises:
            BackendUnavailable: no backend could be asked. One that could not, beside another that
                could, is left for the next round.
        """
        return self._rounds.expire_due()

    def end_orphans(self) -> int:
        """On each backend, and the routes with them."""
        return self._rounds.end_orphans()

    def reconcile(self) -> int:
        """Make records and containers agree on each backend, and routes with them."""
        return self._rounds.reconcile()

    def fill_pool(self) -> int:
        """Fill the backends' pools, then look after the rollout."""
        filled = self._rounds.fill_pool()
        self.notice()
        return filled

    def watch(self) -> int:
        """End what uses up what all share, on each backend."""
        return self._rounds.watch()

    def alarmed(self) -> bool:
        return any(side.alarmed() for side in self.sides.values())

    def close(self) -> None:
        """Stop the worker and let go of what was made for this backend; instances keep running."""
        self.cleanup_worker.stop()
        if self._shadow is not None:
            self._shadow.close()
        self._heartbeat.close()
        for close in self._owned:
            close()

    # The four calls.

    def _start(self, call: Call) -> StartResult:
        decision = self.router.decide(call.challenge_id, call.account)
        for _ in range(ROUNDS):
            match self._routes.claim(self._wanted(call, decision)):
                case RouteClaimed(route):
                    result: StartResult | None = self._first(call, route, decision)
                case RouteTaken(route):
                    result = self._again(call, route, decision)
                case Full(standing):
                    result = self._at_the_limit(standing)
            if result is not None:
                return result
        return replies.busy_start()

    def _extend(self, call: Call) -> ActionResult:
        route = self._routes.find(call.account, call.challenge_id)
        if route is not None and route.at_work(self.clock.now()):
            return replies.busy()
        side = self._owner(route)
        maximum = self.capabilities.max_extensions
        if side.capabilities.max_extensions > maximum:
            status = self._counted(call, side)
            if status is not None and status["extension_count"] >= maximum:
                return replies.extension_limit(maximum)
        result = side.extend_instance(call.user_id, call.challenge_id, call.team_id)
        call.recorded = True
        return result

    def _stop(self, call: Call, action: Action) -> ActionResult:
        route = self._routes.find(call.account, call.challenge_id)
        if route is not None and route.at_work(self.clock.now()):
            return replies.busy()
        side = self._owner(route)
        result = side.stop_instance(
            call.user_id, call.challenge_id, call.team_id, action is Action.EXPIRED
        )
        call.recorded = True
        if route is not None and not self._may_hold(route):
            self._quietly(lambda: self._routes.delete(route))
        return result

    def _status(self, call: Call) -> InstanceStatus | None:
        route = self._routes.find(call.account, call.challenge_id)
        status = self._shown(call, self._owner(route))
        if self._shadow is not None and not (route and route.at_work(self.clock.now())):
            key = self.router.keys.home if route is None else route.backend
            self._shadow.compare(call, key, status)
        return status

    def _holds(self, call: Call) -> bool:
        if self._routes.find(call.account, call.challenge_id) is not None:
            return True
        return self.home.holds(call.user_id, call.challenge_id, call.team_id)

    def _last_known(self, call: Call) -> InstanceStatus | None:
        side = self._owner(self._routes.find(call.account, call.challenge_id))
        known = side.last_known(call.user_id, call.challenge_id, call.team_id)
        return None if known is None else self._within_limits(known)

    # Starting.

    def _first(self, call: Call, route: Route, decision: RoutingDecision) -> StartResult | None:
        """A start whose route is new."""
        if route.backend != self.router.keys.home:
            # Whatever has no route is at home: started before there were routes, or past us.
            try:
                with self._heartbeat.kept(route.id, route.version, self._lease):
                    there = self._shown(call, self.home)
            except BackendUnavailable:
                self._routes.delete(route)
                raise
            if there is not None:
                found = route.found(self.router.keys.home)
                return self._already(call, found, there) if self._routes.save(found) else None
        return self._launch(call, route, decision, certain=True)

    def _again(self, call: Call, route: Route, decision: RoutingDecision) -> StartResult | None:
        """A start that met a route: a double click, one that is over, or one that broke off."""
        now = self.clock.now()
        if route.at_work(now):
            return replies.busy_start()
        side = self._owner(route)
        live = self._shown(call, side)
        if live is not None:
            if route.uncertain:
                self._quietly(lambda: self._routes.save(route.settled(RouteState.HELD)))
            return self._already(call, route, live)
        certain = not (route.uncertain and self._may_hold(route))
        if not certain:
            because = f"what became of an earlier start on {route.backend} is not known yet"
            decision = RoutingDecision(route.backend, RoutedBy.STICKY, because)
        mine = route.taken(call.user_id, call.team_id, decision.backend, self._lease_end())
        if not self._routes.save(mine):
            return None
        return self._launch(call, mine, decision, certain=certain)

    def _launch(
        self, call: Call, route: Route, decision: RoutingDecision, *, certain: bool
    ) -> StartResult:
        """Ask the backend of a route that is ours.

        ``certain``: it has nothing of this instance, so that a refusal says there is nothing.
        """
        side = self._owner(route)
        spared = self.router.spared(route.backend) if certain else None
        if spared is not None:
            return self._at_home(call, route, spared) or replies.busy_start()
        keeping = self._heartbeat.kept(route.id, route.version, self._lease)
        with keeping, with_detail(**decision.detail()), holding_back() as held:
            result = side.start_instance(call.user_id, call.challenge_id, call.team_id)
        call.recorded = True
        self.router.heard(route.backend, result)
        if result.ok:
            self._write(held)
            if side is not self.home:
                self.notice()
            return self._kept(call, route, side, result)
        nothing = result.definite and not self._may_hold(route)
        if certain and nothing and self.router.falls_back_from(route.backend, result):
            instead = self._at_home(call, route, self.router.fallback(result))
            if instead is not None:
                return instead
            self._write(held)
            return replies.busy_start()
        self._write(held)
        if nothing:
            self._quietly(lambda: self._routes.delete(route))
        else:
            self._quietly(lambda: self._routes.save(route.settled(RouteState.OPEN)))
        return result

    def _at_home(self, call: Call, route: Route, decision: RoutingDecision) -> StartResult | None:
        """Go on at home with a route of which nothing is; None when it is not ours any more."""
        moved = route.taken(call.user_id, call.team_id, decision.backend, self._lease_end())
        if not self._routes.save(moved):
            return None
        return self._launch(call, moved, decision, certain=True)

    def _kept(
        self, call: Call, route: Route, side: ContainerBackend, result: StartResult
    ) -> StartResult:
        """Write down that the instance lives there; or undo it when the route is not ours now."""
        try:
            if self._routes.save(route.settled(RouteState.HELD)):
                return self._adjusted(result)
            now_there = self._routes.find(call.account, call.challenge_id)
        except SQLAlchemyError as error:
            # It lives and the route names its backend: whoever comes next settles the rest.
            log.error("a route was not settled: %s", reason(error))
            return self._adjusted(result)
        if now_there is not None and now_there.backend == route.backend:
            return self._adjusted(result)
        log.warning("a start lost its route to another and is undone")
        side.stop_instance(call.user_id, call.challenge_id, call.team_id)
        return replies.busy_start()

    def _at_the_limit(self, standing: tuple[Route, ...]) -> StartResult | None:
        """What stands in the way of one more; None when something of it was over."""
        now = self.clock.now()
        if any(route.at_work(now) for route in standing):
            return replies.busy_start()
        for route in standing:
            if self._is_over(route):
                self._routes.delete(route)
                return None
        if any(route.uncertain for route in standing):
            return replies.busy_start()
        names = ", ".join(f"challenge {route.challenge_id}" for route in standing)
        return replies.limit_reached(names)

    def _is_over(self, route: Route) -> bool:
        side = self._owner(route)
        try:
            live = side.get_instance_status(route.user_id, route.challenge_id, route.team_id)
        except BackendUnavailable:
            return False  # what cannot be asked about may live, and stands in the way
        if live is not None:
            return False
        return not (route.uncertain and self._may_hold(route))

    # Parts of the answers.

    def _wanted(self, call: Call, decision: RoutingDecision) -> Wanted:
        return Wanted(
            account=call.account,
            challenge_id=call.challenge_id,
            user_id=call.user_id,
            team_id=call.team_id,
            backend=decision.backend,
            limit=self.capabilities.account_limit,
            until=self._lease_end(),
        )

    def _lease_end(self) -> datetime:
        return self.clock.now() + self._heartbeat.lease(self._lease)

    def _owner(self, route: Route | None) -> ContainerBackend:
        """The backend of a route; what has none is at home.

        Raises:
            BackendUnavailable: this process has no such backend.
        """
        if route is None:
            return self.home
        if route.backend not in self.sides:
            raise BackendUnavailable(f"the backend {route.backend} is not set up in this process")
        return self.sides[route.backend]

    def _may_hold(self, route: Route) -> bool:
        """Whether the route's backend may have anything of the instance; when in doubt, yes."""
        try:
            side = self._owner(route)
            return side.holds(route.user_id, route.challenge_id, route.team_id)
        except (BackendUnavailable, SQLAlchemyError):
            return True

    def _shown(self, call: Call, side: ContainerBackend) -> InstanceStatus | None:
        status = side.get_instance_status(call.user_id, call.challenge_id, call.team_id)
        return None if status is None else self._within_limits(status)

    def _counted(self, call: Call, side: ContainerBackend) -> InstanceStatus | None:
        """What tells how often an instance was extended: the record where it cannot be asked about,
        for then the extend itself says why."""
        ids = call.user_id, call.challenge_id, call.team_id
        try:
            return side.get_instance_status(*ids)
        except BackendUnavailable:
            known = side.last_known(*ids)
            if known is None:
                raise
            return known

    def _within_limits(self, status: InstanceStatus) -> InstanceStatus:
        maximum = min(status["max_extensions"], self.capabilities.max_extensions)
        return cast(InstanceStatus, {**status, "max_extensions": maximum})

    def _adjusted(self, result: StartResult) -> StartResult:
        return StartResult(
            result.ok,
            result.message,
            self._within_limits(cast(InstanceStatus, result.instance)),
            code=result.code,
            retry_after=result.retry_after,
            definite=result.definite,
        )

    def _already(self, call: Call, route: Route, live: InstanceStatus) -> StartResult:
        because = f"it is live on {route.backend}"
        call.detail.update(RoutingDecision(route.backend, RoutedBy.STICKY, because).detail())
        return replies.already_running(live)

    def _write(self, held: Held) -> None:
        """Write the events of a call that ends here; one that goes on elsewhere is told there."""
        for write in held:
            self._quietly(write, "an event was not written")

    def _quietly(
        self, change: Callable[[], object], otherwise: str = "a route was not settled"
    ) -> None:
        """Tidy up after the backend has done its part; the worker settles what is left."""
        try:
            change()
        except SQLAlchemyError as error:
            log.error("%s: %s", otherwise, reason(error))
