"""Who plays, and what there is to play."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from engines.catalog import ChallengeSpec, Readiness, StaticCatalog
from engines.hybrid import Position
from fake_whale import Team as WhaleTeam
from fake_whale import User as WhaleUser
from fake_whale import UserMode
from fake_whale import WhaleChallenge as WhaleChallenge
from fake_whale import WhaleWorld as WhaleWorld

LIFE_SECONDS = 300
"""Full life of an instance, on both: short enough to be seen ending."""
EXTENSIONS = 5
WHALE_IMAGE = "demo:1"


@dataclass(frozen=True)
class DemoPlayer:
    """A player, and the team whose account counts."""

    user_id: int
    name: str
    team_id: int
    team: str


PLAYERS: Mapping[int, DemoPlayer] = {
    player.user_id: player
    for player in (
        DemoPlayer(1, "Ana", 1, "Narwhals"),
        DemoPlayer(2, "Ben", 1, "Narwhals"),
        DemoPlayer(3, "Cem", 2, "Orcas"),
        DemoPlayer(4, "Dora", 2, "Orcas"),
        DemoPlayer(5, "Eli", 3, "Belugas"),
        DemoPlayer(6, "Fay", 4, "Dolphins"),
    )
}


@dataclass(frozen=True)
class DemoChallenge:
    """A challenge; ``web`` ones are opened in a browser, the others with a program like nc."""

    id: int
    name: str
    web: bool

    @property
    def category(self) -> str:
        return "web" if self.web else "pwn"


CHALLENGES: Mapping[int, DemoChallenge] = {
    challenge.id: challenge
    for challenge in (
        DemoChallenge(105, "Warm-up", web=True),
        DemoChallenge(1, "Cookie jar", web=True),
        DemoChallenge(6, "Echo chamber", web=False),
        DemoChallenge(7, "Blind oracle", web=True),
        DemoChallenge(23, "Heap of trouble", web=False),
        DemoChallenge(17, "Time machine", web=True),
    )
}
"""Their places on the dial follow from their ids, which are such that each step of the dial shows:
0.1, 9, 33, 63, 72 and 97 %."""

PILOT, NEVER = 7, 23
BEGIN = Position(percent=0, challenges={PILOT: True, NEVER: False})
"""Where the dial stands at first: one challenge goes ahead, one never goes."""


def catalog(image: str) -> StaticCatalog:
    """The challenges as CRE starts them."""
    return StaticCatalog(
        ChallengeSpec(
            id=challenge.id,
            name=challenge.name,
            image=image,
            readiness=Readiness.HTTP if challenge.web else Readiness.TCP,
        )
        for challenge in CHALLENGES.values()
    )


def made_up_tokens() -> dict[int, str]:
    """An access token for each player's account on Whale, by user id; others in every run."""
    return {user_id: f"ctfd_{secrets.token_hex(32)}" for user_id in PLAYERS}


def whale_world(tokens: Mapping[int, str], direct_ports: range) -> WhaleWorld:
    """What exists in the fake Whale's CTFd."""
    return WhaleWorld(
        users=[
            WhaleUser(
                player.user_id, player.name, token=tokens[player.user_id], team_id=player.team_id
            )
            for player in PLAYERS.values()
        ],
        teams=[
            WhaleTeam(number, name)
            for number, name in {player.team_id: player.team for player in PLAYERS.values()}.items()
        ],
        user_mode=UserMode.TEAMS,
        challenges=[
            WhaleChallenge(
                challenge.id,
                challenge.name,
                category=challenge.category,
                image=WHALE_IMAGE,
                redirect_type="http" if challenge.web else "direct",
            )
            for challenge in CHALLENGES.values()
        ],
        images=frozenset({WHALE_IMAGE}),
        config={
            "docker_timeout": str(LIFE_SECONDS),
            "docker_max_renew_count": str(EXTENSIONS),
            # Browsers know such names to be this machine: no name server is asked.
            "frp_http_domain_suffix": "localhost",
            "frp_direct_port_minimum": str(direct_ports.start),
            "frp_direct_port_maximum": str(direct_ports.stop - 1),
        },
    )
