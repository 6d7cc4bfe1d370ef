"""What the engine stands on, handed to each of its parts as one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engines.catalog import Catalog, ChallengeSpec
from engines.clock import Clock
from engines.cre.names import instance_name
from engines.cre.reservations import Reservations
from engines.cre.rounds import ParallelRounds
from engines.cre.runtimes.base import Runtime
from engines.heartbeat import Heartbeat
from engines.owners import Ownership
from engines.settings import Settings
from engines.state.database import Database
from engines.state.given_flags import GivenFlags
from engines.state.instance_store import InstanceStore
from engines.state.instances import Instance


@dataclass(frozen=True)
class EngineContext:
    """One engine's rows, numbers, containers, challenges, time and settings."""

    backend: str
    """The engine's name in status and audit log."""
    deployment: str
    """Value of the label that everything of this engine carries."""
    owner: str
    """The database's id, on everything too (:mod:`engines.cre.owner`)."""
    database: Database
    store: InstanceStore
    reservations: Reservations
    runtime: Runtime
    catalog: Catalog
    clock: Clock
    settings: Settings
    heartbeat: Heartbeat
    """Keeps the rows of instances that this process is at work on."""
    owners: Ownership
    flags: GivenFlags
    rounds: ParallelRounds
    """Over what the worker does with many instances."""

    def name_of(self, row: Instance) -> str:
        """What the runtime knows a row's instance by, unless it came from the warm pool."""
        return instance_name(self.deployment, self.owner, row.account, row.challenge_id)

    def end_of(self, spec: ChallengeSpec | None) -> datetime | None:
        """The moment beyond which no instance of the challenge lives."""
        ends = (self.settings.cre_ends_at, spec.ends_at if spec is not None else None)
        return min((end for end in ends if end is not None), default=None)

    def over(self, spec: ChallengeSpec) -> bool:
        """Whether the challenge's time is over."""
        end = self.end_of(spec)
        return end is not None and end <= self.clock.now()
