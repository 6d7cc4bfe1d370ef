"""ContainerRuntimeEngine with bugs that show in a contest's whole life, one each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from engines.clock import Clock
from engines.cre import ContainerRuntimeEngine
from engines.state.instances import Instance
from mutants.own_clock import Unknown


class TakesAllOfItsName(ContainerRuntimeEngine):
    """Whatever bears the deployment's name and has no row here is removed."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._repair._ours = lambda found: found  # type: ignore[method-assign] # the bug


class GoesByItsOwnClock(ContainerRuntimeEngine):
    """Leases and expiries are judged by the machine's own clock."""

    def __init__(self, *args: Any, clock: Clock, **parts: Any) -> None:
        super().__init__(*args, clock=Unknown(clock), **parts)


class WatchesNoDisk(ContainerRuntimeEngine):
    """Nobody looks what instances write to the disk."""

    def watch(self) -> int:
        return 0


class FlagsForGood(ContainerRuntimeEngine):
    """A flag counts for ever, whatever grace time is declared."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._parts.flags._grace = timedelta(days=365)


class CountsTheOrphans(ContainerRuntimeEngine):
    """What a deleted account has left stands in the way of who gets its number."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        in_the_way, owners = self._removal.clear_unless_live, self._parts.owners

        def counted(row: Instance) -> bool:
            return bool(owners.lost(row)) or in_the_way(row)

        self._removal.clear_unless_live = counted  # type: ignore[method-assign] # the bug
