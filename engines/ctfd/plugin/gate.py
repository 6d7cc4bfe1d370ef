"""Collects what the gate decides on (``engines/ctfd/gate.py``) from CTFd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import g, has_request_context

from engines.ctfd import gate
from engines.ctfd.gate import AskedChallenge, Contest, Person, Unmet
from engines.web import Caller, Operation, WebRefusal

from .platform import (
    Challenges,
    Solves,
    can_access_challenge,
    ctf_ended,
    ctf_paused,
    ctf_started,
    db,
    get_config,
    get_current_team,
    get_current_user,
    is_teams_mode,
    is_verified,
    view_after_ctf,
)


class SiteGate:
    """What CTFd lets its players do now.

    Args:
        types: the challenge types that run containers through us.
        holds: whether anything of an account's instance of a challenge is on record.
    """

    def __init__(self, types: frozenset[str], holds: Callable[[Caller, int], bool]) -> None:
        self._types = types
        self._holds = holds

    def refusal(self, caller: Caller, challenge_id: int, wish: Operation) -> WebRefusal | None:
        g.whale_ready_admin = caller.is_admin
        user = get_current_user()
        challenge = Challenges.query.filter_by(id=challenge_id).first()
        ours = challenge is not None and challenge.type in self._types
        subject = _subject(challenge, user) if ours else AskedChallenge(ours=False)
        found = gate.refusal(_person(caller, user), _contest(), subject, wish)
        # A start takes seconds: CTFd's connection is given back for that time.
        db.session.close()
        if found is not None and wish in gate.OF_WHAT_RUNS and self._holds(caller, challenge_id):
            return None
        return found


def admin_asks() -> bool:
    """Whether the request at work is an admin's, who may start what is hidden."""
    return has_request_context() and bool(g.get("whale_ready_admin", False))


def _person(caller: Caller, user: Any) -> Person:
    team = get_current_team()
    return Person(
        is_admin=caller.is_admin,
        banned=bool(user.banned or (team is not None and team.banned)),
        needs_team=is_teams_mode() and caller.team_id is None,
        needs_confirmation=bool(get_config("verify_emails")) and not is_verified(),
    )


def _contest() -> Contest:
    if not ctf_started():
        return Contest.BEFORE
    if ctf_paused():
        return Contest.PAUSED
    if ctf_ended():
        return Contest.OPEN_AFTER if view_after_ctf() else Contest.OVER
    return Contest.RUNNING


def _subject(challenge: Any, user: Any) -> AskedChallenge:
    return AskedChallenge(
        state=challenge.state,
        accessible=can_access_challenge(challenge, user),
        players_see_challenges=get_config("challenge_visibility") != "admins",
        unmet=_unmet(challenge, user),
    )


def _unmet(challenge: Any, user: Any) -> Unmet:
    if not challenge.requirements:
        return Unmet.NO
    there = Challenges.query.with_entities(Challenges.id).all()
    solved = Solves.query.with_entities(Solves.challenge_id).filter_by(account_id=user.account_id)
    return gate.unmet(
        challenge.requirements,
        frozenset(number for (number,) in there),
        frozenset(number for (number,) in solved.all()),
    )
