"""An engine on simulated containers and a virtual clock, and another process on its database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from engines.audit import Action
from engines.catalog import ChallengeSpec, StaticCatalog
from engines.clock import VirtualClock
from engines.cre import ContainerRuntimeEngine
from engines.cre.runtimes.memory import MemoryRuntime
from engines.cre.tables import cre_instances
from engines.owners import Owners
from engines.settings import Settings
from engines.state.database import Database
from engines.state.instance_store import InstanceStore


class Stage:
    """One deployment: :attr:`engine` is its first process."""

    def __init__(
        self,
        database: Database,
        *specs: ChallengeSpec,
        runtime: MemoryRuntime | None = None,
        settings: Settings | None = None,
        owners: Owners | None = None,
    ) -> None:
        self.database = database
        self.clock = VirtualClock()
        self.runtime = runtime or MemoryRuntime()
        self.settings = replace(settings or Settings(), cre_deployment="stage")
        self.owners = owners
        self.specs = {spec.id: spec for spec in specs}
        self.engine = self.another_process()
        self.store = InstanceStore(database, self.engine.audit, cre_instances)

    def another_process(self) -> ContainerRuntimeEngine:
        return ContainerRuntimeEngine(
            self.settings,
            runtime=self.runtime,
            catalog=StaticCatalog(self.specs.values()),
            database=self.database,
            clock=self.clock,
            owners=self.owners,
        )

    def change(self, spec: ChallengeSpec) -> None:
        """The organiser changes a challenge; the engine is made anew."""
        self.specs[spec.id] = spec
        self.engine = self.another_process()

    def past_all_leases(self) -> None:
        self.clock.advance(timedelta(hours=1).total_seconds())

    def actions(self) -> list[Action]:
        return [event.action for event in self.engine.audit.events()]
