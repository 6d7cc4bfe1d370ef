"""The warm pool: containers that are ready before anybody asks, each with a flag nobody has seen.

A start claims one in the transaction of its own row (:mod:`engines.cre.admission`). Here the pool
is filled, drained when a challenge or its images change, and put right after a crash.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime

from sqlalchemy.engine import Connection

from engines.catalog import ChallengeSpec
from engines.cre.admission import has_room
from engines.cre.container_launcher import ContainerLauncher
from engines.cre.context import EngineContext
from engines.cre.evidence import FailureEvidence
from engines.cre.flags import new_flag
from engines.cre.names import warm_name
from engines.cre.pool_store import PoolStore, Warm, WarmState
from engines.errors import BackendUnavailable, RuntimeFault
from engines.printable import printable

log = logging.getLogger(__name__)


class WarmPool:
    """Keeps as many containers ready as each challenge's ``warm`` says, where there is room."""

    def __init__(self, parts: EngineContext, launcher: ContainerLauncher) -> None:
        self.rows = PoolStore(parts.database)
        self._parts = parts
        self._launcher = launcher

    def fill(self) -> int:
        """Drain what is of no use any more and make what is missing; returns how many were made.

        Raises:
            BackendUnavailable: the runtime cannot be asked.
        """
        wanted = {spec.id: spec for spec in self._parts.catalog.all() if self._wanted(spec)}
        rows = self.rows.all()
        if not wanted and not rows:
            return 0
        prints = {number: self._fingerprint(spec) for number, spec in wanted.items()}
        fresh = dict.fromkeys(wanted, 0)
        for row in rows:
            if row.state not in (WarmState.READY, WarmState.MAKING):
                continue
            of_use = row.fingerprint == prints.get(row.challenge_id)
            spare = of_use and fresh[row.challenge_id] >= wanted[row.challenge_id].warm
            if of_use and not spare:
                fresh[row.challenge_id] += 1
            elif row.state is WarmState.READY:
                self._retire(row)
        return sum(
            self._make_many(wanted[number], fingerprint, wanted[number].warm - fresh[number])
            for number, fingerprint in prints.items()
            if fingerprint is not None
        )

    def give_way(self) -> bool:
        """Remove one waiting container, so that a start has its place; False when none waits."""
        return any(self._retire(row) for row in self.rows.all() if row.state is WarmState.READY)

    def alive(self, warm: Warm) -> bool:
        """Whether a claimed container still runs; it is given back when that cannot be asked."""
        try:
            return self._parts.runtime.is_running(str(warm.container_id))
        except BackendUnavailable:
            self.rows.save(warm.given_back())
            raise

    def hand_over(self, connection: Connection, warm: Warm, to: str) -> bool:
        """Forget a claimed container, which is the instance ``to`` from now on, in the caller's
        transaction; False when its claim has run out."""
        self._parts.reservations.hand_over(connection, warm.name, to)
        return self.rows.delete(connection, warm)

    def discard(self, warm: Warm) -> bool:
        """Remove a container and its row; False when another was faster."""
        self._parts.runtime.clear(self._parts.deployment, warm.name, warm.id)
        return self._forget(warm)

    def repair(self) -> int:
        """Clear away what somebody who died was at work on, and what has died while waiting."""
        now = self._parts.clock.now()

        def put_right(row: Warm) -> bool:
            dead = row.abandoned(now) or (row.state is WarmState.READY and self._dead(row))
            return dead and self._retire(row)

        return self._parts.rounds.each(put_right, self.rows.all(), lambda row: row.name)

    def _dead(self, row: Warm) -> bool:
        return not self._parts.runtime.is_running(str(row.container_id))

    def _wanted(self, spec: ChallengeSpec) -> bool:
        return spec.warm > 0 and spec.startable and not self._parts.over(spec)

    def _fingerprint(self, spec: ChallengeSpec) -> str | None:
        """Of a challenge and its images as they are now; None when one of them is missing."""
        ids = [self._parts.runtime.image_id(image) for image in spec.images]
        if None in ids:
            log.warning("no containers are kept ready for challenge %d: no image", spec.id)
            return None
        return f"{spec.fingerprint}.{hashlib.sha256(repr(ids).encode()).hexdigest()[:32]}"

    def _make_many(self, spec: ChallengeSpec, fingerprint: str, count: int) -> int:
        made = 0
        while made < count and self._make(spec, fingerprint):
            made += 1
        return made

    def _make(self, spec: ChallengeSpec, fingerprint: str) -> bool:
        """Make one more; False when there is no room, or it did not start."""
        row = self.rows.insert(self._new_row(spec, fingerprint), self._room)
        if row is None:
            return False
        try:
            launched = self._launcher.launch(row.name, spec, row.flag, row.id)
        except RuntimeFault as fault:
            why = FailureEvidence(printable(str(fault)), fault.output)
            log.warning("no container is kept ready for challenge %d: %s", spec.id, why)
            self._forget(row)
            return False
        host = launched.host or spec.host or self._parts.settings.cre_public_host
        if self.rows.save(row.ready(launched.container_id, host, launched.ports)):
            return True
        self._parts.runtime.remove(launched.container_id)  # its lease ran out meanwhile
        return False

    def _new_row(self, spec: ChallengeSpec, fingerprint: str) -> Warm:
        return Warm(
            id=0,
            challenge_id=spec.id,
            fingerprint=fingerprint,
            state=WarmState.MAKING,
            version=1,
            lease_until=self._lease_end(),
            name=warm_name(self._parts.deployment, self._parts.owner),
            flag=new_flag(spec),
        )

    def _room(self, connection: Connection) -> bool:
        self._parts.store.hold_gate(connection)
        now, capacity = self._parts.clock.now(), self._parts.settings.cre_capacity
        return has_room(connection, self._parts.store, self.rows, now, capacity)

    def _retire(self, row: Warm) -> bool:
        mine = row.retiring(self._lease_end())
        return self.rows.save(mine) and self.discard(mine)

    def _forget(self, row: Warm) -> bool:
        def forget(connection: Connection) -> bool:
            self._parts.reservations.release(connection, row.name)
            return self.rows.delete(connection, row)

        return self._parts.database.transact(forget)

    def _lease_end(self) -> datetime:
        return self._parts.clock.now() + self._launcher.lease
