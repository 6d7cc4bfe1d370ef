"""What the audit log tells of a call: the event, what was done, and who did it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any

from engines.contract import Code


class Action(str, Enum):
    """What a call did, or failed to do."""

    STARTED = "started"
    START_REPEATED = "start_repeated"
    """A start that found the instance live and changed nothing."""
    START_FAILED = "start_failed"
    EXTENDED = "extended"
    EXTEND_FAILED = "extend_failed"
    STOPPED = "stopped"
    STOP_FAILED = "stop_failed"
    EXPIRED = "expired"
    """Removed because its time was over, by the worker or by the next call that met it."""
    LOST = "lost"
    """Found dead or removed behind the backend's back; its record was cleared."""
    DISK_FULL = "disk_full"
    """Ended by the engine, as it had written more to the disk than its challenge allows."""
    ADOPTED = "adopted"
    """Found running on Whale without a record here (started on Whale's own page); recorded."""
    ORPHANED = "orphaned"
    """Ended because its account or its challenge was deleted, or became another's."""
    FOREIGN_FLAG = "foreign_flag"
    """A flag was submitted that another account was given; nothing was changed."""
    REPAIRED = "repaired"
    """Left half-way by a process that died or a call that broke off; cleared up."""


UNCHANGED = (
    Action.START_REPEATED,
    Action.START_FAILED,
    Action.EXTEND_FAILED,
    Action.STOP_FAILED,
)
"""What players' calls come to that change nothing."""


@dataclass(frozen=True)
class ContainerEvent:
    """One row of the audit log."""

    at: datetime
    backend: str
    user_id: int
    team_id: int | None
    challenge_id: int
    action: Action
    code: Code
    duration_ms: int
    """From the call's begin to the moment the event was written."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """``container_id``, ``old_expiry``, ``new_expiry`` …; JSON values only."""
    id: int | None = None
    times: int = 1
    """How many equal calls it tells of; more than one only where nothing was changed."""
    last_at: datetime | None = None
    """When the last of them came; None where there was one."""


audit_detail: ContextVar[Mapping[str, Any]] = ContextVar(
    "audit_detail", default=MappingProxyType({})
)
"""What the events of calls that are made now say besides; see :func:`with_detail`."""


@contextmanager
def with_detail(**detail: Any) -> Iterator[None]:
    """The events of calls made inside this block, by this thread, carry ``detail`` too.

    For who passes a call on and knows why: the signature of the calls has no room for it.
    """
    token = audit_detail.set({**audit_detail.get(), **detail})
    try:
        yield
    finally:
        audit_detail.reset(token)


@contextmanager
def done_by(user_id: int, name: str | None = None) -> Iterator[None]:
    """The events of calls made inside this block, by this thread, say who made them.

    For who acts on another's account, as admins do: the ``user_id`` of an event is the account's.
    """
    named = {} if name is None else {"actor_name": name}
    with with_detail(actor=user_id, **named):
        yield
