"""CTFd's sessions: data in redis, a signed id in the cookie.

A request works on a copy of the data taken at its start and stores it at its end, if it changed:
two requests of one session at once do not see each other (docs/whale-wire.md, "Concurrency").
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from random import Random
from typing import Any
from uuid import UUID

from .redis import Redis, SessionData

COOKIE_NAME = "session"
# Every call makes an id and a nonce. Asking the system for them lets go of the GIL each time, which
# costs a third of the throughput; a fake's need not be unguessable, and ids are signed.
_RANDOM = Random(secrets.randbits(256))  # noqa: S311  # see above


class SessionView:
    """One request's view of its session."""

    def __init__(self, sid: str, data: SessionData) -> None:
        self.sid = sid
        self._data = data
        self.modified = False

    def get(self, key: str) -> Any:
        """The value stored under ``key``, or None."""
        return self._data.get(key)

    def set(self, key: str, value: Any) -> None:
        """Store ``value``; the session counts as changed."""
        self._data[key] = value
        self.modified = True

    def clear(self) -> None:
        """Forget everything, as logging out does."""
        self._data.clear()
        self.modified = True

    @property
    def data(self) -> SessionData:
        """All values."""
        return self._data

    def log_in(self, user_id: int, password_hash: str) -> None:
        """Become that user; a 60 s window that is open in the session stays open."""
        self.set("id", user_id)
        self.set("nonce", new_nonce())
        self.set("hash", password_hash)


class SessionStore:
    """Opens sessions from cookies and stores them again."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._key = secrets.token_bytes(32)

    def open(self, cookie: str | None) -> SessionView:
        """The session of that cookie; a new one when there is none or its signature is bad."""
        sid = self._unsign(cookie) if cookie else None
        if sid is None:
            return SessionView(_new_id(), {})
        return SessionView(sid, self._redis.load_session(sid))

    def save(self, session: SessionView) -> str | None:
        """Store a changed session; the cookie to set, ``""`` to delete it, None to leave it."""
        if not session.modified:
            return None
        self._redis.save_session(session.sid, session.data)
        return self._sign(session.sid) if session.data else ""

    def renew_id(self, session: SessionView) -> None:
        """Give the session a new id, as logging in does."""
        self._redis.drop_session(session.sid)
        session.sid = _new_id()
        session.modified = True

    def _sign(self, sid: str) -> str:
        digest = hashlib.blake2b(sid.encode(), key=self._key, digest_size=32).digest()
        return f"{sid}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"

    def _unsign(self, cookie: str) -> str | None:
        sid, dot, _ = cookie.rpartition(".")
        return sid if dot and hmac.compare_digest(self._sign(sid), cookie) else None


def new_nonce() -> str:
    """64 hex digits."""
    return f"{_RANDOM.getrandbits(256):064x}"


def _new_id() -> str:
    """A uuid's spelling, as CTFd's session ids have it."""
    return str(UUID(int=_RANDOM.getrandbits(128), version=4))
