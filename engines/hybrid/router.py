"""Decides for each start: the dial, the breaker, and whether there is a new backend at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engines.breaker import Breaker
from engines.catalog import Catalog, StaticCatalog, may_be_on_whale, not_on_whale
from engines.contract import Code, StartResult
from engines.hybrid.dial import ALL, Dial
from engines.hybrid.routing import RoutedBy, RoutingDecision, choose

_ANSWERED = frozenset(
    {
        *(Code.OK, Code.ALREADY_RUNNING, Code.CAPACITY, Code.CHALLENGE_UNAVAILABLE),
        *(Code.IMAGE_MISSING, Code.START_FAILED, Code.NOT_READY, Code.PORT_UNAVAILABLE),
    }
)
"""Codes of a start that the backend's server was asked for and answered."""
_GOES_HOME = frozenset({Code.UNAVAILABLE, Code.CHALLENGE_UNAVAILABLE})


@dataclass(frozen=True)
class Keys:
    """What the two backends are called in routes and decisions."""

    home: str
    """The one that serves what nobody decided otherwise (CRE)."""
    new: str | None
    """The one that is being rolled out (Whale); None when there is none."""


class StartRouter:
    """Where a start goes.

    Args:
        dial: how the dial stands now.
        use_new: what ``USE_WHALE`` says now.
        falls_back: whether a start may go home when the new backend is down.
        catalog: says which challenges the new backend does not have; it has all unless given.
    """

    def __init__(
        self,
        keys: Keys,
        dial: Callable[[], Dial],
        use_new: Callable[[], bool],
        breaker: Breaker,
        *,
        falls_back: bool,
        catalog: Catalog | None = None,
    ) -> None:
        self.keys = keys
        self.breaker = breaker
        self.falls_back = falls_back
        self._dial = dial
        self._use_new = use_new
        self._catalog = StaticCatalog() if catalog is None else catalog

    @property
    def dial(self) -> Dial:
        """The dial as it stands now."""
        return self._dial()

    def decide(self, challenge_id: int, account: str) -> RoutingDecision:
        """Where a new instance goes."""
        home, new = self.keys.home, self.keys.new
        if new is None:
            return RoutingDecision(home, RoutedBy.ONLY_BACKEND, "no other backend is set up")
        dial = self._dial()
        if dial.paused:
            return RoutingDecision(home, RoutedBy.PAUSED, "the rollout is paused")
        choice = choose(dial.position, self._use_new(), challenge_id, account)
        if choice.new and not may_be_on_whale(self._catalog, challenge_id):
            because = f"the catalogue says that {new} does not have this challenge"
            return RoutingDecision(home, RoutedBy.CATALOGUE, because)
        return RoutingDecision(new if choice.new else home, choice.why, choice.because)

    def kept_home(self) -> frozenset[int]:
        """Challenges that never go to the new backend, wherever the dial stands."""
        return frozenset() if self.keys.new is None else not_on_whale(self._catalog)

    def spared(self, key: str) -> RoutingDecision | None:
        """The decision to go home without asking this backend, while the breaker holds it open.

        To be asked by who is about to ask the backend, and by nobody else: what the breaker lets
        through is the one start that finds out whether the backend is back.
        """
        if key != self.keys.new or not self.falls_back or self.breaker.lets_through():
            return None
        because = f"{key} was not asked: it failed {self.breaker.failures} times in a row"
        return RoutingDecision(self.keys.home, RoutedBy.FALLBACK, because)

    def falls_back_from(self, key: str, result: StartResult) -> bool:
        """Whether this start, which definitely made nothing, may go home instead: the new backend
        is down, or does not have the challenge."""
        return self.falls_back and key == self.keys.new and result.code in _GOES_HOME

    def fallback(self, result: StartResult) -> RoutingDecision:
        """The decision to go home after the new backend answered like this."""
        if result.code is Code.CHALLENGE_UNAVAILABLE:
            because = f"{self.keys.new} does not have this challenge"
            return RoutingDecision(self.keys.home, RoutedBy.UNKNOWN_THERE, because)
        because = f"{self.keys.new} answered {result.code.value}"
        return RoutingDecision(self.keys.home, RoutedBy.FALLBACK, because)

    def heard(self, key: str, result: StartResult) -> None:
        """A backend answered a start: the breaker counts it."""
        if key != self.keys.new:
            return
        if result.code is Code.UNAVAILABLE or not result.definite:
            self.breaker.failed()
        elif result.code in _ANSWERED:
            self.breaker.succeeded()

    def chosen_by_dial(self, key: str) -> bool:
        """Whether the dial as it stands sends any start to this backend."""
        if self.keys.new is None:
            return key == self.keys.home
        dial = self._dial()
        position = dial.position
        percent = position.percent
        if percent is None:
            percent = ALL if self._use_new() else 0
        if key == self.keys.home:
            some = dial.paused or percent < ALL or not all(position.challenges.values())
            return some or bool(self.kept_home())
        return percent > 0 or position.cohort > 0 or any(position.challenges.values())

    def in_play(self) -> tuple[str, ...]:
        """The backends that a start may go to as the dial stands, by a fallback too."""
        home, new = self.keys.home, self.keys.new
        if new is None or not self.chosen_by_dial(new):
            return (home,)
        return (home, new) if self.falls_back or self.chosen_by_dial(home) else (new,)
