"""ctfd-whale's own challenge type, started through us: its forms and values stay Whale's."""

from __future__ import annotations

import hmac
from typing import Any

from engines.errors import BackendUnavailable
from engines.site.deployment import Deployment

from .challenge_type import WhaleReadyType, cannot_check, own_flag, stop_all


def served(whales: Any, site: Deployment) -> Any:
    """Whale's type with our panel, and with our flags while an instance runs on the own engine.

    Whatever is no such flag is left to Whale's type: CTFd's flags, or the one of its container.

    Args:
        whales: the class that ctfd-whale has registered.
    """

    class ServedWhaleType(whales):  # type: ignore[misc]  # it is known at run time only
        templates = whales.templates | {"view": WhaleReadyType.templates["view"]}
        scripts = whales.scripts | {"view": WhaleReadyType.scripts["view"]}

        @classmethod
        def attempt(cls, challenge: Any, request: Any) -> Any:
            data = request.form or request.get_json()
            try:
                flag = own_flag(site, challenge.id)
            except BackendUnavailable:
                cannot_check()
            given = str(data["submission"]).strip()
            if flag and hmac.compare_digest(flag.encode(), given.encode()):
                return True, "Correct"
            return super().attempt(challenge, request)

        @classmethod
        def delete(cls, challenge: Any) -> None:
            stop_all(site, challenge.id)
            super().delete(challenge)

    return ServedWhaleType
