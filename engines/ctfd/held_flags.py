"""What a submission is compared with, and what its player is told where nothing can be.

CTFd compares; it asks for one of its own flags or for all of them (a challenge's ``logic``). The
container's flag is one more of them, with an id of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from engines.state.given_flags import digest

CONTAINERS_PART = 0
"""The container's flag among CTFd's own, whose ids begin with 1."""
ALL = "all"
"""CTFd's word for a challenge that asks for every flag."""

INCORRECT = "Incorrect"
"""CTFd's own word."""
CANNOT_CHECK = "Your flag cannot be checked just now, and no attempt was counted; try again shortly"
NOTHING_STARTED = (
    "You have not started this challenge's container yet, so there is no flag to find: start it "
    "first. No attempt was counted"
)


@dataclass(frozen=True)
class HeldFlags:
    """What is known of an account's flags for a challenge."""

    counting: tuple[str, ...] = field(repr=False)
    """Right now: that of the live instance, and those within the grace time."""
    digests: frozenset[str]
    """Of every flag that the account was ever given for it."""

    @property
    def any_ever(self) -> bool:
        """Whether a container of theirs has ever had a flag."""
        return bool(self.counting or self.digests)


def nothing_runs(grace_seconds: int) -> str:
    """What a player reads whose container is gone for too long.

    Args:
        grace_seconds: how long a flag outlives its container.
    """
    minutes, rest = divmod(grace_seconds, 60)
    after = f"{grace_seconds} seconds" if rest else f"{minutes} minute{'s' * (minutes != 1)}"
    still = f" and for {after} after it" if grace_seconds else ""
    return (
        f"{INCORRECT}: no container of yours is running. Its flag counts while it runs{still}; "
        "start a new one"
    )


def containers_part(held: HeldFlags, provided: Iterable[str], logic: str | None) -> list[Any]:
    """The container's flag as CTFd's static ones, any of which is right.

    Where all flags are asked for there is always one: a part that nobody has given is missing,
    whether a container runs or not, and one that was given stays given.

    Args:
        provided: what the account has given before, where CTFd keeps that.
    """
    flags = list(held.counting)
    if logic == ALL:
        flags += [each for each in provided if digest(each) in held.digests]
        flags = flags or [secrets.token_hex(32)]
    return [
        SimpleNamespace(id=CONTAINERS_PART, type="static", content=flag, data="") for flag in flags
    ]
