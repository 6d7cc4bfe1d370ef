"""What a player can ask of Whale, whatever the dialect it is asked in.

Every function raises :class:`~fake_whale.errors.Refusal`, or
:class:`~fake_whale.errors.MechanismError` where the real one answers 500.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .control import Outcome
from .database import Record
from .errors import MechanismError, Refusal
from .visit import Visit

LOCK_SECONDS = 10.0
LOCK_PATIENCE_SECONDS = 2.0
WINDOW_SECONDS = 60


@dataclass(frozen=True)
class Running:
    """The caller's container, as a GET shows it."""

    record: Record
    access: str
    remaining: int
    redirect_type: str | None

    @property
    def lan_domain(self) -> str:
        """``{user_id}-{uuid}``."""
        return f"{self.record.user_id}-{self.record.uuid}"


def status(visit: Visit, challenge_id: str | None) -> Running | None:
    """The caller's container, or None."""
    visit.require_login()
    require_visible(visit, challenge_id)
    user = visit.user()
    control = visit.machine.control
    record = visit.transaction.of_user(user.id)
    if record is None:
        return None
    control.timeout()  # read first: a time-out that is no number fails even the wrong challenge
    if record.challenge_id != as_python_int(challenge_id):
        name, category = _challenge_of(visit, record)
        link = (
            f'<a target="_blank" href="/challenges#{category}-{name}-{record.challenge_id}">'
            f"{name}</a>"
        )
        raise Refusal(403, f"Container already started but not from this challenge ({link})")
    return Running(
        record,
        control.access(record),
        control.remaining(record),
        visit.machine.directory.challenges_redirect(record.challenge_id),
    )


def start(visit: Visit, challenge_id: str | None) -> Outcome:
    """Destroy whatever the caller runs, then start anew."""
    visit.require_login()
    require_visible(visit, challenge_id)
    with frequency_limited(visit):
        user = visit.user()
        control = visit.machine.control
        control.remove(visit.transaction, visit.transaction.of_user(user.id))
        outcome = control.add(visit.transaction, user.id, challenge_id or "")
        return _unless_refused(outcome)


def renew(visit: Visit, challenge_id: str | None) -> Outcome:
    """Set the time back to the full time-out."""
    visit.require_login()
    require_visible(visit, challenge_id)
    with frequency_limited(visit):
        user = visit.user()
        machine = visit.machine
        limit = machine.settings.integer("docker_max_renew_count", 5)
        record = visit.transaction.of_user(user.id)
        if record is None:
            raise Refusal(403, "Instance not found.")
        if record.challenge_id != as_python_int(challenge_id):
            name, _ = _challenge_of(visit, record)
            raise Refusal(403, f"Container started but not from this challenge（{name}）")
        if record.renew_count >= limit:
            raise Refusal(403, "Max renewal count exceed.")
        return machine.control.renew(visit.transaction, record)


def stop(visit: Visit) -> Outcome:
    """Destroy whatever the caller runs, of whichever challenge."""
    visit.require_login()
    with frequency_limited(visit):
        user = visit.user()
        record = visit.transaction.of_user(user.id)
        return _unless_refused(visit.machine.control.remove(visit.transaction, record))


def require_visible(visit: Visit, challenge_id: str | None) -> None:
    """Raises :class:`Refusal` unless MariaDB finds the challenge and the caller may see it."""
    visit.transaction.look()
    challenge = visit.machine.directory.challenge_matching(challenge_id)
    if visit.is_admin:
        if challenge is None:
            raise Refusal(404, "no such challenge")
    elif challenge is None or challenge.state in ("hidden", "locked"):
        raise Refusal(403, "challenge not visible")


def as_python_int(text: str | None) -> int:
    """Whale's own reading of ``challenge_id``, stricter than MariaDB's; raises MechanismError."""
    try:
        return int(text or "")
    except ValueError as error:
        raise MechanismError("challenge_id is not a number for Python") from error


@contextmanager
def frequency_limited(visit: Visit) -> Iterator[None]:
    """Take the user's lock and open the session's window; an error within leaves the lock."""
    with visit.machine.company.joined():
        if visit.is_admin:
            visit.machine.company.settle()
            yield
            return
        user = visit.user()
        visit.transaction.look()
        visit.machine.company.settle()
        locks = visit.machine.redis.locks
        lock = locks.acquire(f"ctfd_whale_lock-{user.id}", LOCK_SECONDS, LOCK_PATIENCE_SECONDS)
        if lock is None:
            raise Refusal(403, "Request Too Fast!")
        try:
            _open_window(visit)
            yield
        except BaseException:  # as in the real one, any error leaves the lock; raised again
            locks.abandon(lock)
            raise
        locks.release(lock)


def _open_window(visit: Visit) -> None:
    now = int(visit.machine.clock.time())
    opened = visit.session.get("limit")
    if opened is not None and now - int(opened) < WINDOW_SECONDS:
        raise Refusal(403, "Frequency limit, You should wait at least 1 min.")
    visit.session.set("limit", now)


def _unless_refused(outcome: Outcome) -> Outcome:
    if not outcome.ok:
        raise Refusal(403, outcome.message)
    return outcome


def _challenge_of(visit: Visit, record: Record) -> tuple[str, str]:
    challenge = visit.machine.directory.challenge(record.challenge_id)
    if challenge is None or challenge.type != "dynamic_docker":
        raise MechanismError("the record's challenge is gone")
    return challenge.name, challenge.category
