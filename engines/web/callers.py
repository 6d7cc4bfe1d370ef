"""Who is asking, and what they may: supplied by the application that mounts the endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from flask import Request

from engines.web.answers import Refused, WebCode, WebRefusal


@dataclass(frozen=True)
class Caller:
    """Who a request comes from, as the application's own login says.

    Args:
        team_id: the team whose account counts, or None where users play alone.
        name: what an admin is called in the audit log; None: by the user id alone.
    """

    user_id: int
    team_id: int | None = None
    is_admin: bool = False
    name: str | None = None


class Identity(Protocol):
    """How the application knows its callers."""

    def who(self, request: Request) -> Caller | None:
        """Who is logged in, or None. Never from the body, the query or a header anyone may set."""
        ...

    def csrf_ok(self, request: Request) -> bool:
        """Whether a request that changes something was made on purpose.

        A caller known by a cookie must show what another site's page cannot, such as CTFd's
        ``CSRF-Token`` header; one known by an access token need not.
        """
        ...


class Operation(str, Enum):
    """What a player wants of a challenge."""

    START = "start"
    EXTEND = "extend"
    STOP = "stop"
    STATUS = "status"


class Gate(Protocol):
    """What the application lets its players do now: hidden challenges, the contest's hours."""

    def refusal(self, caller: Caller, challenge_id: int, wish: Operation) -> WebRefusal | None:
        """Why this wish is refused now, or None.

        Let a player stop what runs even where they could not start it.
        """
        ...


class OpenGate:
    """Refuses nothing; the backend still refuses what its catalogue does not show."""

    def refusal(self, caller: Caller, challenge_id: int, wish: Operation) -> WebRefusal | None:
        return None


class Authorizer:
    """Lets in who may.

    Each method returns the caller or raises :class:`engines.web.answers.Refused`.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def player(self, request: Request) -> Caller:
        """Somebody logged in."""
        caller = self._identity.who(request)
        if caller is None:
            raise Refused(
                WebCode.LOGIN_REQUIRED,
                "Please log in first",
                {"WWW-Authenticate": 'Session realm="container"'},
            )
        return caller

    def player_who_changes(self, request: Request) -> Caller:
        """Somebody logged in who sent this request on purpose."""
        caller = self.player(request)
        self._on_purpose(request)
        return caller

    def admin(self, request: Request) -> Caller:
        """An admin who is logged in."""
        caller = self.player(request)
        if not caller.is_admin:
            raise Refused(WebCode.FORBIDDEN, "Only admins may do this")
        return caller

    def admin_who_changes(self, request: Request) -> Caller:
        """An admin who sent this request on purpose."""
        caller = self.admin(request)
        self._on_purpose(request)
        return caller

    def _on_purpose(self, request: Request) -> None:
        if not self._identity.csrf_ok(request):
            message = "The CSRF token is missing or wrong; reload the page and try again"
            raise Refused(WebCode.CSRF_FAILED, message)
