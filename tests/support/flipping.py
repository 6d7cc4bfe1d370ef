"""What the four processes of ``test_hybrid_parallel`` make their backends from.

It goes to them through a pipe, so it stands in a module that they can import.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from whale.rig import adapter, settings

from engines.clock import SystemClock
from engines.contract import StartResult
from engines.front import Call
from engines.hybrid import Breaker, DialReader, DialStore, HybridBackend, Keys, StartRouter
from engines.state.database import Database
from support.parallel import Player

ALICE = Player("ALICE", 11)
TIMEOUT, RENEWALS = 86_400, 1000


class HasNoRoutes(HybridBackend):
    """Starts where the dial points."""

    def _start(self, call: Call) -> StartResult:
        side = self.sides[self.router.decide(call.challenge_id, call.account).backend]
        call.recorded = True
        return side.start_instance(call.user_id, call.challenge_id, call.team_id)


@dataclass(frozen=True)
class Parts:
    """What a process makes its backend from: it goes through a pipe."""

    routes_url: str
    whales: tuple[str, str]
    folder: Path
    kind: type[HybridBackend] = HybridBackend

    @contextmanager
    def opened(self) -> Iterator[HybridBackend]:
        clock = SystemClock()
        with ExitStack() as stack:
            sides = [
                stack.enter_context(
                    adapter(
                        settings(
                            url, self.folder / f"{number}.db", timeout=TIMEOUT, renewals=RENEWALS
                        ),
                        [ALICE],
                    )
                )
                for number, url in enumerate(self.whales)
            ]
            database = Database(self.routes_url)
            stack.callback(database.close)
            reader = DialReader(DialStore(database, clock), clock, 0.001)
            breaker = Breaker(clock, failures=1000, seconds=1.0)
            router = StartRouter(Keys("a", "b"), reader, lambda: False, breaker, falls_back=True)
            yield self.kind(*sides, router, database=database, clock=clock)
