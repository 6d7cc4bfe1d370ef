"""Who plays and what is played in the harnesses that come with the suite."""

from __future__ import annotations

from dataclasses import replace

from conformance.harness import Challenges, Player

CHALLENGES = Challenges(
    first=1,
    second=2,
    hidden=3,
    missing_image=4,
    exits_at_once=5,
    unknown=999_999,
    names={1: "First", 2: "Second"},
)
"""Each harness adds which of them are reached by a port and which by a host name."""
ENGINE_CHALLENGES = replace(
    CHALLENGES,
    own_port=CHALLENGES.first,
    exits_own_port=CHALLENGES.exits_at_once,
    limited=6,
    ended=7,
    several_ports=8,
    warm=9,
)
"""With those that only our own engine has."""
COMPANION = 10
"""The one with a further container, where containers are real."""
SLOW_COMPANION = 11
"""The one that waits for a further container, on a single engine."""
LITTLE_DISK = 31
"""The one that may write little to the disk."""
DYING_COMPANION = 32
"""The one that waits for a further container, which ends."""
PAIRED_PORTS, ONE_CONNECTION, FLAG_FILE = 33, 34, 35
PLAYERS = (Player(11), Player(12), Player(13))
TEAM_PLAYERS = (Player(11, 4), Player(12, 5), Player(13, 6))
"""The same users where everybody is in a team: each in one of its own."""
CROWD_FROM = 1001
"""User id of the first of a crowd."""
MATES = (Player(21, 2), Player(22, 2), Player(31, 3), Player(32, 3))


def crowd(number: int, *, teams: bool = False) -> tuple[Player, ...]:
    """So many further users; with ``teams`` each in a team of its own."""
    ids = range(CROWD_FROM, CROWD_FROM + number)
    return tuple(Player(user_id, user_id if teams else None) for user_id in ids)
