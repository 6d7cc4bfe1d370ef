"""Whether a number still means what it meant when an instance began.

Users, teams and challenges can be deleted, and some databases give their numbers to others. An
instance therefore remembers a mark of its account and its challenge: an account with the same
numbers and other marks is somebody else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from engines.errors import BackendUnavailable
from engines.state.instances import Instance

ACCOUNT = "its account"
"""How a reason begins that is about the account."""

Key = tuple[int, int | None, int]
"""A user, the team the instance is for, and a challenge."""


@dataclass(frozen=True)
class Mark:
    """What tells an account and a challenge from others with the same numbers.

    Empty: there is no such account, or no such challenge. Neither holds a dot.
    """

    account: str
    challenge: str

    @property
    def text(self) -> str:
        """As it is stored."""
        return f"{self.account}.{self.challenge}"


class Owners(Protocol):
    """The application's accounts and challenges, as they are now."""

    def marks(self, keys: Collection[Key]) -> Mapping[Key, Mark] | None:
        """The mark of each key; None where there are no such tables to be asked.

        Raises:
            SQLAlchemyError: the database cannot be asked.
            BackendUnavailable: it cannot be told now, as during an import.
        """
        ...


class Ownership:
    """Whose an instance is. Without ``owners`` numbers are all there is, and never change hands."""

    def __init__(self, owners: Owners | None = None) -> None:
        self._owners = owners

    def mark(self, user_id: int, team_id: int | None, challenge_id: int) -> str | None:
        """The mark that an instance of theirs carries; None where marks are not known.

        Raises:
            BackendUnavailable: the owners cannot be asked.
        """
        key = (user_id, team_id, challenge_id)
        found = self._marks([key])
        return None if found is None else found[key].text

    def lost(self, row: Instance) -> str:
        """Why an instance belongs to nobody any more, in words; empty while it has its owner.

        Raises:
            BackendUnavailable: the owners cannot be asked.
        """
        found = self._marks([_key(row)])
        return "" if found is None else _why(row.mark, found[_key(row)])

    def examine(self, rows: Iterable[Instance]) -> list[tuple[Instance, str, str]]:
        """Each row with the mark it should carry, and why it is lost (empty: it is not).

        Raises:
            BackendUnavailable: the owners cannot be asked.
        """
        listed = list(rows)
        found = self._marks({_key(row) for row in listed}) if listed else None
        if found is None:
            return []
        return [(row, found[_key(row)].text, _why(row.mark, found[_key(row)])) for row in listed]

    def _marks(self, keys: Collection[Key]) -> Mapping[Key, Mark] | None:
        if self._owners is None:
            return None
        try:
            return self._owners.marks(keys)
        except SQLAlchemyError as error:
            raise BackendUnavailable("the site's accounts cannot be read") from error


def _key(row: Instance) -> Key:
    return row.user_id, row.team_id, row.challenge_id


def _why(recorded: str | None, now: Mark) -> str:
    if not now.account:
        return f"{ACCOUNT} is gone"
    if not now.challenge:
        return "its challenge is gone"
    if recorded is None:
        return ""  # from before there were marks: it gets one
    account, _, challenge = recorded.partition(".")
    if account != now.account:
        return f"{ACCOUNT} is gone, and another one has the number"
    if challenge != now.challenge:
        return "its challenge is gone, and another one has the number"
    return ""
