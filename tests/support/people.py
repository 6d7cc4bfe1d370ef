"""Accounts and challenges whose numbers change hands, for tests without a CTFd."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from engines.errors import BackendUnavailable
from engines.owners import Key, Mark

OLD, NEW = "first", "second"


class People:
    """Who has a number now; a name is a mark."""

    def __init__(self) -> None:
        self.users: dict[int, str] = {7: OLD, 8: "other"}
        self.teams: dict[int, str] = {}
        self.challenges: dict[int, str] = {1: "web", 2: "pwn"}
        self.down = False

    def marks(self, keys: Collection[Key]) -> Mapping[Key, Mark]:
        if self.down:
            raise BackendUnavailable("an import is at work")
        return {
            (user, team, challenge): Mark(
                self.users.get(user, "") if team is None else self.teams.get(team, ""),
                self.challenges.get(challenge, ""),
            )
            for user, team, challenge in keys
        }
