"""The worker's rounds over several backends, and over the routes between them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from engines.clock import Clock
from engines.contract import ContainerBackend
from engines.errors import BackendUnavailable
from engines.hybrid.router import StartRouter
from engines.hybrid.routes import Route, RouteState, RouteStore

log = logging.getLogger(__name__)


class BackendRounds:
    """Does the rounds of each backend that needs them.

    A backend that the dial sends nothing to rests once it has nothing left, so that CRE's worker
    stops when the last of its instances has ended. Something that starts there all the same, by a
    fallback, wakes it.
    """

    def __init__(
        self,
        sides: Mapping[str, ContainerBackend],
        router: StartRouter,
        routes: RouteStore,
        clock: Clock,
        after_round: Callable[[], None] | None,
    ) -> None:
        self._sides = sides
        self._router = router
        self._routes = routes
        self._clock = clock
        self._after_round = after_round
        self._awake: set[str] = set()

    def expire_due(self) -> int:
        # What is needed now is so for the whole round: its last instance may end right here.
        self._awake = {key for key in self._sides if self.needed(key)}
        return self._on_each(lambda side: side.expire_due())

    def end_orphans(self) -> int:
        return self._on_each(lambda side: side.end_orphans()) + self._sweep()

    def reconcile(self) -> int:
        return self._on_each(lambda side: side.reconcile()) + self._sweep()

    def fill_pool(self) -> int:
        filled = self._on_each(lambda side: side.fill_pool())
        if self._after_round is not None:
            self._after_round()
        return filled

    def watch(self) -> int:
        return self._on_each(lambda side: side.watch())

    def needed(self, key: str) -> bool:
        """Whether a backend's rounds have anything to do."""
        dial_sends = self._router.chosen_by_dial(key)
        return dial_sends or self._sides[key].holds_any()

    def _on_each(self, work: Callable[[ContainerBackend], int]) -> int:
        """Do this on each backend that is awake; one that cannot be asked holds up no other.

        Raises:
            BackendUnavailable: none could be asked.
        """
        done, failed = 0, []
        awake = [key for key in self._sides if key in self._awake or self.needed(key)]
        for key in awake:
            try:
                done += work(self._sides[key])
            except BackendUnavailable as error:
                log.warning("the round of %s is left for later: %s", key, error)
                failed.append(error)
        if len(failed) == len(awake):  # one is always awake: the dial sends to it
            raise failed[0]
        return done

    def _sweep(self) -> int:
        """Drop the routes of what has ended; settle those whose start broke off."""
        swept = 0
        for route in self._routes.all():
            if not route.at_work(self._clock.now()) and route.backend in self._sides:
                try:
                    swept += self._settle(route, self._sides[route.backend])
                except BackendUnavailable:
                    continue  # its backend cannot be asked: it stays as it is
        return swept

    def _settle(self, route: Route, side: ContainerBackend) -> bool:
        who = (route.user_id, route.challenge_id, route.team_id)
        if not side.holds(*who):
            return self._routes.delete(route)
        if route.state is RouteState.HELD or side.get_instance_status(*who) is None:
            return False
        return self._routes.save(route.settled(RouteState.HELD))
