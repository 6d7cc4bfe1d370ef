"""``whale=https://…``: WhaleAPIManager under test on a Whale that serves others meanwhile.

Only the accounts and challenges of a :mod:`~conformance.harnesses.world_file` are used, and only
what this run started is ever stopped. Real time goes by: what needs a clock, faults or another
configuration does not apply. What runs, and which flag is recorded, is looked at where the file
shows Whale's swarm and CTFd's database (:mod:`~conformance.harnesses.whale_behind`).
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from conformance.harness import CannotRun, FaultKind, Hook, Options, Player, Worker, World
from conformance.harnesses.fetch import http_get
from conformance.harnesses.full_state import full
from conformance.harnesses.gate import WAYS, ConnectionGate, reaching
from conformance.harnesses.live_whale_cleanup import (
    CLEAR_SECONDS,
    Book,
    Janitor,
    NotCleared,
    Sleep,
    tokens_of,
)
from conformance.harnesses.staging import Staging
from conformance.harnesses.state import StatefulHarness, TemporaryState
from conformance.harnesses.whale_behind import Behind
from conformance.harnesses.world_file import Account, WorldFile, read_world_file
from conformance.spec.context import FLAG_PATH
from engines.audit import ContainerEvent
from engines.contract import (
    ActionResult,
    Capabilities,
    Code,
    ContainerBackend,
    InstanceStatus,
    StartResult,
)
from engines.errors import WhaleFault
from engines.settings import Settings
from engines.state.database import Database
from engines.whale import WhaleAPIManager
from engines.whale.client import WhaleAnswer
from engines.whale.dialects import AUTO

HOOKS = frozenset(
    {
        *(Hook.AUDIT, Hook.WORKER, Hook.WORKER_THREAD, Hook.STATE_FULL),
        *(Hook.OUTAGE, Hook.RESTART_LIVE, Hook.FAULTS),
    }
)

A_DAY_SECONDS = 24 * 3600.0
CLEANER_SECONDS = 12.0
"""After so long Whale's cleaner has been, which comes every 10 s of real time. Before that, what
ended a day ago looks alive: Whale counts what is left within a day (docs/whale-wire.md)."""


class BookkeepingBackend(ContainerBackend):
    """Passes every call on as it is, and keeps book of the starts."""

    def __init__(self, manager: WhaleAPIManager, book: Book) -> None:
        self._manager = manager
        self._book = book
        self._change = threading.Condition()
        self._starts = 0
        self._over = False

    def end(self) -> None:
        """Let no start begin any more, and wait for those that threads left behind are at."""
        with self._change:
            self._over = True
            self._change.wait_for(lambda: self._starts == 0, CLEAR_SECONDS)

    @property
    def name(self) -> str:
        return self._manager.name

    @property
    def capabilities(self) -> Capabilities:
        return self._manager.capabilities

    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        with self._at_work(), self._book.starting(user_id) as tell:
            result = self._manager.start_instance(user_id, challenge_id, team_id)
            tell(result)
            return result

    def extend_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> ActionResult:
        return self._manager.extend_instance(user_id, challenge_id, team_id)

    def stop_instance(
        self,
        user_id: int,
        challenge_id: int,
        team_id: int | None = None,
        auto_cleanup: bool = False,
    ) -> ActionResult:
        return self._manager.stop_instance(user_id, challenge_id, team_id, auto_cleanup)

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        return self._manager.get_instance_status(user_id, challenge_id, team_id)

    def holds(self, user_id: int, challenge_id: int, team_id: int | None = None) -> bool:
        return self._manager.holds(user_id, challenge_id, team_id)

    def last_known(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        return self._manager.last_known(user_id, challenge_id, team_id)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with self._change:
            if self._over:
                raise RuntimeError("the scenario is over")
            self._starts += 1
        try:
            yield
        finally:
            with self._change:
                self._starts -= 1
                self._change.notify_all()


class LiveWhaleWorld(World):
    """The accounts of the file, holding nothing on Whale, and an adapter with an empty ledger."""

    def __init__(
        self,
        file: WorldFile,
        settings: Settings,
        database: Database,
        book: Book,
        janitor: Janitor,
        behind: Behind,
        gate: ConnectionGate | None,
        staging: Staging,
    ) -> None:
        self.challenges = file.challenges
        self.players = tuple(account.player for account in file.players)
        self.mates = tuple(account.player for account in file.mates)
        self._flag_path = file.flag_path
        self._gateway = settings.whale_probe_gateway
        self._book = book
        self._janitor = janitor
        self._behind = behind
        self._gate = gate
        self._staging = staging
        self.faults = WAYS | {FaultKind.REFUSES_WRITES} if staging.refuses else WAYS
        self._database = database
        self._exchanges: list[str] = []
        self.manager = WhaleAPIManager(
            settings if gate is None else _through(gate, settings),
            credentials=tokens_of(file.accounts),
            database=database,
            catalogue=lambda: [
                value for value in vars(file.challenges).values() if isinstance(value, int)
            ],
            clock=staging.clock,
            observer=self._observe,
        )
        self.backend = self.noted = BookkeepingBackend(self.manager, book)

    def run_worker(self) -> None:
        self.manager.cleanup_worker.run_once()

    def worker(self) -> Worker:
        return self.manager.cleanup_worker

    def events(self) -> list[ContainerEvent]:
        return self.manager.audit.events()

    def exchanges(self) -> list[str]:
        return list(self._exchanges)

    def advance(self, seconds: float) -> None:
        # Whale's locks are redis', whose clock goes on as ever.
        self._book.wait_for_locks()
        self._staging.clock.advance(seconds)
        if seconds >= A_DAY_SECONDS:
            time.sleep(CLEANER_SECONDS)  # a cleaner that has run gives no sign to wait for

    def outage(self) -> AbstractContextManager[None]:
        """On our way to Whale, nobody listens."""
        return self.fault(FaultKind.UNREACHABLE)

    def restart_live(self) -> AbstractContextManager[None]:
        """As a CTFd that is restarted looks from here; swarm and frp go on."""
        return self.fault(FaultKind.UNREACHABLE)

    @contextmanager
    def fault(self, kind: FaultKind) -> Iterator[None]:
        if self._gate is None:
            raise RuntimeError("open() comes before a fault")
        refuses = kind is FaultKind.REFUSES_WRITES
        self._exchanges.append(f"-- from here on: {kind.value}")
        with self._staging.refusing() if refuses else self._gate.fault(kind):
            yield
        self._exchanges.append(f"-- no longer: {kind.value}")

    def state_full(self, after: int) -> AbstractContextManager[None]:
        return full(self._database, after)

    def running(self) -> set[str]:
        return self._behind.swarm.running()

    def machine_of(self, container_id: str) -> str | None:
        return self._behind.swarm.machine_of(container_id)

    def remove_behind(self, container_id: str) -> None:
        self._behind.swarm.remove(container_id)

    def recorded_flag(self, player: Player, challenge_id: int) -> str:
        status = self.manager.get_instance_status(player.user_id, challenge_id, player.team_id)
        if status is None:
            raise LookupError(f"Whale shows no instance of {player} and challenge {challenge_id}")
        return self._behind.records.flag(status["container_id"])

    def fetch(self, instance: InstanceStatus, path: str = "/") -> str | None:
        path = self._flag_path if path == FLAG_PATH else path
        host, port = instance["host"], int(instance["ports"][0])
        if self._gateway is not None:
            gateway = urlsplit(self._gateway)
            secure = gateway.scheme == "https"
            inner = gateway.port or (443 if secure else 80)
            named = f"{host}:{port}"
            body = http_get(str(gateway.hostname), inner, path, host_header=named, secure=secure)
            if body is not None:
                return body
        # No gateway, or an instance on a port of its own, which the gateway does not know.
        return http_get(host, port, path)

    def close(self) -> None:
        """Stop what the scenario started and has not stopped."""
        self.noted.end()
        self.manager.close()
        self._janitor.clear(sorted(self._book.touched))

    def _observe(self, answer: WhaleAnswer) -> None:
        self._book.observe(answer)
        self._exchanges.append(
            f"{answer.method} {answer.path} -> {answer.status} {answer.content_type} {answer.body}"
        )


class LiveWhaleHarness(StatefulHarness):
    """A Whale at ``url``, used as the file says.

    Args:
        sleep: waits so many seconds, for the locks of a real Whale.

    Raises:
        ValueError: address or file are wrong; names the field and the fix.
    """

    def __init__(self, url: str, path: Path, sleep: Sleep = time.sleep) -> None:
        self._file = read_world_file(path)
        checked = Settings.from_environ({"WHALE_API_URL": url})
        self._settings = replace(checked, **self._file.settings)
        self._url = checked.whale_api_url
        self._sleep = sleep
        self._users = [account.player.user_id for account in self._file.accounts]
        self._book = Book(self._users)
        self._janitor: Janitor | None = None
        self._last: LiveWhaleWorld | None = None
        self._left: list[str] | None = None
        self.kind = f"WhaleAPIManager on the live Whale at {self._url}"
        fetches = self._settings.whale_probe and bool(self._file.flag_path)
        self._behind = Behind()
        self._gate: ConnectionGate | None = None
        self._staging = Staging(self._file.staging)
        self.hooks = HOOKS | {
            *([Hook.FETCH] if fetches else ()),
            *self._staging.hooks,
            *([Hook.GROUND_TRUTH, Hook.REMOVE_BEHIND] if self._file.docker_url else ()),
            *([Hook.RECORDED_FLAG] if self._file.ctfd_database_url else ()),
        }

    def open(self) -> None:
        """Look at every account and challenge; nothing is written.

        Raises:
            CannotRun: a token is not accepted, a challenge is not what the file says, an instance
                runs already, or what is behind Whale is not shown.
        """
        super().open()
        self._staging.open()
        self._gate = self._new_gate()
        self._behind.open(self._file, self._users)
        if self._behind.machines > 1:
            self.hooks |= {Hook.MACHINES}
        self._janitor = janitor = self._new_janitor()
        for account in self._file.accounts:
            with _asking(account, self._url):
                self._check_account(janitor, account)
        first = self._file.players[0]
        with _asking(first, self._url):
            self._check_challenges(janitor, first.player.user_id)
        if janitor.dialect is not None and self._settings.whale_dialect == AUTO:
            self._settings = replace(self._settings, whale_dialect=janitor.dialect)

    def versions(self) -> dict[str, str]:
        # With its address: who reads several reports can tell whether they are of one Whale.
        return {
            "dialect": self._settings.whale_dialect,
            "scope": self._settings.whale_scope,
            "url": str(self._url),
            **super().versions(),
        }

    def world(self, options: Options) -> World:
        if self._janitor is None:
            raise RuntimeError("open() comes before world()")
        self._book.wait_for_locks(self._sleep)
        self._janitor.clear(self._users)
        self._behind.sweep()
        self._last = LiveWhaleWorld(
            self._file,
            self._settings,
            self.database(),
            self._book,
            self._janitor,
            self._behind,
            self._gate,
            self._staging,
        )
        return self._last

    @contextmanager
    def preview(self) -> Iterator[World]:
        """A world to read what is declared from; Whale is not asked."""
        state, janitor = TemporaryState(), self._new_janitor()
        world = LiveWhaleWorld(
            self._file,
            self._settings,
            state.emptied(),
            self._book,
            janitor,
            self._behind,
            None,
            self._staging,
        )
        try:
            yield world
        finally:
            world.manager.close()
            janitor.close()
            state.close()

    def facts(self) -> Mapping[str, str]:
        """What a dry run shows: never a token."""
        parts = vars(self._file.challenges).items()
        named = [f"{part} {number}" for part, number in parts if isinstance(number, int)]
        users = [str(account.player.user_id) for account in self._file.players]
        mates = [
            f"{account.player.user_id} (team {account.player.team_id})"
            for account in self._file.mates
        ]
        return {
            "players": f"users {', '.join(users)}",
            "mates": f"users {', '.join(mates)}" if mates else "none",
            "challenges": ", ".join(named),
        }

    def close(self) -> None:
        """Stop what this run started and has not stopped; look at every account for that."""
        janitor, self._janitor = self._janitor, None
        try:
            if janitor is not None and self._book.used:
                self._clear_all(janitor)
        finally:
            if janitor is not None:
                janitor.close()
            self._shut_ways()
            left = self._behind.close()
            self._left = self._left if left is None else left
            super().close()

    def leftovers(self) -> list[str] | None:
        return self._left

    def _clear_all(self, janitor: Janitor) -> None:
        if self._last is not None:
            self._last.noted.end()  # closing the world may have been interrupted
        janitor.clear(self._users)
        self._behind.sweep()
        if self._book.never_seen:
            users = ", ".join(str(user) for user in self._book.never_seen)
            raise NotCleared(
                f"a start broke off for user {users}, and no instance of it has shown; Whale may "
                "still be at work on it: look at the user's challenges in a few minutes"
            )

    def _new_gate(self) -> ConnectionGate:
        settings = self._settings

        def context() -> ssl.SSLContext:
            trusted = settings.whale_ca_file or DEFAULT_CA_BUNDLE_PATH
            made = ssl.create_default_context(cafile=str(trusted))
            if settings.whale_client_certificate_file is not None:
                made.load_cert_chain(
                    settings.whale_client_certificate_file, settings.whale_client_key_file
                )
            return made

        return ConnectionGate(reaching(str(self._url), context), urlsplit(str(self._url)).netloc)

    def _shut_ways(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.close()
        self._staging.close()

    def _new_janitor(self) -> Janitor:
        return Janitor(self._file, self._settings, self._book, self._sleep)

    def _check_account(self, janitor: Janitor, account: Account) -> None:
        user_id = account.player.user_id
        found = janitor.look(user_id)
        if not found:
            return
        if not self._file.stop_running:
            raise CannotRun(
                f"an instance of {found[0]} runs already for user {user_id} ({account.where}); "
                "a run stops only what it has started: stop it, name another user, or set "
                "whale.stop_running = true to have such instances stopped before the run"
            )
        try:
            janitor.clear([user_id], also_others=True)
        except NotCleared as error:
            raise CannotRun(str(error)) from None

    def _check_challenges(self, janitor: Janitor, user_id: int) -> None:
        for part, number in vars(self._file.challenges).items():
            if not isinstance(number, int):
                continue
            wanted = part not in ("unknown", "hidden")
            if janitor.offers(user_id, number) == wanted:
                continue
            fault = "does not offer" if wanted else "offers"
            raise CannotRun(
                f"challenges.{part}: Whale {fault} challenge {number} to user {user_id}; "
                + ("name one that players can start" if wanted else "name one that it does not")
            )


def _through(gate: ConnectionGate, settings: Settings) -> Settings:
    """The same Whale, by way of the gate."""
    return replace(settings, whale_api_url=gate.url + urlsplit(str(settings.whale_api_url)).path)


@contextmanager
def _asking(account: Account, url: str | None) -> Iterator[None]:
    """Whale is asked as this account before the run."""
    try:
        yield
    except WhaleFault as fault:
        user_id = account.player.user_id
        if fault.code is Code.UNAUTHENTICATED:
            raise CannotRun(
                f"{account.where}: Whale does not accept user {user_id}'s token; make one on that "
                "user's settings page in CTFd"
            ) from None
        if fault.code is Code.CHALLENGE_UNAVAILABLE:
            raise CannotRun(
                f"challenges.first: Whale does not offer it to user {user_id}; name one that "
                "players can start"
            ) from None
        raise CannotRun(
            f"no Whale answers at {url} ({fault.code.value}); check the address, and "
            "whale.dialect in the file"
        ) from None
