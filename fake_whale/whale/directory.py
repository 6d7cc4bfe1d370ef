"""CTFd's accounts and challenges while the fake runs: the world, and what was changed since."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass, field, replace

from . import mariadb
from .clock import EpochClock
from .world import Team, User, UserMode, WhaleChallenge, WhaleWorld

TOKEN_LIFETIME_SECONDS = 30 * 86_400.0
"""CTFd's default life of a token that was made without an end."""


MAIL_DOMAIN = "example.org"
"""Every user's e-mail address is the name at this domain."""


@dataclass(frozen=True)
class Token:
    """An access token; ``repr`` does not show its value."""

    id: int
    user_id: int
    value: str = field(repr=False)
    created_at: float = 0.0
    expires_at: float | None = None
    description: str | None = None


class Directory:
    """Users, teams, challenges and tokens by id."""

    def __init__(self, world: WhaleWorld, clock: EpochClock) -> None:
        self._key = secrets.token_bytes(32)
        self._clock = clock
        self._lock = threading.Lock()
        self.user_mode: UserMode = world.user_mode
        self._users = {user.id: user for user in world.users}
        self._teams = {team.id: team for team in world.teams}
        self._challenges = {challenge.id: challenge for challenge in world.challenges}
        self._hashes = {user.id: self._digest(user.password) for user in world.users}
        self._tokens: dict[str, Token] = {}
        for user in world.users:
            if user.token:
                number = len(self._tokens) + 1
                self._tokens[user.token] = Token(number, user.id, user.token, clock.time())
        self._last_token = len(self._tokens)

    def user(self, user_id: object) -> User | None:
        """The user with that id, or None."""
        return self._users.get(user_id) if isinstance(user_id, int) else None

    def users(self) -> list[User]:
        """All users."""
        return list(self._users.values())

    def mates(self, user: User) -> frozenset[int]:
        """The ids of the user's team in teams mode, else the user's own alone."""
        if self.user_mode is not UserMode.TEAMS or user.team_id is None:
            return frozenset({user.id})
        return frozenset(each.id for each in self._users.values() if each.team_id == user.team_id)

    def user_named(self, name: str) -> User | None:
        """The user with that name or e-mail (case does not matter, as in MariaDB), or None."""
        wanted = name.casefold().removesuffix(f"@{MAIL_DOMAIN}")
        return next((u for u in self._users.values() if u.name.casefold() == wanted), None)

    def team(self, team_id: int | None) -> Team | None:
        """The team with that id, or None."""
        return None if team_id is None else self._teams.get(team_id)

    def challenge(self, challenge_id: int) -> WhaleChallenge | None:
        """The challenge with that id, or None."""
        return self._challenges.get(challenge_id)

    def challenges_redirect(self, challenge_id: int) -> str | None:
        """How players reach the challenge (``http``, ``direct``), None when it is gone."""
        challenge = self.challenge(challenge_id)
        return challenge.redirect_type if challenge else None

    def challenges(self) -> list[WhaleChallenge]:
        """All challenges."""
        return list(self._challenges.values())

    def challenge_matching(self, text: str | None) -> WhaleChallenge | None:
        """The challenge whose id MariaDB holds equal to ``text``, or None."""
        if text is None:
            return None
        return self._challenges.get(mariadb.equal_to(text))

    def change_user(self, user_id: int, **changes: object) -> None:
        """Change fields of a user; a changed password ends the user's sessions."""
        with self._lock:
            user = replace(self._users[user_id], **changes)  # type: ignore[arg-type]  # names are checked by replace
            self._users[user_id] = user
            self._hashes[user_id] = self._digest(user.password)

    def remove_user(self, user_id: int) -> None:
        """Forget a user and the user's tokens."""
        with self._lock:
            self._users.pop(user_id, None)
            self._tokens = {k: t for k, t in self._tokens.items() if t.user_id != user_id}

    def change_team(self, team_id: int, **changes: object) -> None:
        """Change fields of a team."""
        with self._lock:
            self._teams[team_id] = replace(self._teams[team_id], **changes)  # type: ignore[arg-type]  # see change_user

    def change_challenge(self, challenge_id: int, **changes: object) -> None:
        """Change fields of a challenge (``state="hidden"``, say)."""
        with self._lock:
            changed = replace(self._challenges[challenge_id], **changes)  # type: ignore[arg-type]  # see change_user
            self._challenges[challenge_id] = changed

    def remove_challenge(self, challenge_id: int) -> None:
        """Forget a challenge."""
        with self._lock:
            self._challenges.pop(challenge_id, None)

    def password_hash(self, user_id: int) -> str:
        """What a session remembers of the password it was opened with."""
        return self._hashes.get(user_id, "")

    def password_fits(self, user: User, password: str) -> bool:
        """Whether that is the user's password."""
        return hmac.compare_digest(self._digest(password), self._hashes[user.id])

    def token(self, value: str) -> Token | None:
        """The token with that value, expired or not, or None."""
        return self._tokens.get(value)

    def tokens_of(self, user_id: int) -> list[Token]:
        """The user's tokens."""
        return [token for token in self._tokens.values() if token.user_id == user_id]

    def add_token(self, user_id: int, expires_at: float | None, description: str | None) -> Token:
        """Make a token; without ``expires_at`` (epoch seconds) it lives 30 days."""
        now = self._clock.time()
        with self._lock:
            self._last_token += 1
            token = Token(
                self._last_token,
                user_id,
                f"ctfd_{secrets.token_hex(32)}",
                now,
                now + TOKEN_LIFETIME_SECONDS if expires_at is None else expires_at,
                description,
            )
            self._tokens[token.value] = token
            return token

    def remove_token(self, token_id: int, user_id: int | None) -> bool:
        """Remove a token (of that user, unless None); False when there is none."""
        with self._lock:
            for value, token in self._tokens.items():
                if token.id == token_id and user_id in (None, token.user_id):
                    del self._tokens[value]
                    return True
            return False

    def _digest(self, password: str) -> str:
        return hmac.new(self._key, password.encode(), hashlib.sha256).hexdigest()
