"""The four requests to Whale, as one of its users."""

from __future__ import annotations

from engines.whale.client import WhaleClient
from engines.whale.credentials import Credentials
from engines.whale.dialects import Dialect, Look


class WhaleAPI:
    """Speaks one dialect to one Whale. Every method may raise :class:`WhaleFault`."""

    def __init__(self, client: WhaleClient, dialect: Dialect, credentials: Credentials) -> None:
        self._client = client
        self._dialect = dialect
        self._credentials = credentials

    def look(self, user_id: int, challenge_id: int) -> Look:
        """What the user has, asked about one challenge."""
        path = self._dialect.path(challenge_id)
        return self._dialect.look(self._client.call("GET", path, self._headers(user_id)))

    def create(self, user_id: int, challenge_id: int) -> None:
        """POST: destroys whatever the user has, then creates. Look first."""
        self._write("POST", user_id, challenge_id)

    def renew(self, user_id: int, challenge_id: int) -> None:
        """PATCH: sets the remaining time back to the full time-out."""
        self._write("PATCH", user_id, challenge_id)

    def destroy(self, user_id: int, challenge_id: int) -> None:
        """DELETE: destroys whatever the user has, whatever the challenge id. Look first."""
        self._write("DELETE", user_id, challenge_id)

    def close(self) -> None:
        """Close pooled connections."""
        self._client.close()

    def _write(self, method: str, user_id: int, challenge_id: int) -> None:
        path = self._dialect.path(challenge_id)
        self._dialect.written(self._client.call(method, path, self._headers(user_id)))

    def _headers(self, user_id: int) -> dict[str, str]:
        return dict(self._credentials.headers(user_id))
