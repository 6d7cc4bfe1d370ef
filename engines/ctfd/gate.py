"""What a player may do now, decided on plain facts; the plugin collects them from CTFd.

The order is CTFd's own, as for a submission: who you are, the contest's hours, the challenge.
Whatever somebody could not see in CTFd is refused as if it were not there, and so is an id that is
no challenge's: no call about it goes any further.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from engines.contract import Code
from engines.web import Operation, WebCode, WebRefusal


class Contest(str, Enum):
    """Where the contest stands."""

    BEFORE = "before"
    RUNNING = "running"
    PAUSED = "paused"
    OVER = "over"
    OPEN_AFTER = "open_after"
    """Over, and its challenges may still be played."""


class Unmet(str, Enum):
    """Whether other challenges must be solved first."""

    NO = "no"
    HIDDEN = "hidden"
    """Yes, and until then nobody is shown that this one exists."""
    SHOWN = "shown"
    """Yes, and it is shown as locked (CTFd: anonymized)."""


@dataclass(frozen=True)
class Person:
    """Who asks."""

    is_admin: bool = False
    banned: bool = False
    """The user, or the team."""
    needs_team: bool = False
    """Teams play, and this one has none."""
    needs_confirmation: bool = False
    """The site asks for a confirmed e-mail address, and this one is not."""


@dataclass(frozen=True)
class AskedChallenge:
    """The challenge that is asked for."""

    ours: bool = True
    """There is one of this id, and of a type that runs containers."""
    state: str = "visible"
    """``visible``, ``hidden`` or ``locked``, as CTFd says."""
    accessible: bool = True
    """Its time has come, and it is in a module open to this player."""
    players_see_challenges: bool = True
    """False while the site shows challenges to admins only."""
    unmet: Unmet = Unmet.NO


OF_WHAT_RUNS = (Operation.STOP, Operation.STATUS)
_GONE = WebRefusal(Code.CHALLENGE_UNAVAILABLE, "This challenge is not available")
_CLOSED = {
    Contest.BEFORE: "The contest has not started yet",
    Contest.PAUSED: "The contest is paused; what runs goes on, and you may stop it",
    Contest.OVER: "The contest is over",
}


def refusal(
    person: Person, contest: Contest, subject: AskedChallenge, wish: Operation
) -> WebRefusal | None:
    """Why this wish is refused now, or None.

    What runs can be looked at and stopped by its owner, whatever else has changed: who asks this
    lets such a wish (:data:`OF_WHAT_RUNS`) pass for whom something is on record.
    """
    if wish in OF_WHAT_RUNS:
        unseen = not subject.ours if person.is_admin else _subject(subject) is _GONE
        return _GONE if unseen else None
    if person.is_admin:
        return None if subject.ours else _GONE
    return _person(person) or _contest(contest) or _subject(subject)


def _person(person: Person) -> WebRefusal | None:
    if person.banned:
        return WebRefusal(WebCode.FORBIDDEN, "You have been banned from this contest")
    if person.needs_team:
        return WebRefusal(
            WebCode.FORBIDDEN, "Join a team or create one first: containers are a team's"
        )
    if person.needs_confirmation:
        return WebRefusal(WebCode.FORBIDDEN, "Confirm your e-mail address first")
    return None


def _contest(contest: Contest) -> WebRefusal | None:
    message = _CLOSED.get(contest)
    return None if message is None else WebRefusal(WebCode.CONTEST_CLOSED, message)


def _subject(subject: AskedChallenge) -> WebRefusal | None:
    seen = subject.ours and subject.state == "visible" and subject.accessible
    if not seen or not subject.players_see_challenges or subject.unmet is Unmet.HIDDEN:
        return _GONE
    if subject.unmet is Unmet.SHOWN:
        return WebRefusal(WebCode.FORBIDDEN, "Other challenges must be solved before this one")
    return None


def unmet(requirements: object, challenges: frozenset[int], solved: frozenset[int]) -> Unmet:
    """What a challenge's ``requirements`` column asks that is not done.

    Args:
        requirements: as CTFd stores it: ``{"prerequisites": [ids], "anonymize": …}`` or None.
        challenges: every id there is: what was deleted is asked of nobody.
        solved: what the account has solved.
    """
    if not isinstance(requirements, dict):
        return Unmet.NO
    asked = {each for each in requirements.get("prerequisites") or [] if isinstance(each, int)}
    if solved >= (asked & challenges):
        return Unmet.NO
    return Unmet.SHOWN if requirements.get("anonymize") else Unmet.HIDDEN
