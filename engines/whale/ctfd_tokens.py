"""Access tokens from the database of Whale's own CTFd.

For an adapter that runs inside that CTFd, or may read its database: nobody has to hand out tokens.
Only the table ``tokens`` is touched (CTFd 3.8): read, and a row added for who has none.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from engines.clock import Clock
from engines.contract import Code
from engines.errors import WhaleFault
from engines.whale.client import RETRY_SECONDS
from engines.whale.credentials import authorization, nobody

TOKEN_DAYS = 30
"""CTFd's own default for a token's life."""
MARGIN = timedelta(minutes=5)
"""A token that ends sooner is not used any more."""

_tokens = sa.table(
    "tokens",
    sa.column("id", sa.Integer),
    sa.column("type", sa.String),
    sa.column("user_id", sa.Integer),
    sa.column("created", sa.DateTime),
    sa.column("expiration", sa.DateTime),
    sa.column("description", sa.Text),
    sa.column("value", sa.String),
)
_users = sa.table("users", sa.column("id", sa.Integer))


class CtfdTokens:
    """Tokens out of CTFd's table; one that Whale refuses is not used again."""

    def __init__(self, engine: sa.engine.Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[int, str] = {}
        self._refused: set[str] = set()

    def headers(self, user_id: int) -> Mapping[str, str]:
        token = self._known.get(user_id)
        if token is None:
            with self._lock:
                token = self._known[user_id] = self._token(user_id)
        return authorization(token)

    def refresh(self, user_id: int) -> bool:
        with self._lock:
            refused = self._known.pop(user_id, None)
            if refused is not None:
                self._refused.add(refused)
        return refused is not None

    def __repr__(self) -> str:
        return f"CtfdTokens({len(self._known)} users)"

    def existing(self, user_id: int) -> str | None:
        """The user's longest lasting token, None when there is none; nothing is made.

        Raises:
            WhaleFault: ``UNAVAILABLE`` when the database cannot be asked.
        """
        with self._transaction() as connection:
            return self._usable(connection, user_id)

    def holders(self) -> list[int]:
        """Every user who has a token that lasts.

        Raises:
            WhaleFault: ``UNAVAILABLE`` when the database cannot be asked.
        """
        lasting = sa.select(_tokens.c.user_id).where(_tokens.c.expiration > self._now() + MARGIN)
        with self._transaction() as connection:
            return sorted(connection.execute(lasting.distinct()).scalars())

    def _token(self, user_id: int) -> str:
        """The user's longest lasting token; a new one when there is none."""
        with self._transaction() as connection:
            return self._usable(connection, user_id) or self._new(connection, user_id)

    def _usable(self, connection: sa.engine.Connection, user_id: int) -> str | None:
        rows = connection.execute(
            sa.select(_tokens.c.value)
            .where(_tokens.c.user_id == user_id, _tokens.c.expiration > self._now() + MARGIN)
            .order_by(_tokens.c.expiration.desc())
        ).scalars()
        return next((str(value) for value in rows if value not in self._refused), None)

    @contextmanager
    def _transaction(self) -> Iterator[sa.engine.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError:
            # Its text may quote the statement, token included.
            raise WhaleFault(
                Code.UNAVAILABLE,
                "The challenge servers cannot be reached; please try again shortly",
                retry_after=RETRY_SECONDS,
            ) from None

    def _new(self, connection: sa.engine.Connection, user_id: int) -> str:
        known = connection.execute(sa.select(_users.c.id).where(_users.c.id == user_id)).first()
        if known is None:
            raise nobody()
        value = f"ctfd_{secrets.token_hex(32)}"
        now = self._now()
        connection.execute(
            _tokens.insert().values(
                type="user",
                user_id=user_id,
                created=now,
                expiration=now + timedelta(days=TOKEN_DAYS),
                description="whale-ready",
                value=value,
            )
        )
        return value

    def _now(self) -> datetime:
        """UTC without saying so, as CTFd stores it."""
        return self._clock.now().astimezone(timezone.utc).replace(tzinfo=None)
