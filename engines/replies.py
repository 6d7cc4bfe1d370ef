"""Answers that mean the same on every backend, so that they read the same."""

from __future__ import annotations

from datetime import datetime, timedelta

from engines.contract import ActionResult, Code, InstanceStatus, StartResult
from engines.state.instances import Instance

RETRY_SOON_SECONDS = 1.0
"""``retry_after`` of a call that met another one at work on the same instance."""

_BUSY = "This challenge's container is just being started or stopped; please wait a moment"


def started(instance: InstanceStatus) -> StartResult:
    return StartResult(True, "Container started", instance, code=Code.OK)


def already_running(instance: InstanceStatus) -> StartResult:
    return StartResult(True, "Container is already running", instance, code=Code.ALREADY_RUNNING)


def stopped() -> ActionResult:
    return ActionResult(True, "Container stopped", code=Code.OK)


def not_found() -> ActionResult:
    return ActionResult(False, "No running container for this challenge", code=Code.NOT_FOUND)


def limit_reached(running: str) -> StartResult:
    """``running`` names what stands in the way; it is made plain before it is shown."""
    plain = running.replace("<", "‹").replace(">", "›")
    message = f"You already have a running container: {plain}. Stop it first"
    return StartResult(False, message, code=Code.LIMIT_REACHED)


def extension_limit(maximum: int) -> ActionResult:
    message = f"Maximum extensions reached ({maximum})"
    return ActionResult(False, message, code=Code.EXTENSION_LIMIT)


def busy(retry_after: float = RETRY_SOON_SECONDS) -> ActionResult:
    return ActionResult(False, _BUSY, code=Code.BUSY, retry_after=retry_after)


def busy_start(retry_after: float = RETRY_SOON_SECONDS) -> StartResult:
    return StartResult(False, _BUSY, code=Code.BUSY, retry_after=retry_after)


def describe(row: Instance, *, now: datetime, max_extensions: int, backend: str) -> InstanceStatus:
    """A live row as the contract shows it."""
    left = timedelta()
    if row.expires_at is not None and row.started_at is not None:
        # Whose clock was stepped back has no more than the whole life left all the same.
        left = row.expires_at - max(now, row.started_at)
    return InstanceStatus(
        active=True,
        container_id=row.container_id or "",
        challenge_id=row.challenge_id,
        host=row.host,
        ports=list(row.ports),
        started_at=iso(row.started_at),
        expires_at=iso(row.expires_at),
        remaining_seconds=max(0, int(left.total_seconds())),
        extension_count=row.extension_count,
        max_extensions=max_extensions,
        backend=backend,
    )


def iso(moment: datetime | None) -> str:
    """A stored time as ISO 8601; empty when there is none yet."""
    return "" if moment is None else moment.isoformat()
