"""Who is asking: CTFd's checks before a request reaches Whale, in CTFd's order.

Ban (by cookie only), then token, then CSRF; each looks at what the ones before it left in the
session (docs/whale-wire.md, "Who is asking").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import quote_plus

from .database import Transaction
from .errors import WhaleRefusal
from .machine import Machine
from .sessions import SessionView, new_nonce
from .world import User

FORBIDDEN = (
    "You don't have the permission to access the requested resource. It is either read-protected "
    "or not readable by the server."
)
UNAUTHORIZED = (
    "The server could not verify that you are authorized to access the URL requested. You either "
    "supplied the wrong credentials (e.g. a bad password), or your browser doesn't understand how "
    "to supply the credentials required."
)
NOT_FOUND = (
    "The requested URL was not found on the server. If you entered the URL manually please check "
    "your spelling and try again."
)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class Banned(Exception):
    """Answered with an HTML page; ``args[0]`` says who is banned."""


class LoginRedirect(Exception):
    """Answered with a redirect to :attr:`location`.

    ``aborted`` where CTFd raises the redirect: its API then shows it as JSON.
    """

    def __init__(self, full_path: str, *, aborted: bool = False) -> None:
        super().__init__(full_path)
        self.aborted = aborted
        self.location = "/login?next=" + quote_plus(full_path, safe="$!'()*,;~")


@dataclass(frozen=True)
class Asked:
    """What of a request CTFd's checks look at. ``full_path`` is path, ``?`` and query."""

    method: str
    path: str
    full_path: str
    is_json: bool
    event_stream: bool
    authorization: str | None
    csrf_header: str | None
    form_nonce: str | None
    cookie: str | None


class Visit:
    """One request: its session, its transaction, and who is behind it."""

    def __init__(self, machine: Machine, asked: Asked) -> None:
        self.machine = machine
        self.asked = asked
        self.session: SessionView = machine.sessions.open(asked.cookie)
        self.transaction: Transaction = machine.database.begin()
        if self.logged_in and self._session_user() is None:  # the user was deleted: logged out
            self.session.clear()

    def check_ban(self) -> None:
        """Raises :class:`Banned` when the cookie's user or team is; tokens come later."""
        user = self._session_user()
        if user is None:
            return
        if user.banned:
            raise Banned("You have been banned from this CTF")
        team = self.machine.directory.team(user.team_id)
        if team is not None and team.banned:
            raise Banned("Your team has been banned from this CTF")

    def check_token(self) -> None:
        """Log the token's user into the session; raises :class:`WhaleRefusal` 401."""
        header = self.asked.authorization
        if not header or not self.asked.is_json:
            return
        _scheme, space, value = header.partition(" ")
        if not space:
            raise WhaleRefusal(401, "Invalid authorization header", known=False)
        directory = self.machine.directory
        token = directory.token(value)
        user = directory.user(token.user_id) if token else None
        if token is None or user is None:
            raise WhaleRefusal(401, "Your access token is invalid", known=False)
        if token.expires_at is not None and self.machine.clock.time() >= token.expires_at:
            raise WhaleRefusal(401, "Your access token has expired", known=False)
        self.session.log_in(user.id, directory.password_hash(user.id))

    def check_csrf(self) -> None:
        """Raises :class:`WhaleRefusal` 403; any Authorization header at all skips the check."""
        asked = self.asked
        if asked.authorization:
            return
        if not self.session.get("nonce"):
            self.session.set("nonce", new_nonce())
        if asked.method in SAFE_METHODS:
            return
        shown = asked.csrf_header if asked.is_json else asked.form_nonce
        if shown != self.session.get("nonce"):
            raise WhaleRefusal(403, FORBIDDEN, known=False)

    @property
    def logged_in(self) -> bool:
        """Whether the session belongs to somebody."""
        return bool(self.session.get("id"))

    @property
    def is_admin(self) -> bool:
        """Whether the session belongs to an admin."""
        user = self._session_user()
        return user is not None and user.type == "admin"

    def require_login(self) -> None:
        """Raises :class:`WhaleRefusal` 403, or a redirect to the login page for a browser."""
        if not self.logged_in:
            self._turn_away(event_stream=self.asked.event_stream)

    def require_admin(self) -> None:
        """As :meth:`require_login`, for admins."""
        if not self.is_admin:
            self._turn_away(event_stream=False)

    def user(self) -> User:
        """The session's user; raises :class:`WhaleRefusal` 401 when the password has changed
        since."""
        user = self._session_user()
        known_hash = self.session.get("hash")
        if user is None:
            raise WhaleRefusal(500, "Internal Server Error", known=False)
        if known_hash and known_hash != self.machine.directory.password_hash(user.id):
            self.session.clear()
            if self.asked.is_json:
                raise WhaleRefusal(401, UNAUTHORIZED, known=False)
            raise LoginRedirect(self.asked.full_path, aborted=True)
        return user

    def _session_user(self) -> User | None:
        return self.machine.directory.user(self.session.get("id"))

    def _turn_away(self, *, event_stream: bool) -> NoReturn:
        if self.asked.is_json or event_stream:
            raise WhaleRefusal(403, FORBIDDEN, known=False)
        raise LoginRedirect(self.asked.full_path)
