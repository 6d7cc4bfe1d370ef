"""frp and trp: how an instance gets its address, and what becomes of it when they fail.

Whale pushes *all* rules at every change, made from the records its transaction sees. Rules are
therefore a third truth beside records and services, and may be stale, or lost when frpc restarts.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .clock import EpochClock
from .database import Record, Transaction
from .directory import Directory
from .errors import BadSetting, MechanismError, RedisError, RouterError
from .faults import Faults, WhaleFaultKind
from .flavours import Flavour
from .redis import Redis
from .settings import WhaleSettings

NO_PORTS = "No available ports. Please wait for a few minutes."
FRPC_FAILED = "\nfrpc request failed\nplease check the frp related configs"
FRPC_TIMEOUT_SECONDS = 5.0
RELOAD_SECONDS = 0.004
"""Real time one reload takes; nothing with a virtual clock."""
INI_SECONDS = 0.01
"""Real time, with any clock, that each step of a change of frpc.ini takes at most."""


@dataclass(frozen=True)
class ProxyRule:
    """One frp proxy: an http name or a TCP port, leading to a service."""

    kind: str
    subdomain: str
    remote_port: int
    whale_id: str


class FrpcIni:
    """frpc.ini, by which a real frpc lives (docs/whale-wire.md, "frp").

    Whale sends the rules without the token. frpc takes that from the file, empties the file, writes
    it and, at the reload, reads it. A change that finds the file empty loses the token; a reload
    that does is refused.

    Args:
        pause: passes the time between the steps, in which others come. Without it a change is one
            step, and those at once do each other no harm.
    """

    def __init__(self, pause: Callable[[], object] | None = None) -> None:
        self.fragile = pause is not None
        self._pause: Callable[[], object] = pause or (lambda: None)
        self._lock = threading.Lock()
        self._empty = False
        self._token = True
        self._rules: tuple[ProxyRule, ...] = ()
        self.refused = 0
        """Reloads that found no ``[common]`` section."""

    def change(self, rules: tuple[ProxyRule, ...]) -> tuple[ProxyRule, ...]:
        """What Whale does at every change; raises :class:`RouterError`."""
        self._pause()
        self.put(rules)
        self._pause()
        return self.read()

    def put(self, rules: tuple[ProxyRule, ...]) -> None:
        """``PUT /api/config``."""
        with self._lock:
            token = self._token and not self._empty
            self._empty = self.fragile
        self._pause()
        with self._lock:
            self._empty, self._token, self._rules = False, token, rules

    def read(self) -> tuple[ProxyRule, ...]:
        """The rules, for ``GET /api/reload``; raises :class:`RouterError` for an empty file."""
        with self._lock:
            if self._empty:
                self.refused += 1
                raise RouterError("not found [common] section")
            return self._rules

    def lose_token(self) -> None:
        """What changes at once may do."""
        with self._lock:
            self._token = False

    @property
    def token(self) -> bool:
        """Whether frpc could log in with this file."""
        with self._lock:
            return self._token and not self._empty


class Frpc:
    """frpc with its admin API: takes a complete list of rules, or fails; and frps before it.

    Args:
        ini: the file that it keeps rules and token in, which outlives a restart.
    """

    def __init__(
        self, clock: EpochClock, faults: Faults, wait: Callable[[float], None], ini: FrpcIni
    ) -> None:
        self._ini = ini
        self._runs = True
        self._clock = clock
        self._faults = faults
        self._wait = wait
        self._lock = threading.Lock()
        self._rules: tuple[ProxyRule, ...] = ()
        self._asked = self._applied = 0

    def push(self, rules: list[ProxyRule]) -> None:
        """Replace all rules; raises :class:`RouterError` when frpc is down, failing or slow."""
        with self._lock:
            self._asked += 1
            turn = self._asked
        fault = self._faults.fire(
            WhaleFaultKind.FRPC_DOWN, WhaleFaultKind.FRPC_ERROR, WhaleFaultKind.FRPC_SLOW
        )
        if fault is not None and fault.kind is WhaleFaultKind.FRPC_SLOW:
            self._wait(min(fault.seconds, FRPC_TIMEOUT_SECONDS))
        if fault is not None and (
            fault.kind is not WhaleFaultKind.FRPC_SLOW or fault.seconds > FRPC_TIMEOUT_SECONDS
        ):
            raise RouterError("frpc request failed")
        if not self._runs:
            raise RouterError("connection refused")
        if self._ini.fragile:
            kept = self._ini.change(tuple(rules))
            with self._lock:
                self._rules = kept
            return
        if not self._clock.virtual:
            self._wait(RELOAD_SECONDS)
        with self._lock:
            if turn > self._applied:  # requests arrive in the order in which they were made
                self._applied, self._rules = turn, self._ini.change(tuple(rules))

    def rules(self) -> tuple[ProxyRule, ...]:
        """The last rules that frpc was given and has kept."""
        with self._lock:
            return self._rules

    def in_force(self) -> tuple[ProxyRule, ...]:
        """The rules by which anything is reached now."""
        return self.rules() if self.connected and not self.frps_down else ()

    @property
    def connected(self) -> bool:
        """Whether frpc runs and is logged in at frps."""
        return self._runs and not self._faults.standing(WhaleFaultKind.FRPC_DOWN)

    @property
    def frps_down(self) -> bool:
        """Whether nobody listens for players; Whale does not notice."""
        return self._faults.standing(WhaleFaultKind.FRPS_DOWN)

    def stop(self) -> None:
        """It runs no more, until somebody restarts it."""
        self._runs = False

    def restart(self) -> None:
        """The rules are the file's; without a token it cannot log in, and ends."""
        with self._lock:
            self._runs = self._ini.token
            self._rules = self._ini.read() if self._runs else ()

    def lose_token(self) -> None:
        """The token is gone from the file; nothing shows until a restart."""
        self._ini.lose_token()

    def state(self) -> dict[str, bool | int]:
        """Whether it runs, whether it could log in again, and reloads that failed."""
        return {
            "connected": self.connected,
            "token": self._ini.token,
            "refused_reloads": self._ini.refused,
        }


class ProxyRouter(Protocol):
    """What Whale asks of a router; an error text says why it refused."""

    def access(self, record: Record) -> str: ...

    def register(self, transaction: Transaction, record: Record) -> str | None: ...

    def unregister(self, transaction: Transaction, record: Record) -> str | None: ...


class FrpRouter:
    """Whale's default router.

    Args:
        pause: passes the time, where there is no redis, between making the ports anew, taking one
            and writing it down, in which others come.
    """

    def __init__(
        self,
        settings: WhaleSettings,
        directory: Directory,
        redis: Redis,
        frpc: Frpc,
        clock: EpochClock,
        subdomain: Callable[[Record], str],
        flavour: Flavour,
        pause: Callable[[], object],
    ) -> None:
        self._flavour = flavour
        self._pause = pause
        self._settings = settings
        self._directory = directory
        self._redis = redis
        self._frpc = frpc
        self._clock = clock
        self._subdomain = subdomain

    def access(self, record: Record) -> str:
        """The ``user_access`` text."""
        kind = self._redirect_type(record)
        flavour = self._flavour
        if kind == "direct":
            address = self._settings.get("frp_direct_ip_address", "127.0.0.1")
            for_browsers = flavour.direct_web_access and self._for_browsers(record)
            form = flavour.direct_web_access if for_browsers else flavour.direct_access
            return form.format(ip=address, port=record.port)
        if kind == "http":
            host = self._settings.text("frp_http_domain_suffix", "")
            port = self._settings.get("frp_http_port", "80")
            # A port set to 80 is read as a number and so is not the text "80": it is shown.
            host += f":{port}" if port != flavour.hidden_port else ""
            url = f"http://{self._subdomain(record)}.{host}/"
            return flavour.http_access.format(url=url)
        return ""

    def register(self, transaction: Transaction, record: Record) -> str | None:
        """Give the instance its address; raises :class:`RouterError` or the like."""
        by_cleaner = self._flavour.routed_by_cleaner
        if not record.port and (by_cleaner or self._redirect_type(record) == "direct"):
            try:
                self._take_port(transaction, record)
            except RedisError:
                if self._redis.absent:
                    return NO_PORTS
                raise
        self._tell(transaction)
        return None

    def unregister(self, transaction: Transaction, record: Record) -> str | None:
        """Take the address away; when the port is given back is the flavour's."""
        first = self._flavour.port_given_back_first
        if first:
            self._give_port_back(record)
        self._tell(transaction, without=record.uuid)
        if not first:
            self._give_port_back(record)
        return None

    def fill_ports(self, transaction: Transaction) -> None:
        """Every port of the range that no record holds becomes free, as when settings are saved."""
        try:
            first = self._settings.integer("frp_direct_port_minimum", 28000)
            last = self._settings.integer("frp_direct_port_maximum", 29000)
        except BadSetting:
            self._redis.fill_ports(())
            return
        used = {record.port for record in transaction.everything()}
        self._redis.fill_ports(port for port in range(first, last + 1) if port not in used)

    def reload(self, transaction: Transaction, without: str | None = None) -> None:
        """Send frpc the rules of all that is alive; raises :class:`RouterError` or the like."""
        rules = self._rules(transaction, without)
        try:
            self._frpc.push(rules)
        except RouterError as error:
            raise RouterError(FRPC_FAILED) from error

    def stale(self, transaction: Transaction) -> bool:
        """Whether frpc has other rules than it would be sent now."""
        try:
            return tuple(self._rules(transaction)) != self._frpc.rules()
        except MechanismError:
            return False

    def _rules(self, transaction: Transaction, without: str | None = None) -> list[ProxyRule]:
        alive = transaction.alive(self._settings.oldest_alive(self._clock.time()))
        return [self._rule(record) for record in alive if record.uuid != without]

    def _rule(self, record: Record) -> ProxyRule:
        kind = self._redirect_type(record)
        whale_id = f"{record.user_id}-{record.uuid}"
        if kind == "http":
            return ProxyRule("http", self._subdomain(record), 0, whale_id)
        if kind == "direct":
            return ProxyRule("tcp", "", record.port, whale_id)
        raise RouterError(f"no frp type for redirect type {kind}")

    def _tell(self, transaction: Transaction, without: str | None = None) -> None:
        if not self._flavour.routed_by_cleaner:
            self.reload(transaction, without)
        elif self._clock.virtual:  # nothing waits there, so the cleaner's beat is now
            with contextlib.suppress(RouterError):
                self.reload(transaction, without)

    def _take_port(self, transaction: Transaction, record: Record) -> None:
        if self._redis.absent:
            self.fill_ports(transaction)
            self._pause()
        port = self._redis.take_port()
        if self._redis.absent:
            self._pause()
        transaction.set_port(record, port)

    def _give_port_back(self, record: Record) -> None:
        any_kind = self._flavour.routed_by_cleaner
        if any_kind or self._redirect_type(record) == "direct":
            self._redis.give_port_back(record.port)

    def _for_browsers(self, record: Record) -> bool:
        challenge = self._directory.challenge(record.challenge_id)
        category = challenge.category.lower() if challenge else ""
        return "web" in category or category == "osint"

    def _redirect_type(self, record: Record) -> str | None:
        return self._directory.challenges_redirect(record.challenge_id)


class TrpRouter:
    """The TLS router: addresses by name alone."""

    def __init__(self, settings: WhaleSettings, directory: Directory, faults: Faults) -> None:
        self._settings = settings
        self._directory = directory
        self._faults = faults

    def access(self, record: Record) -> str:
        """The ``user_access`` text."""
        suffix = self._settings.text("trp_domain_suffix", "127.0.0.1.nip.io").lstrip(".")
        domain = f"{record.uuid}.{suffix}"
        port = self._settings.get("trp_listening_port", 1443)
        kind = self._directory.challenges_redirect(record.challenge_id)
        if kind == "direct":
            return f'from pwn import *<br>remote("{domain}", {port}, ssl=True).interactive()'
        if kind == "http":
            return f"https://{domain}" + (f":{port}" if port != 443 else "")
        return f"[ssl] {domain} {port}"

    def register(self, transaction: Transaction, record: Record) -> str | None:
        """None, or what Whale tells the player when trp cannot be reached."""
        return self._call()

    def unregister(self, transaction: Transaction, record: Record) -> str | None:
        """See :meth:`register`."""
        return self._call()

    def _call(self) -> str | None:
        # Without an address for its API there is no trp, as in the recordings.
        if not self._settings.get("trp_api_url", ""):
            return "unable to access trp Api"
        if self._faults.fire(WhaleFaultKind.FRPC_DOWN, WhaleFaultKind.FRPC_ERROR):
            return "unable to access trp Api"
        return None
