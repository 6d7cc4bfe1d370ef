"""ctfd-whale's own challenge type, started through us: its forms and values stay Whale's."""

from __future__ import annotations

import hmac
from typing import Any

from engines.errors import BackendUnavailable
from engines.site.deployment import Deployment

from .challenge_type import (
    INCORRECT,
    NOTHING_RUNS,
    WhaleReadyType,
    cannot_check,
    ends_with_its_solve,
    own_flag,
    stop_all,
)

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
            try:
                flag, unknown = own_flag(site, challenge.id), False
            except BackendUnavailable:
                flag, unknown = None, True
            if flag and hmac.compare_digest(flag.encode(), given.encode()):
                return True, "Correct"
            answer = super().attempt(challenge, request)
            correct, said = answer
            if correct:
                return answer
            if unknown:
                cannot_check()
            if flag and getattr(answer, "status", "incorrect") == "incorrect":
                return False, INCORRECT
            return (False, NOTHING_RUNS) if said == _WHALE_HAS_NONE else answer

        @classmethod
        def solve(cls, user: Any, team: Any, challenge: Any, request: Any) -> None:
            super().solve(user, team, challenge, request)
            ends_with_its_solve(site, user, team, challenge.id)

        @classmethod
        def delete(cls, challenge: Any) -> None:
            stop_all(site, challenge.id)
            super().delete(challenge)

    return ServedWhaleType
