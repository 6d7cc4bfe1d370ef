"""Everything one fake consists of, put together; a reset throws it away and builds it anew."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from .cleaner import Cleaner
from .clock import EpochClock
from .company import Company
from .control import Control
from .database import Dbms, InstanceTable, Record, TransactionIsolation
from .directory import Directory
from .engine import Engine, SimulatedEngine
from .errors import RouterError
from .faults import EVENTS, Fault, Faults, WhaleFaultKind
from .flavours import Flavour
from .instances import READY_DELAY_SECONDS, InstanceNetwork, InstanceOptions
from .journal import Journal
from .redis import Redis
from .routing import INI_SECONDS, Frpc, FrpcIni, FrpRouter, ProxyRouter, TrpRouter
from .runtimes import WhaleRuntime
from .sessions import SessionStore
from .settings import WhaleSettings
from .world import WhaleWorld


@dataclass(frozen=True)
class MachinePlan:
    """What a machine is built from."""

    world: WhaleWorld
    clock: EpochClock
    seed: int
    isolation: TransactionIsolation
    instances: InstanceOptions | None
    runtime: WhaleRuntime
    crowd: Callable[[], int]
    """How many connections to this fake's servers are busy or new."""
    flavour: Flavour
    frpc_file: bool
    """Whether changes at once spoil frpc's file."""
    frpc_returns: bool
    """Whether frpc comes back after a restart of Docker."""
    database: Dbms
    redis: bool


HANG_SECONDS = 0.02
"""How often a call that hangs looks whether it goes on."""


class Machine:
    """CTFd, Whale, MariaDB, redis, Docker and frp in one."""

    def __init__(self, plan: MachinePlan) -> None:
        self.plan = plan
        self.clock = plan.clock
        self.cancel = threading.Event()
        self.journal = Journal(plan.clock)
        self._late: list[Callable[[], None]] = []
        self._late_lock = threading.Lock()
        self.faults = Faults(Random(f"faults-{plan.seed}"), self.journal)  # noqa: S311  # a seeded source is wanted, nothing secret comes from it
        self.fuzz = Random(f"fuzz-{plan.seed}")  # noqa: S311  # as above
        random = Random(plan.seed)  # noqa: S311  # as above
        self.settings = WhaleSettings(plan.world.config, plan.flavour)
        self.directory = Directory(plan.world, plan.clock)
        self.redis = Redis(plan.clock, random, self.cancel, absent=not plan.redis)
        self.sessions = SessionStore(self.redis)
        self.database = InstanceTable(plan.isolation, plan.database)
        self.company = Company(plan.crowd, virtual=plan.clock.virtual)
        self.network = self._network(plan.instances)
        if self.network is not None and plan.instances is not None and plan.instances.reachable:
            here = {
                "frp_http_port": str(self.network.http_listener[1]),
                "frp_direct_ip_address": plan.instances.direct_host,
            }
            self.settings.update(here)
        self.engine = self._engine()
        uneven = Random(f"frpc-{plan.seed}")  # noqa: S311  # as above

        def pause() -> None:
            time.sleep(uneven.uniform(0, INI_SECONDS))

        ini = FrpcIni(pause if plan.frpc_file else None)
        self.frpc = Frpc(plan.clock, self.faults, self.wait, ini)
        self.control = Control(
            self.settings,
            self.directory,
            self.redis,
            self.engine,
            plan.clock,
            random,
            self.router,
            self.sync_instances,
            plan.flavour,
            pause,
        )
        self._frp = FrpRouter(
            self.settings,
            self.directory,
            self.redis,
            self.frpc,
            plan.clock,
            self.control.subdomain,
            plan.flavour,
            pause,
        )
        self._trp = TrpRouter(self.settings, self.directory, self.faults)
        self.cleaner = Cleaner(
            self.database,
            self.control,
            plan.clock,
            self.journal,
            self.cancel,
            self.sync_instances,
            self._frp if plan.flavour.routed_by_cleaner else None,
        )
        self.refresh_router()
        self.cleaner.start()

    def close(self) -> None:
        """Wake every sleeper, stop every thread and close every listener. Idempotent."""
        self.cancel.set()
        self.cleaner.stop()
        if self.network is not None:
            self.network.close()
        self.engine.close()

    def wait(self, seconds: float) -> None:
        """Let ``seconds`` pass.

        Raises :class:`~fake_whale.whale.clock.Cancelled` on reset or close.
        """
        self.clock.wait(seconds, self.cancel)

    def router(self) -> ProxyRouter:
        """The router the settings name; raises :class:`RouterError` for one that does not exist."""
        name = self.settings.get("router_type", "frp")
        if name == "frp":
            return self._frp
        if name == "trp":
            return self._trp
        raise RouterError(f"no router {name}")

    def refresh_router(self) -> None:
        """What opening Whale's settings page does: the set of free ports is made anew."""
        self._frp.fill_ports(self.database.begin())

    def patch_settings(self, values: Mapping[str, object]) -> None:
        """Change settings as an admin does on Whale's settings page."""
        self.settings.update(values)
        self.refresh_router()
        self.sync_instances()

    def inject(self, fault: Fault) -> Fault:
        """Put a fault in place; an event for no call in particular happens now.

        Returns it with its id.
        """
        if not fault.happens_at_once:
            placed = self.faults.put(fault)
            self.sync_instances()
            return placed
        self._happen(fault)
        self.faults.note(fault)
        return fault

    def events(self) -> None:
        """Let the events happen that are meant for the running call."""
        for kind in EVENTS - {WhaleFaultKind.REFUSE}:  # that one is the connection's
            fault = self.faults.fire(kind)
            if fault is not None:
                self._happen(fault)

    def caller(self, authorization: str | None, cookie: str | None) -> str | None:
        """Whose call it is, for faults and the journal: the token's user, else the session's."""
        token = self.directory.token(authorization.partition(" ")[2]) if authorization else None
        user = self.directory.user(token.user_id) if token else None
        if user is None and cookie:
            user = self.directory.user(self.sessions.open(cookie).get("id"))
        return user.name if user else None

    def _happen(self, event: Fault) -> None:
        if event.kind is WhaleFaultKind.FRPC_RESTARTED:
            self.frpc.restart()
        elif event.kind is WhaleFaultKind.FRPC_TOKEN_LOST:
            self.frpc.lose_token()
        elif event.kind is WhaleFaultKind.DOCKER_RESTARTED:
            self.engine.restart()
            if self.plan.frpc_returns:
                self.frpc.restart()
            else:  # its restart policy does not wait for the overlay: "network … not found"
                self.frpc.stop()
        elif event.kind is WhaleFaultKind.REDIS_FLUSHED:
            self.redis.flush()
        elif event.kind is WhaleFaultKind.SERVICE_REMOVED:
            self._remove_services_by_hand(event.user)
        self.sync_instances()

    def _remove_services_by_hand(self, user_name: str | None) -> None:
        user = self.directory.user_named(user_name) if user_name else None
        for service in self.engine.services():
            if user_name is None or (user and service.order.user_id == user.id):
                self.engine.discard(service.order.uuid)

    def hang(self, fault: Fault) -> None:
        """Return once the fault is lifted, or the world begins anew; real time goes by."""
        while self.faults.stands(fault) and not self.cancel.wait(HANG_SECONDS):
            pass

    def lift_faults(self) -> None:
        """Take every fault away, and work on the calls that a gateway gave up on meanwhile."""
        with self._late_lock:
            self.faults.clear()
            late, self._late = self._late, []
        for call in late:
            call()
        self.sync_instances()

    def later(self, fault: Fault, call: Callable[[], None]) -> None:
        """Have a call worked on once the fault is lifted; at once when it is lifted already."""
        with self._late_lock:
            if self.faults.stands(fault):
                self._late.append(call)
                return
        call()

    def sync_instances(self) -> None:
        """Make the listeners follow rules and services."""
        if self.network is not None:
            self.network.sync(
                self.frpc.in_force, self.engine.services, http=not self.frpc.frps_down
            )

    def state(self) -> dict[str, Any]:
        """Services, records and what else there is to inspect, as plain data. Shows flags."""
        now = self.clock.time()
        records = self.database.rows()
        recorded = {record.uuid for record in records}
        return {
            "now": now,
            "records": [self._record_state(record) for record in records],
            "services": [
                {
                    "uuid": service.order.uuid,
                    "whale_id": service.whale_id,
                    "user_id": service.order.user_id,
                    "challenge_id": service.order.challenge_id,
                    "image": service.order.image,
                    "node": service.order.node,
                    "flag": service.order.flag,
                    "task": service.task.value,
                    "created": service.created_at,
                    "answers": service.answers(now),
                    "orphan": service.order.uuid not in recorded,
                }
                for service in self.engine.services()
            ],
            "rules": [
                {"kind": r.kind, "subdomain": r.subdomain, "port": r.remote_port, "to": r.whale_id}
                for r in self.frpc.rules()
            ],
            "frpc": self.frpc.state(),
            "locks": self.redis.locks.left(),
            "free_ports": self.redis.free_ports(),
        }

    def _record_state(self, record: Record) -> dict[str, Any]:
        return {
            "id": record.id,
            "uuid": record.uuid,
            "user_id": record.user_id,
            "challenge_id": record.challenge_id,
            "flag": record.flag,
            "port": record.port,
            "started": record.start_time,
            "renew_count": record.renew_count,
        }

    def _network(self, options: InstanceOptions | None) -> InstanceNetwork | None:
        if options is None:
            return None
        return InstanceNetwork(
            options,
            self.clock,
            lambda: str(self.settings.get("frp_http_domain_suffix", "")),
            lambda: self.engine,
            Random(f"boot-{self.plan.seed}"),  # noqa: S311  # a seeded source is wanted
        )

    def _engine(self) -> Engine:
        plan = self.plan
        if plan.runtime is WhaleRuntime.SIMULATED:
            return SimulatedEngine(
                plan.world, self.settings, plan.clock, self.faults, self.wait, self._ready_delay()
            )
        # Only here is the docker SDK needed.
        from .docker_engine import DockerEngine

        return DockerEngine(
            plan.runtime, plan.world, self.settings, plan.clock, self.faults, self.wait
        )

    def _ready_delay(self) -> float:
        options = self.plan.instances
        if options is not None and options.ready_delay is not None:
            return options.ready_delay
        return 0.0 if self.clock.virtual else READY_DELAY_SECONDS
