"""The watch over what instances write to the disk that all of them share."""

from __future__ import annotations

import logging

from engines.audit import Action
from engines.cre.context import EngineContext
from engines.cre.removal import InstanceRemoval
from engines.cre.runtimes.base import Overfull
from engines.cre.warm_pool import WarmPool
from engines.state.instances import Instance, InstanceState

log = logging.getLogger(__name__)


class DiskWatch:
    """Ends instances that have written more than their challenge's ``disk_mb``."""

    def __init__(self, parts: EngineContext, pool: WarmPool, removal: InstanceRemoval) -> None:
        self._parts = parts
        self._pool = pool
        self._removal = removal

    def look(self) -> int:
        """End those that are over it; returns how many.

        Raises:
            BackendUnavailable: the runtime cannot be asked.
        """
        full = {
            overfull.name: overfull
            for overfull in self._parts.runtime.overfull(self._parts.deployment)
        }
        if not full:
            return 0
        rows = {self._parts.name_of(row): row for row in self._parts.store.all()}
        # One that came from the warm pool is known by its container.
        by_id = {row.container_id: row for row in rows.values()}
        for found in self._parts.runtime.find(self._parts.deployment):
            if found.id in by_id:
                rows[found.name] = by_id[found.id]
        return self._parts.rounds.each(
            lambda name: self._end(full[name], rows.get(name)), full, lambda name: name
        )

    def _end(self, full: Overfull, row: Instance | None) -> bool:
        log.warning(
            "%s has written %d MB to the disk, of %d it may: it is ended. Raise the challenge's "
            "disk_mb if it needs more",
            *(full.name, full.written_mb, full.allowed_mb),
        )
        if row is None or row.state is not InstanceState.RUNNING:
            # One that waits in the pool or is being started: its maker finds it gone.
            return bool(self._parts.runtime.clear(self._parts.deployment, full.name, full.fence))
        written = {"written_mb": full.written_mb, "disk_mb": full.allowed_mb}
        return self._removal.end_by_engine(row, Action.DISK_FULL, written)
