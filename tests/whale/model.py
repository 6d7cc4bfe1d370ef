"""What the adapter must answer, in plain dictionaries: who holds what, until when.

One instance per account, and one per user whatever the account, as Whale has it. Times are in epoch
seconds. The model knows nothing of how the adapter works; it is told what became of a call, and
says beforehand what that must be.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from support.parallel import Player

from engines.contract import Code


@dataclass
class Held:
    """An account's instance; it stays here when its time is over, until something takes its place.

    ``counted`` is how many extensions are told; Whale may know of more (``renewed``) when the
    answer to one was lost. ``blurred``: the adapter had to read the times off Whale's, which are
    whole seconds.
    """

    account: str
    challenge: int
    owner: int
    uuid: str
    address: tuple[str, str]
    started_at: float
    expires_at: float
    counted: int = 0
    renewed: int = 0
    blurred: bool = False


class Model:
    """The contract, for an account limit of one and extends that reset the time."""

    def __init__(self, *, visible: Collection[int], timeout: float, most: int) -> None:
        self.visible = visible
        self.timeout = timeout
        self.most = most
        self.now = 0.0
        self.held: dict[str, Held] = {}

    # What is there.

    def live(self, account: str) -> Held | None:
        """What the account has running."""
        held = self.held.get(account)
        return held if held is not None and self.now < held.expires_at else None

    def lives(self) -> list[Held]:
        """Everything that runs."""
        return [held for held in self.held.values() if self.now < held.expires_at]

    def of(self, player: Player, challenge: int) -> Held | None:
        """What the player's account has running of this challenge."""
        held = self.live(player.account)
        return held if held is not None and held.challenge == challenge else None

    # What must be answered.

    def start(self, player: Player, challenge: int) -> Code:
        """An account's or a user's place that is taken is told first, then what is on offer."""
        mine = self.live(player.account)
        if mine is not None:
            same = mine.challenge == challenge
            return Code.ALREADY_RUNNING if same else Code.LIMIT_REACHED
        if any(held.owner == player.user_id for held in self.lives()):
            return Code.LIMIT_REACHED
        return Code.OK if challenge in self.visible else Code.CHALLENGE_UNAVAILABLE

    def extend(self, player: Player, challenge: int) -> Code:
        held = self.of(player, challenge)
        if held is None:
            return Code.NOT_FOUND
        return Code.OK if held.counted < self.most else Code.EXTENSION_LIMIT

    def stop(self, player: Player, challenge: int) -> Code:
        return Code.NOT_FOUND if self.of(player, challenge) is None else Code.OK

    def status(self, player: Player, challenge: int) -> dict[str, Any] | None:
        held = self.of(player, challenge)
        return None if held is None else self.shown(held)

    def shown(self, held: Held) -> dict[str, Any]:
        host, port = held.address
        return {
            "active": True,
            "container_id": held.uuid,
            "challenge_id": held.challenge,
            "host": host,
            "ports": [port],
            "started_at": _iso(held.started_at),
            "expires_at": _iso(held.expires_at),
            "remaining_seconds": int(held.expires_at - self.now),
            "extension_count": held.counted,
            "max_extensions": self.most,
            "backend": "whale",
        }

    # What happened.

    def started(self, player: Player, challenge: int, uuid: str, address: tuple[str, str]) -> Held:
        """A container came to run; what the user or the account had before is over."""
        self.held = {
            account: held
            for account, held in self.held.items()
            if account != player.account and held.owner != player.user_id
        }
        held = Held(
            player.account,
            challenge,
            player.user_id,
            uuid,
            address,
            self.now,
            self.now + self.timeout,
        )
        self.held[player.account] = held
        return held

    def renewed(self, player: Player) -> None:
        held = self.held[player.account]
        held.expires_at = self.now + self.timeout
        held.renewed += 1

    def stopped(self, player: Player) -> None:
        del self.held[player.account]


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat()
