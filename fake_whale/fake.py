"""The fake as one object: a world, a clock, and what can be done to them from outside."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any

from flask import Flask

from .web import build_app
from .web.control import ControlRule
from .web.dialect import FakeDialect
from .web.server import THREADS, FakeServer
from .web.transport import TransportFaults
from .whale.clock import EpochClock, SystemEpochClock
from .whale.database import Dbms, TransactionIsolation
from .whale.errors import FakeWhaleError
from .whale.faults import Fault, WhaleFaultKind, fault_from
from .whale.flavours import NEWEST, Flavour, flavour_named
from .whale.instances import InstanceOptions, as_frp
from .whale.machine import Machine, MachinePlan
from .whale.runtimes import WhaleRuntime
from .whale.world import WhaleWorld


class FakeWhale:
    """A CTFd with ctfd-whale, in this process.

    ``seed`` makes uuids, flags, ports and faults repeatable. With ``instances`` the addresses Whale
    hands out really answer; without, nothing listens for them. With ``frpc_file`` changes at once
    spoil the file in which frpc keeps rules and token, as they do a real one's. ``frpc_returns``:
    frpc comes back after a restart of Docker. ``frp``: manners of a release, all at once ("0.37").
    ``workers`` are gunicorn's: they are told, and two behave as one, which is what was measured.
    ``flavour``, itself or by name, says which ctfd-whale it is; without it, the world does.

    Close it, or the server it serves from, when done; it is a context manager. Raises
    :class:`~fake_whale.whale.errors.FakeWhaleError` when ``runtime`` needs Docker and there is
    none.
    """

    def __init__(
        self,
        world: WhaleWorld,
        *,
        clock: EpochClock | None = None,
        seed: int = 0,
        instances: InstanceOptions | None = None,
        isolation: TransactionIsolation = TransactionIsolation.REPEATABLE_READ,
        database: Dbms = Dbms.MARIADB,
        redis: bool = True,
        workers: int = 1,
        dialect: FakeDialect = FakeDialect.CTFD_WHALE,
        runtime: WhaleRuntime = WhaleRuntime.SIMULATED,
        frpc_file: bool = False,
        frpc_returns: bool = False,
        frp: str | None = None,
        flavour: Flavour | str | None = None,
    ) -> None:
        if isinstance(flavour, str):
            flavour = flavour_named(flavour, "flavour")
        flavour = flavour or world.flavour
        if dialect is not FakeDialect.CTFD_WHALE and flavour is not NEWEST:
            dialect_with_flavours = FakeDialect.CTFD_WHALE.value
            raise FakeWhaleError(
                f"flavour {flavour.name}: only the dialect {dialect_with_flavours} has flavours"
            )
        if frp is not None:
            instances = instances and as_frp(frp, instances)
            frpc_file = True
        if workers < 1:
            raise FakeWhaleError(f"workers: must be 1 or more, not {workers}")
        self.workers = workers
        self.world = world
        self.flavour = flavour
        self.dialect = dialect
        self.control_rule = ControlRule()
        self.clock: EpochClock = clock if clock is not None else SystemEpochClock()
        self._servers: list[FakeServer] = []
        crowd = self._connections
        self._plan = MachinePlan(
            world,
            self.clock,
            seed,
            isolation,
            instances,
            runtime,
            crowd,
            flavour,
            frpc_file,
            frpc_returns,
            database,
            redis,
        )
        self._lock = threading.Lock()
        self._machine = Machine(self._plan)
        self._app: Flask | None = None

    @property
    def machine(self) -> Machine:
        """The present machine; a reset replaces it."""
        return self._machine

    @property
    def app(self) -> Flask:
        """The WSGI application, for a server of one's own or Flask's test client."""
        with self._lock:
            if self._app is None:
                self._app = build_app(self)
            return self._app

    @property
    def http_listener(self) -> tuple[str, int] | None:
        """Where http instances really answer, told apart by Host; None without instances."""
        network = self._machine.network
        return network.http_listener if network else None

    def serve(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        control_token: str | None = None,
        threads: int = THREADS,
    ) -> FakeServer:
        """Answer on ``host``:``port`` (0: any free one); closing the server closes the fake.

        With one of ``threads`` a call waits until the one before it is done, as in a CTFd with a
        single worker that is not gevent's.

        The control surface is off when ``host`` is not loopback, unless ``control_token`` is given;
        with a token it asks for it everywhere. Raises
        :class:`~fake_whale.whale.errors.FakeWhaleError` when the port cannot be had.
        """
        self.control_rule = self.control_rule.and_also(ControlRule.for_host(host, control_token))
        app = TransportFaults(self.app, lambda: self._machine, self._refuse)
        server = FakeServer(app, host, port, self.close, threads)
        self._servers.append(server)
        return server

    def state(self) -> dict[str, Any]:
        """Services, records, rules and locks as plain data; flags are shown."""
        return self._machine.state()

    def patch_config(self, values: Mapping[str, object]) -> None:
        """Change Whale settings by their real names, as an admin does on the settings page.

        Raises :class:`~fake_whale.whale.errors.FakeWhaleError` for a name Whale does not have.
        """
        self._machine.patch_settings(values)

    def remove_service(self, uuid: str) -> bool:
        """Remove a service behind Whale's back; False when there is none with that uuid."""
        removed = self._machine.engine.discard(uuid)
        self._machine.sync_instances()
        return removed

    def inject(self, fault: Fault | Mapping[str, object]) -> Fault:
        """Put a fault in place, given as in ``PUT /_fake/faults``: ``{"kind": "docker_hung"}``.

        Raises :class:`~fake_whale.whale.errors.FakeWhaleError` naming the field that is wrong.
        """
        if not isinstance(fault, Fault):
            fault = fault_from(dict(fault))
        if fault.kind is WhaleFaultKind.REFUSE and fault.happens_at_once:
            self._refuse(fault.seconds)
        return self._machine.inject(fault)

    def lift_faults(self) -> None:
        """Take every fault away."""
        for server in self._servers:
            server.accept_again()
        self._machine.lift_faults()

    def journal(self) -> list[dict[str, Any]]:
        """What happened, oldest first: calls, faults that fired, the cleaner's work."""
        return self._machine.journal.entries()

    def reset(self) -> None:
        """Back to the world as it began: no records, sessions or faults; sleepers are woken.

        The clock keeps its time, and the http listener its port.
        """
        with self._lock:
            options = self._plan.instances
            listener = self.http_listener
            if options is not None and listener is not None:
                self._plan = replace(self._plan, instances=replace(options, http_port=listener[1]))
            self._machine.close()
            self._machine = Machine(self._plan)
        for server in self._servers:
            server.accept_again()

    def close(self) -> None:
        """End every thread and listener. Idempotent."""
        self._machine.close()

    def _refuse(self, seconds: float) -> None:
        for server in self._servers:
            server.refuse(seconds)

    def _connections(self) -> int:
        return sum(server.connections for server in self._servers)

    def __enter__(self) -> FakeWhale:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
