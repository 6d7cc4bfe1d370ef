"""Rows, containers, networks and numbers made to agree after a crash or an operator's hand."""

from __future__ import annotations

import logging
from datetime import timedelta

from engines.cre.context import EngineContext
from engines.cre.foreign_rows import settle_rows
from engines.cre.owner import SHARED_FIX, SHARED_LABEL, identity_of, ids_of, known_id
from engines.cre.removal import InstanceRemoval
from engines.cre.runtimes.base import ListedResource
from engines.cre.warm_pool import WarmPool
from engines.errors import BackendUnavailable
from engines.state.instances import Instance, InstanceState

log = logging.getLogger(__name__)


class Repair:
    """What the worker does in every round, and a program when it begins.

    Only what carries this deployment's label is ever touched, and nothing that another database has
    made under the same label.
    """

    def __init__(
        self, parts: EngineContext, pool: WarmPool, removal: InstanceRemoval, lease: timedelta
    ) -> None:
        self._parts = parts
        self._pool = pool
        self._removal = removal
        self._lease = lease
        self._stuck: set[str] = set()
        self._told: frozenset[str] = frozenset()

    def see_whose_rows(self) -> None:
        """Look whether the rows are those that were there when this process began.

        For every round, before anything is removed for a row.
        """
        parts = self._parts
        if known_id(parts.database) != parts.owner:
            name = parts.deployment if parts.settings.cre_deployment is None else None
            before = identity_of(parts.owner, name)
            settle_rows(parts.database, parts.store, parts.clock, before)

    def reconcile(self) -> int:
        """Put right what does not agree; returns how many were put right.

        Raises:
            BackendUnavailable: the runtime cannot be asked.
        """
        self._refresh()
        self.see_whose_rows()
        orphans = self._end_orphans()
        # What is found is looked for first and rows are read last, so that nothing that somebody
        # makes meanwhile is taken for a stray, and no container handed over by the pool either.
        holding = self._parts.reservations.owners(before=self._parts.clock.now() - self._lease)
        found = self._parts.runtime.find(self._parts.deployment)
        waiting = {warm.name for warm in self._pool.rows.all()}
        rows = self._parts.store.all()
        fences = {self._parts.name_of(row): row.id for row in rows}
        known = waiting | set(fences)
        ids = {row.container_id for row in rows}
        kept = known | {resource.name for resource in found if resource.id in ids}
        ours = self._ours(found)
        strays = [our for our in ours if our.name not in kept or _outlived(our, fences)]
        repaired = self._remove_strays(strays)
        for owner in holding - kept:
            self._parts.reservations.drop(owner)
        running = {resource.id for resource in found if resource.running}
        repaired += self._removal.in_parallel(lambda row: self._put_right(row, running), rows)
        self._parts.flags.tidy(ids, self._parts.clock.now())
        return orphans + repaired + self._pool.repair()

    def _end_orphans(self) -> int:
        try:
            return self._removal.end_orphans(self._parts.store.all())
        except BackendUnavailable as error:
            log.warning("whose the instances are is looked up in the next round: %s", error)
            return 0

    def _refresh(self) -> None:
        try:
            self._parts.runtime.refresh()
        except BackendUnavailable as error:
            # Starts are refused until then; what is there is repaired all the same.
            log.warning("instances are not kept apart: %s", error)

    def _ours(self, found: list[ListedResource]) -> list[ListedResource]:
        """What this database has made; says once what another one has."""
        owners = ids_of(self._parts.database)
        others = frozenset(resource.owner for resource in found if resource.owner) - owners
        if others - self._told:
            said = SHARED_LABEL.format(self._parts.deployment, ", ".join(sorted(others)))
            log.error("%s: %s", said, SHARED_FIX)
        self._told |= others
        # What carries no id may be theirs, as soon as there are others.
        mine = owners if others else owners | {""}
        return [resource for resource in found if resource.owner in mine]

    def _remove_strays(self, found: list[ListedResource]) -> int:
        strays: dict[str, int] = {}
        for resource in found:
            strays[resource.name] = max(resource.fence, strays.get(resource.name, 0))
        stuck: set[str] = set()

        def remove(name: str) -> bool:
            # By its fence: a start may have made another of that name since it was found.
            try:
                done = self._parts.runtime.clear(self._parts.deployment, name, strays[name])
            except BackendUnavailable as error:
                stuck.add(f"{name}, which no row knows, cannot be removed: {error}")
                return False
            stuck.update(done.left)
            if done.left or not done:
                return False
            log.warning("removed %s, which no row knows", name)
            return True

        removed = self._parts.rounds.each(remove, strays, lambda name: name)
        for said in sorted(stuck - self._stuck):  # once; it is tried in every round
            log.warning("%s", said)
        self._stuck = stuck
        return removed

    def _put_right(self, row: Instance, running: set[str]) -> bool:
        if self._removal.repair(row):
            return True
        if row.state is not InstanceState.RUNNING or not row.live(self._parts.clock.now()):
            return False
        if row.container_id in running or self._removal.is_running(row):
            return False
        return self._removal.clear_lost(row)


def _outlived(found: ListedResource, fences: dict[str, int]) -> bool:
    """Whether something was made for an earlier row of the name, and could not be removed then."""
    return 0 < found.fence < fences.get(found.name, 0)
