"""Faults: which there are, when one fires, and what is noted when it does.

A fault names a kind and, optionally, who it hits: ``method``, ``path`` (a glob), ``user``; how
often: ``probability`` (seeded) and ``count``; and for slow kinds ``seconds``. Kinds of the imitated
system are asked for by the part they hit (``docker_hung`` by the engine); transport kinds by the
socket.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from enum import Enum
from fnmatch import fnmatchcase
from random import Random
from typing import Any, TypeVar

from .errors import FakeWhaleError
from .journal import CurrentRequest, Journal, current_call


class WhaleFaultKind(str, Enum):
    """Every fault there is."""

    IMAGE_MISSING = "image_missing"
    NO_SUITABLE_NODE = "no_suitable_node"
    DOCKER_REFUSED = "docker_refused"
    DOCKER_ERROR = "docker_error"
    DOCKER_HUNG = "docker_hung"
    DOCKER_SLOW = "docker_slow"
    FRPC_DOWN = "frpc_down"
    FRPC_ERROR = "frpc_error"
    FRPC_SLOW = "frpc_slow"
    FRPS_DOWN = "frps_down"
    REDIS_DOWN = "redis_down"
    # Events: see EVENTS.
    FRPC_RESTARTED = "frpc_restarted"
    FRPC_TOKEN_LOST = "frpc_token_lost"  # noqa: S105  # the name of an event
    DOCKER_RESTARTED = "docker_restarted"
    REDIS_FLUSHED = "redis_flushed"
    SERVICE_REMOVED = "service_removed"
    REFUSE = "refuse"
    # Transport: what the client sees instead of the answer.
    RESET_BEFORE_HEADERS = "reset_before_headers"
    RESET_AFTER_HEADERS = "reset_after_headers"
    HALF_BODY = "half_body"
    DRIBBLE = "dribble"
    EMPTY_REPLY = "empty_reply"
    WRONG_CONTENT_LENGTH = "wrong_content_length"
    HTML = "html"
    BAD_GATEWAY = "bad_gateway"
    SLOW_FIRST_BYTE = "slow_first_byte"
    HANG = "hang"
    """Nothing is answered until the fault is lifted; then all of it is."""
    LATE = "late"
    """A gateway gives up on the call at once; Whale works on it when the fault is lifted."""
    FUZZED = "fuzzed"
    """Anything at all (:mod:`fake_whale.fuzz`), another thing each time."""


EVENTS = frozenset(
    {
        WhaleFaultKind.FRPC_RESTARTED,
        WhaleFaultKind.FRPC_TOKEN_LOST,
        WhaleFaultKind.DOCKER_RESTARTED,
        WhaleFaultKind.REDIS_FLUSHED,
        WhaleFaultKind.SERVICE_REMOVED,
        WhaleFaultKind.REFUSE,
    }
)
"""These happen at once and once when nothing says which calls they are for; else at each such call,
before it is worked on. After REFUSE nobody gets a connection for ``seconds`` of real time."""

TRANSPORT = frozenset(
    {
        WhaleFaultKind.RESET_BEFORE_HEADERS,
        WhaleFaultKind.RESET_AFTER_HEADERS,
        WhaleFaultKind.HALF_BODY,
        WhaleFaultKind.DRIBBLE,
        WhaleFaultKind.EMPTY_REPLY,
        WhaleFaultKind.WRONG_CONTENT_LENGTH,
        WhaleFaultKind.HTML,
        WhaleFaultKind.BAD_GATEWAY,
        WhaleFaultKind.SLOW_FIRST_BYTE,
        WhaleFaultKind.HANG,
        WhaleFaultKind.LATE,
        WhaleFaultKind.FUZZED,
    }
)
DEFAULT_SECONDS = {
    WhaleFaultKind.DOCKER_SLOW: 12.0,
    WhaleFaultKind.FRPC_SLOW: 6.0,
    WhaleFaultKind.SLOW_FIRST_BYTE: 5.0,
    WhaleFaultKind.DRIBBLE: 0.1,
}
REFUSED_SECONDS = 5.0
"""How long REFUSE lasts by default when it is not for certain calls."""


class When(str, Enum):
    """Whether a transport fault keeps the call from Whale, or only loses its answer."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True)
class Fault:
    """One fault in place. ``count`` None: as often as it is hit; ``user``: by name."""

    kind: WhaleFaultKind
    id: int = 0
    probability: float = 1.0
    count: int | None = None
    path: str | None = None
    method: str | None = None
    user: str | None = None
    seconds: float = 0.0
    when: When = When.AFTER

    @property
    def happens_at_once(self) -> bool:
        """Whether this is an event that waits for no call.

        The ``user`` of a removed service is its owner, not the caller.
        """
        for_nobody = self.user is None or self.kind is WhaleFaultKind.SERVICE_REMOVED
        at_any_time = self.probability == 1 and self.count is None
        anywhere = self.path is None and self.method is None
        return self.kind in EVENTS and for_nobody and at_any_time and anywhere

    def hits(self, call: CurrentRequest | None) -> bool:
        """Whether the fault is meant for this call (None: for nobody's)."""
        if call is None:
            return self.path is None and self.method is None and self.user is None
        return (
            (self.path is None or fnmatchcase(call.path, self.path))
            and (self.method is None or self.method == call.method)
            and (self.user is None or self.user == call.user)
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON for the control surface."""
        return {
            "id": self.id,
            "kind": self.kind.value,
            "probability": self.probability,
            "count": self.count,
            "path": self.path,
            "method": self.method,
            "user": self.user,
            "seconds": self.seconds,
            "when": self.when.value,
        }


_FIELDS = ("kind", "probability", "count", "path", "method", "user", "seconds", "when")


def fault_from(data: object, where: str = "fault") -> Fault:
    """A fault from parsed JSON; raises :class:`FakeWhaleError` naming the field and the fix."""
    if not isinstance(data, dict):
        raise FakeWhaleError(f"{where}: must be a JSON object with at least 'kind'")
    for name in data:
        if name not in (*_FIELDS, "id"):
            raise FakeWhaleError(f"{where}.{name}: unknown; known are {', '.join(_FIELDS)}")
    for name in ("path", "method", "user"):
        if not isinstance(data.get(name), (str, type(None))):
            raise FakeWhaleError(f"{where}.{name}: must be text or null")
    kind = _member(WhaleFaultKind, data.get("kind"), f"{where}.kind")
    method = data.get("method")
    fault = Fault(
        kind=kind,
        probability=_number(data, "probability", 1.0, 1.0, where),
        count=_count(data.get("count"), where),
        path=data.get("path"),
        method=method.upper() if method else None,
        user=data.get("user"),
        seconds=_number(data, "seconds", DEFAULT_SECONDS.get(kind, 0.0), 86_400.0, where),
        when=_member(When, data.get("when", "after"), f"{where}.when"),
    )
    if kind is WhaleFaultKind.REFUSE and "seconds" not in data and fault.happens_at_once:
        return replace(fault, seconds=REFUSED_SECONDS)
    return fault


_Member = TypeVar("_Member", bound=Enum)


def _member(kind: type[_Member], value: object, where: str) -> _Member:
    try:
        return kind(value)
    except ValueError as error:
        choices = ", ".join(str(member.value) for member in kind)
        raise FakeWhaleError(f"{where}: {value!r} is not one of {choices}") from error


def _count(value: object, where: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise FakeWhaleError(f"{where}.count: must be a whole number of 1 or more, or null")
    return value


def _number(data: dict[str, Any], name: str, default: float, most: float, where: str) -> float:
    value = data.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise FakeWhaleError(f"{where}.{name}: must be between 0 and {most:g}, not {value!r}")
    return float(value)


@dataclass
class _Entry:
    fault: Fault
    fired: int = 0
    spent: bool = field(default=False)


class Faults:
    """The faults in place. Asking for one counts it, rolls its dice and notes it."""

    def __init__(self, random: Random, journal: Journal) -> None:
        self._random = random
        self._journal = journal
        self._entries: list[_Entry] = []
        self._last_id = 0
        self._lock = threading.Lock()

    @property
    def empty(self) -> bool:
        """Whether no fault is in place."""
        return not self._entries

    def put(self, fault: Fault) -> Fault:
        """Set a fault in place; returns it with its id."""
        with self._lock:
            self._last_id += 1
            placed = replace(fault, id=self._last_id)
            self._entries.append(_Entry(placed))
            return placed

    def clear(self) -> None:
        """Lift every fault."""
        with self._lock:
            self._entries.clear()

    def stands(self, fault: Fault) -> bool:
        """Whether a fault that has fired was not lifted since."""
        return any(entry.fault.id == fault.id for entry in self._entries)

    def listing(self) -> list[dict[str, Any]]:
        """The faults in place, with how often each has fired."""
        with self._lock:
            return [{**e.fault.as_dict(), "fired": e.fired} for e in self._entries]

    def fire(self, *kinds: WhaleFaultKind, when: When | None = None) -> Fault | None:
        """The first fault of one of ``kinds`` that hits the current call, or None.

        Faults of the imitated system take part in the call whatever their ``when``.
        """
        if not self._entries:
            return None
        call = current_call()
        with self._lock:
            fault = self._roll(kinds, when, call)
        if fault is not None:
            self.note(fault)
        return fault

    def standing(self, kind: WhaleFaultKind) -> bool:
        """Whether a fault of that kind is in place for everybody and until it is lifted."""
        return any(
            entry.fault.kind is kind
            and entry.fault.hits(None)
            and entry.fault.probability == 1
            and entry.fault.count is None
            for entry in self._entries
        )

    def note(self, fault: Fault) -> None:
        """Write into the journal that ``fault`` fired."""
        call = current_call()
        if call is not None:
            call.faults.append(fault.kind.value)
        self._journal.note(
            "fault",
            fault=fault.kind.value,
            fault_id=fault.id,
            method=call.method if call else None,
            path=call.path if call else None,
            user=call.user if call else None,
        )

    def _roll(
        self, kinds: tuple[WhaleFaultKind, ...], when: When | None, call: CurrentRequest | None
    ) -> Fault | None:
        for entry in self._entries:
            fault = entry.fault
            if entry.spent or fault.kind not in kinds or not fault.hits(call):
                continue
            if when is not None and fault.when is not when:
                continue
            if fault.probability < 1 and self._random.random() >= fault.probability:
                continue
            entry.fired += 1
            entry.spent = fault.count is not None and entry.fired >= fault.count
            return fault
        return None
