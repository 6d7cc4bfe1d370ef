"""A harness around a bare backend, for a first look at a backend that has no harness yet.

It offers no hooks: scenarios that move time, look at real containers or fetch an address are not
applicable. Write a :class:`conformance.harness.Harness` of your own to have those checked too.
"""

from __future__ import annotations

from collections.abc import Callable

from conformance.harness import Challenges, Harness, Options, Player, World
from conformance.harnesses.cast import crowd
from engines.contract import ContainerBackend

FIRST, SECOND, UNKNOWN = 1, 2, 999_999_999
_PLAYERS, _TEAMS, _IDS_PER_WORLD = 3, 2, 10


class BareWorld(World):
    """A backend from the factory, and players that no world before had."""

    def __init__(self, backend: ContainerBackend, number: int) -> None:
        base = 1 + number * _IDS_PER_WORLD
        self.backend = backend
        self.challenges = Challenges(first=FIRST, second=SECOND, unknown=UNKNOWN)
        self.players = tuple(Player(base + index) for index in range(_PLAYERS))
        mates = range(base + _PLAYERS, base + _PLAYERS + 2 * _TEAMS)
        teams = backend.capabilities.teams
        self.mates = tuple(
            Player(user, base + index // 2) for index, user in enumerate(mates) if teams
        )

    def crowd(self, number: int) -> tuple[Player, ...]:
        return crowd(number)


class BareHarness(Harness):
    """Calls ``factory`` for a fresh backend for every scenario.

    The backend must know the challenges 1 and 2, and no challenge 999999999.
    """

    kind = "a bare backend: no hooks"

    def __init__(self, factory: Callable[[], ContainerBackend], made: ContainerBackend) -> None:
        self._factory = factory
        self._unused: ContainerBackend | None = made
        self._made = [made]
        self._worlds = 0

    def world(self, options: Options) -> World:
        backend, self._unused = self._unused or self._factory(), None
        if not any(backend is known for known in self._made):
            self._made.append(backend)
        self._worlds += 1
        return BareWorld(backend, self._worlds)

    def close(self) -> None:
        # Not before the end: a factory may return one and the same backend every time.
        while self._made:
            self._made.pop().close()
