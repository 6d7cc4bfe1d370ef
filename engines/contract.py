"""The instance contract: what every backend offers and what its answers look like.

The rules themselves, with their ids, are in ``docs/contract.md``. Call sites depend on the four
methods of :class:`ContainerBackend` and on the shapes they return; nothing above ``engines`` asks
a backend for its type or name to decide what to do, it reads :attr:`ContainerBackend.capabilities`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypedDict


class Code(str, Enum):
    """Why a call ended as it did; callers branch on this and never parse a message."""

    OK = "ok"
    ALREADY_RUNNING = "already_running"
    LIMIT_REACHED = "limit_reached"
    CAPACITY = "capacity"
    CHALLENGE_UNAVAILABLE = "challenge_unavailable"
    IMAGE_MISSING = "image_missing"
    START_FAILED = "start_failed"
    NOT_READY = "not_ready"
    PORT_UNAVAILABLE = "port_unavailable"
    BUSY = "busy"
    RATE_LIMITED = "rate_limited"
    EXTENSION_LIMIT = "extension_limit"
    NOT_FOUND = "not_found"
    UNAVAILABLE = "unavailable"
    UNAUTHENTICATED = "unauthenticated"
    INTERNAL = "internal"


class Scope(str, Enum):
    """What an instance belongs to."""

    PER_CHALLENGE = "per_challenge"
    """One instance per (account, challenge): an account may be allowed several at once."""
    PER_ACCOUNT = "per_account"
    """One instance per account, whatever the challenge (Whale)."""


class ExtendMode(str, Enum):
    """What a successful extend does to the expiry."""

    ADDITIVE = "additive"
    """Adds a fixed step to the expiry."""
    RESET = "reset"
    """Sets the remaining time back to the full time-out (Whale)."""
    MIXED = "mixed"
    """The one or the other, as the backend does that the instance runs on (hybrid)."""


class Addressing(str, Enum):
    """How a player reaches an instance."""

    HOST_PORT = "host_port"
    """One host name for all, a port per instance."""
    SUBDOMAIN = "subdomain"
    """A host name per instance, told apart by the Host header."""


class Isolation(str, Enum):
    """What a backend keeps the program inside an instance from."""

    SIBLINGS = "siblings"
    """Other instances, but by the ports that players use."""
    HOST = "host"
    """The machine it runs on, the container engine on it, and the networks beside it."""
    INTERNET = "internet"
    """Everything outside, unless its challenge asks for it."""
    PRIVILEGES = "privileges"
    """More rights than its challenge asks for, and gaining new ones."""
    RESOURCES = "resources"
    """More memory, processes and open files than its challenge has."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend declares about itself. Declared but broken is a failure of the backend."""

    scope: Scope
    extend: ExtendMode
    addressing: frozenset[Addressing]
    ready_on_start: bool
    """The address answers by the time start returns True."""
    detects_loss: bool
    """Status notices a container that died or was removed behind the backend's back."""
    teams: bool
    multi_node: bool
    account_limit: int
    """Live instances one account may hold."""
    max_extensions: int
    timeout_seconds: int
    """Full life of a fresh instance."""
    extension_seconds: int
    """What one extend adds (additive) or sets the remaining time to (reset)."""
    isolation: frozenset[Isolation] = frozenset()
    """What instances are kept from."""
    flag_grace_seconds: int = 0
    """How long a flag counts after the end of its container; 0 for a backend that leaves the flags
    to what it stands on."""
    lapse_seconds: int = 0
    """After how long a start whose process has died is in its account's way no more; 0 where that
    is not said."""


class InstanceStatus(TypedDict):
    """A live instance, as :meth:`ContainerBackend.get_instance_status` returns it."""

    active: bool
    container_id: str
    challenge_id: int
    host: str
    ports: list[str]
    started_at: str
    """ISO 8601, UTC."""
    expires_at: str
    """ISO 8601, UTC."""
    remaining_seconds: int
    extension_count: int
    max_extensions: int
    backend: str


class StartResult(tuple[bool, str, dict[str, Any]]):
    """``(ok, message, instance)`` with ``code``, ``retry_after`` and ``definite``.

    ``instance`` has the keys of :class:`InstanceStatus` when ``ok`` is True and is empty otherwise.
    """

    code: Code
    retry_after: float | None
    """Seconds after which the same call may succeed; None when waiting does not help."""
    definite: bool
    """False when the outcome is not known, as after a time-out."""

    def __new__(
        cls,
        ok: bool,
        message: str,
        instance: dict[str, Any] | InstanceStatus | None = None,
        *,
        code: Code,
        retry_after: float | None = None,
        definite: bool = True,
    ) -> StartResult:
        self = super().__new__(cls, (ok, message, dict(instance or {})))
        self.code = code
        self.retry_after = retry_after
        self.definite = definite
        return self

    @property
    def ok(self) -> bool:
        return self[0]

    @property
    def message(self) -> str:
        return self[1]

    @property
    def instance(self) -> dict[str, Any]:
        return self[2]

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return tuple(self), _extras(self)

    def __repr__(self) -> str:
        return f"StartResult{tuple(self)!r} code={self.code.value} definite={self.definite}"


class ActionResult(tuple[bool, str]):
    """``(ok, message)`` of extend and stop, with ``code``, ``retry_after`` and ``definite``."""

    code: Code
    retry_after: float | None
    definite: bool

    def __new__(
        cls,
        ok: bool,
        message: str,
        *,
        code: Code,
        retry_after: float | None = None,
        definite: bool = True,
    ) -> ActionResult:
        self = super().__new__(cls, (ok, message))
        self.code = code
        self.retry_after = retry_after
        self.definite = definite
        return self

    @property
    def ok(self) -> bool:
        return self[0]

    @property
    def message(self) -> str:
        return self[1]

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return tuple(self), _extras(self)

    def __repr__(self) -> str:
        return f"ActionResult{tuple(self)!r} code={self.code.value} definite={self.definite}"


def _extras(result: StartResult | ActionResult) -> dict[str, Any]:
    return {
        "code": result.code,
        "retry_after": result.retry_after,
        "definite": result.definite,
    }


LARGEST_ID = 2**63 - 1
"""Ids are stored as signed 64-bit integers on every database."""


def validate_ids(user_id: object, challenge_id: object, team_id: object = None) -> None:
    """Raise :class:`ValueError` unless the ids are positive ints (``True`` is not one here).

    ``team_id`` may be None: the account is then the user's own.
    """
    named = [("user_id", user_id), ("challenge_id", challenge_id)]
    if team_id is not None:
        named.append(("team_id", team_id))
    for name, value in named:
        if type(value) is not int or not 1 <= value <= LARGEST_ID:
            shown = repr(value) if isinstance(value, (int, float)) else type(value).__name__
            raise ValueError(
                f"{name} must be an int from 1 to 2**63-1, not {shown[:40]}; pass the id itself"
            )


def account_key(user_id: int, team_id: int | None) -> str:
    """The account an instance belongs to: ``team:T`` when a team is given, else ``user:U``."""
    return f"user:{user_id}" if team_id is None else f"team:{team_id}"


class ContainerBackend(ABC):
    """One way of running challenge instances; all of them are interchangeable at the call site.

    Invalid arguments raise :class:`ValueError` before anything happens. Nothing else is raised,
    except for :class:`engines.errors.BackendUnavailable` from :meth:`get_instance_status`.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name, as it stands in ``status["backend"]`` and in the audit log."""

    @property
    def names(self) -> frozenset[str]:
        """What may stand in ``status["backend"]`` and in the audit log: more than :attr:`name`
        where a backend passes calls on to others."""
        return frozenset({self.name})

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this backend, as configured, can do."""

    @abstractmethod
    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        """Start the account's instance of a challenge, or return the one that is live."""

    @abstractmethod
    def extend_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> ActionResult:
        """Give a live instance more time."""

    @abstractmethod
    def stop_instance(
        self,
        user_id: int,
        challenge_id: int,
        team_id: int | None = None,
        auto_cleanup: bool = False,
    ) -> ActionResult:
        """Stop and remove a live instance. ``auto_cleanup`` is the worker's call for expiry."""

    @abstractmethod
    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        """The live instance, or None.

        Raises:
            BackendUnavailable: the backend cannot be asked; "I don't know" is not "none".
        """

    def holds(self, user_id: int, challenge_id: int, team_id: int | None = None) -> bool:
        """Whether anything of this instance is there or may yet come, live or not.

        Answered from the backend's own records where it keeps them, so also in an outage.

        Raises:
            BackendUnavailable: it cannot be asked.
        """
        return self.get_instance_status(user_id, challenge_id, team_id) is not None

    def last_known(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        """What the backend's own records say of an instance whose time is not over.

        For when :meth:`get_instance_status` raises: nobody is asked whether it still runs. None
        where nothing is on record, or no records are kept.

        Raises:
            BackendUnavailable: the records cannot be read.
        """
        return None

    def holds_any(self) -> bool:
        """Whether anything of any instance may be there, so that the worker is needed."""
        return True

    def may_be_challenge(self, challenge_id: int) -> bool:
        """Whether there may be a challenge of this id; True where the backend cannot know."""
        return True

    def throttle(self, user_id: int, team_id: int | None = None) -> float | None:
        """Asked by the endpoints before each call that changes something, which it counts: None
        to go on, or the seconds that an account must wait which has called too often."""
        return None

    def recorded_flag(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> str | None:
        """The flag a submission is compared with: that of the live instance, else the last one that
        still counts. None when there is none, or when the backend leaves the flags to what it
        stands on (Whale)."""
        return None

    def ends_on_solve(self, challenge_id: int) -> bool:
        """Whether an instance of this challenge is to end when its account has solved it."""
        return False

    def counting_flags(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> tuple[str, ...]:
        """Every flag that is right for the account now: :meth:`recorded_flag` first, then those
        of containers that ended within the grace time."""
        flag = self.recorded_flag(user_id, challenge_id, team_id)
        return () if flag is None else (flag,)

    def expire_due(self) -> int:
        """Remove what has expired, each once; returns how many. The worker's whole work."""
        return 0

    def end_orphans(self) -> int:
        """End what belongs to an account or challenge that is gone; returns how many were ended.
        The worker does it in every round; code that deletes accounts may ask for it at once.

        Raises:
            BackendUnavailable: it cannot be told whose instances are.
        """
        return 0

    def reconcile(self) -> int:
        """Make records and containers agree after a crash; returns how many were repaired."""
        return 0

    def fill_pool(self) -> int:
        """Make what later starts will take; returns how much was made. The worker's last work."""
        return 0

    def why_ended(self, user_id: int, challenge_id: int, team_id: int | None = None) -> str | None:
        """For a player: why the last instance was ended, where nobody asked for it and its time
        was not over; None where there is nothing to tell."""
        return None

    def forget_old(self) -> int:
        """Delete some of what was written down and is kept for long enough; returns how many rows.
        The worker does it in every round, so that nothing grows for ever; never raises."""
        return 0

    def watch(self) -> int:
        """End what uses up what all share; returns how many. Called between the worker's rounds,
        which come too late for a disk that fills within seconds."""
        return 0

    def alarmed(self) -> bool:
        """Whether :meth:`watch` should not wait until it is due; must cost next to nothing."""
        return False

    def close(self) -> None:  # noqa: B027 - closing is optional: many backends hold nothing open
        """Let go of connections; instances keep running."""
