"""What a player can ask of Whale, whatever the dialect it is asked in.

Every function raises :class:`~fake_whale.whale.errors.WhaleRefusal`, or
:class:`~fake_whale.whale.errors.MechanismError` where the real one answers 500.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .control import ControlResult
from .database import Record
from .errors import MechanismError, WhaleRefusal
from .flavours import Existing, Window
from .visit import Visit
from .world import UserMode

LOCK_SECONDS = 10.0
LOCK_PATIENCE_SECONDS = 2.0
WINDOW_SECONDS = 60
TEAM_REQUIRED = "team required"
"""Refusal of a flavour whose instances are the team's, to users without one."""


@dataclass(frozen=True)
class ShownContainer:
    """The caller's container, as a GET shows it."""

    record: Record
    access: str
    remaining: int
    redirect_type: str | None

    @property
    def lan_domain(self) -> str:
        """``{user_id}-{uuid}``."""
        return f"{self.record.user_id}-{self.record.uuid}"


def status(visit: Visit, challenge_id: str | None) -> ShownContainer | None:
    """The caller's container, or None."""
    visit.require_login()
    require_visible(visit, challenge_id)
    user = visit.user()
    control = visit.machine.control
    record = _first(control.of(visit.transaction, user, challenge_id))
    if record is None:
        return None
    control.timeout()  # read first: a time-out that is no number fails even the wrong challenge
    if record.challenge_id != as_python_int(challenge_id):
        words = control.flavour.other_runs
        if words is None:
            return None
        name, category = _challenge_of(visit, record)
        link = (
            f'<a target="_blank" href="/challenges#{category}-{name}-{record.challenge_id}">'
            f"{name}</a>"
        )
        raise WhaleRefusal(403, words.format(link=link, name=name))
    return ShownContainer(
        record,
        control.access(record),
        control.remaining(record),
        visit.machine.directory.challenges_redirect(record.challenge_id),
    )


def start(visit: Visit, challenge_id: str | None) -> ControlResult:
    """Start anew; what is there already is destroyed first, unless the flavour lets it be."""
    visit.require_login()
    require_visible(visit, challenge_id)
    with frequency_limited(visit):
        user = visit.user()
        control = visit.machine.control
        if control.flavour.existing is Existing.REPLACED:
            control.remove(visit.transaction, control.of(visit.transaction, user, challenge_id))
        outcome = control.add(visit.transaction, user, challenge_id or "")
        return _unless_refused(outcome)


def renew(visit: Visit, challenge_id: str | None) -> ControlResult:
    """Set the time back to the full time-out."""
    visit.require_login()
    require_visible(visit, challenge_id)
    with frequency_limited(visit):
        user = visit.user()
        machine = visit.machine
        limit = machine.settings.integer("docker_max_renew_count", 5)
        record = _first(machine.control.of(visit.transaction, user, challenge_id))
        if record is None:
            raise WhaleRefusal(403, "Instance not found.")
        if record.challenge_id != as_python_int(challenge_id):
            name, _ = _challenge_of(visit, record)
            raise WhaleRefusal(403, f"Container started but not from this challenge（{name}）")
        if record.renew_count >= limit:
            raise WhaleRefusal(403, "Max renewal count exceed.")
        return machine.control.renew(visit.transaction, record)


def stop(visit: Visit, challenge_id: str | None) -> ControlResult:
    """Destroy whatever the caller runs; of that challenge, if the flavour tells them apart."""
    visit.require_login()
    control = visit.machine.control
    if control.flavour.strict:
        require_visible(visit, challenge_id)
    with frequency_limited(visit):
        records = control.of(visit.transaction, visit.user(), challenge_id)
        return _unless_refused(control.remove(visit.transaction, records))


def require_visible(visit: Visit, challenge_id: str | None) -> None:
    """Raises :class:`WhaleRefusal` unless the challenge is found and the caller may see it."""
    visit.transaction.look()
    if visit.machine.control.flavour.strict:
        _require_strictly(visit, challenge_id)
        return
    challenge = visit.machine.directory.challenge_matching(challenge_id)
    if visit.is_admin:
        if challenge is None:
            raise WhaleRefusal(404, "no such challenge")
    elif challenge is None or challenge.state in ("hidden", "locked"):
        raise WhaleRefusal(403, "challenge not visible")


def _require_strictly(visit: Visit, challenge_id: str | None) -> None:
    try:
        number = as_python_int(challenge_id)
    except MechanismError:
        raise WhaleRefusal(400, "missing or invalid challenge_id") from None
    challenge = visit.machine.directory.challenge(number)
    if visit.is_admin:
        if challenge is None:
            raise WhaleRefusal(404, "no such challenge")
    else:
        _account(visit)
        if challenge is None or challenge.state in ("hidden", "locked"):
            raise WhaleRefusal(403, "challenge not visible")
    if challenge.type != "dynamic_docker":
        raise WhaleRefusal(400, "challenge is not a docker challenge")


def _account(visit: Visit) -> str:
    """Whose locks and limits those of the caller are; raises :class:`WhaleRefusal` without a
    team."""
    user = visit.user()
    teams = visit.machine.directory.user_mode is UserMode.TEAMS
    if not (visit.machine.control.flavour.per_team and teams):
        return str(user.id)
    if user.team_id is None:
        raise WhaleRefusal(403, TEAM_REQUIRED)
    return f"team-{user.team_id}"


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
        account = _account(visit)
        visit.transaction.look()
        visit.machine.company.settle()
        locks = visit.machine.redis.locks
        lock = locks.acquire(f"ctfd_whale_lock-{account}", LOCK_SECONDS, LOCK_PATIENCE_SECONDS)
        if lock is None:
            raise WhaleRefusal(403, "Request Too Fast!")
        try:
            _open_window(visit, account)
            yield
        except BaseException:  # raised again
            if visit.machine.control.flavour.leaves_lock:
                locks.abandon(lock)
            else:
                locks.release(lock)
            raise
        locks.release(lock)


def _open_window(visit: Visit, account: str) -> None:
    machine = visit.machine
    flavour = machine.control.flavour
    seconds = flavour.window_seconds
    if not seconds:
        return
    if flavour.window_setting:
        seconds = machine.settings.integer(flavour.window_setting, seconds)
    if flavour.window is Window.ACCOUNT:
        left = machine.redis.cool_down(f"ctfd_whale_cooldown-{account}", seconds)
        if left:
            raise WhaleRefusal(403, flavour.window_text.format(seconds=left))
        return
    now = int(machine.clock.time())
    opened = visit.session.get("limit")
    if opened is not None and now - int(opened) < seconds:
        raise WhaleRefusal(403, flavour.window_text.format(seconds=seconds))
    visit.session.set("limit", now)


def _first(records: list[Record]) -> Record | None:
    return records[0] if records else None


def _unless_refused(outcome: ControlResult) -> ControlResult:
    if not outcome.ok:
        raise WhaleRefusal(403, outcome.message)
    return outcome


def _challenge_of(visit: Visit, record: Record) -> tuple[str, str]:
    challenge = visit.machine.directory.challenge(record.challenge_id)
    if challenge is None or challenge.type != "dynamic_docker":
        raise MechanismError("the record's challenge is gone")
    return challenge.name, challenge.category
