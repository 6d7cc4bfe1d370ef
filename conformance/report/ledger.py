"""What became of the containers of a run: told of, ended, swept, left.

A scenario's :class:`ContainerTally` is taken when its call is over and before its world is closed:
what still runs then is swept with the world, by the harness and not by the backend. What still runs
when the harness is closed too is left behind, and a problem of the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from conformance.harness import Hook, World
from conformance.report.results import ContainerLedger
from conformance.spec.trace import Trace


@dataclass(frozen=True)
class ContainerTally:
    """The containers of one scenario, or of all those of one backend."""

    made: int = 0
    """Containers that a start told of."""
    ended: int | None = 0
    """Those that no longer ran at the end of the call; None where nobody can tell."""
    untold: int | None = 0
    """Others that ran then: of a warm pool, companions, or what a start leaked."""

    def __add__(self, other: ContainerTally) -> ContainerTally:
        return ContainerTally(
            self.made + other.made,
            _sum(self.ended, other.ended),
            _sum(self.untold, other.untold),
        )


def tally_of(trace: Trace, world: World, hooks: frozenset[Hook]) -> ContainerTally | None:
    """Count what runs now of what starts told of; None when the backend was asked nothing.

    Never raises: a harness that fails here cannot tell.
    """
    if not trace.calls:
        return None
    told = trace.containers
    if Hook.GROUND_TRUTH not in hooks:
        return ContainerTally(len(told), None, None)
    try:
        running = world.running()
    except Exception:  # noqa: BLE001 - a hook that a scenario uses is judged there
        return ContainerTally(len(told), None, None)
    return ContainerTally(len(told), len(told - running), len(running - told))


class Books:
    """The ledgers of a run while it goes on, by the name of the backend.

    Those of several processes are added up with :meth:`merge`; it can be pickled.
    """

    def __init__(self) -> None:
        self._tallies: dict[str, ContainerTally] = {}
        self._left: dict[str, tuple[str, ...] | None] = {}

    def add(self, backend: str, tally: ContainerTally) -> None:
        """A scenario is over."""
        self._tallies[backend] = self._tallies.get(backend, ContainerTally()) + tally

    def closed(self, backend: str, left: Iterable[str] | None) -> None:
        """A harness is closed, and says what is left of its containers if it can tell."""
        now = None if left is None else tuple(left)
        before = self._left.get(backend, ())
        unknown = now is None or before is None
        self._left[backend] = None if unknown else (*(before or ()), *(now or ()))

    def merge(self, other: Books) -> None:
        """Add what another process of the same run has seen."""
        for backend, tally in other._tallies.items():
            self.add(backend, tally)
        for backend, left in other._left.items():
            self.closed(backend, left)

    def ledgers(self, backends: Iterable[str]) -> tuple[ContainerLedger, ...]:
        """One for each of the backends, in this order."""
        return tuple(self._ledger(backend) for backend in backends)

    def _ledger(self, backend: str) -> ContainerLedger:
        tally = self._tallies.get(backend, ContainerTally())
        swept = None if tally.ended is None else tally.made - tally.ended
        left = self._left.get(backend)
        return ContainerLedger(backend, tally.made, tally.ended, swept, tally.untold, left)


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
