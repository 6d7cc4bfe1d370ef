"""ctfd-whale's own challenge type, started through us: its forms and values stay Whale's."""

from __future__ import annotations

import hmac
from typing import Any

from werkzeug.exceptions import Forbidden, TooManyRequests

from engines.ctfd import held_flags as judging
from engines.ctfd.deployment import Deployment
from engines.ctfd.held_flags import HeldFlags
from engines.errors import BackendUnavailable

from .challenge_type import WhaleReadyType, account, ends_with_its_solve, not_judged, stop_all

_WHALE_HAS_NONE = "Please solve it during the container is running"
"""Whale's answer to a wrong flag of whom it has no container for."""


def served(whales: Any, site: Deployment) -> Any:
    """Whale's type with our panel, and with our flags while an instance runs on the own engine.

    Whatever is no such flag is left to Whale's type: CTFd's flags, or the one of its container.
    What is wrong by that too is answered in our words, since Whale knows only its own containers.

    Args:
        whales: the class that ctfd-whale has registered.
    """

    class ServedWhaleType(whales):  # type: ignore[misc]  # it is known at run time only
        templates = whales.templates | {"view": WhaleReadyType.templates["view"]}
        scripts = whales.scripts | {"view": WhaleReadyType.scripts["view"]}

        @classmethod
        def attempt(cls, challenge: Any, request: Any) -> Any:
            data = request.form or request.get_json()
            given = str(data["submission"]).strip()
            user, team_id = account()
            try:
                held = site.flags(user.id, challenge.id, team_id)
            except BackendUnavailable:
                held = None
            if held is not None and any(_same(flag, given) for flag in held.counting):
                return True, "Correct"
            answer = super().attempt(challenge, request)
            if held is None:
                correct, _ = answer
                if correct:
                    return answer
                not_judged(challenge, TooManyRequests(), judging.CANNOT_CHECK)
                return answer
            return _judged(site, challenge, given, held, answer)

        @classmethod
        def solve(cls, user: Any, team: Any, challenge: Any, request: Any) -> None:
            super().solve(user, team, challenge, request)
            ends_with_its_solve(site, user, team, challenge.id)

        @classmethod
        def delete(cls, challenge: Any) -> None:
            stop_all(site, challenge.id)
            super().delete(challenge)

    return ServedWhaleType


def _judged(site: Deployment, challenge: Any, given: str, held: HeldFlags, answer: Any) -> Any:
    """Whale's own answer, in our words where it knows less than we do."""
    correct, said = answer
    user, team_id = account()
    if not correct and getattr(answer, "status", "incorrect") != "incorrect":
        return answer
    foreign = site.note_foreign(given, user.id, challenge.id, team_id)
    if correct:
        # Whale goes by numbers: what the number's former owner had is no flag of theirs.
        return (False, judging.INCORRECT) if foreign else answer
    if held.counting:
        return False, judging.INCORRECT
    if said != _WHALE_HAS_NONE:
        return answer
    if not held.any_ever:
        not_judged(challenge, Forbidden(), judging.NOTHING_STARTED)
    return False, site.nothing_runs()


def _same(flag: str, given: str) -> bool:
    return hmac.compare_digest(flag.encode(), given.encode())
