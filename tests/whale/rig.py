"""A small fake Whale over HTTP, and adapters in front of it, for tests of many calls.

Nothing listens for the instances and nothing is probed: what counts here is who holds what.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from support.parallel import Player

from engines.settings import Settings
from engines.whale import StaticTokens, WhaleAPIManager
from fake_whale import FakeWhale, Team, TransactionIsolation, User, WhaleChallenge, WhaleWorld
from fake_whale.whale.clock import EpochClock

HTTP, DIRECT = 1, 2
HTTP_TOO, HIDDEN, UNKNOWN = 3, 4, 999_999
VISIBLE = (HTTP, DIRECT, HTTP_TOO)
SUFFIX, HTTP_PORT, DIRECT_HOST = "127.0.0.1.nip.io", "8080", "127.0.0.1"


def tokens(players: Sequence[Player]) -> dict[int, str]:
    """Made up, in the form CTFd gives them."""
    return {player.user_id: f"ctfd_{player.user_id:064x}" for player in players}


def fake_whale(
    players: Sequence[Player],
    clock: EpochClock,
    *,
    timeout: int,
    renewals: int,
    places: int = 100,
    frpc_file: bool = False,
    flavour: str | None = None,
) -> FakeWhale:
    """A Whale with these players, at MariaDB's default isolation, that admits so many."""
    teams = {player.user_id: player.team_id for player in players if player.team_id is not None}
    world = WhaleWorld(
        users=[
            User(user_id, f"user{user_id}", token=token, team_id=teams.get(user_id))
            for user_id, token in tokens(players).items()
        ],
        teams=[Team(team_id, f"team{team_id}") for team_id in sorted(set(teams.values()))],
        challenges=[
            WhaleChallenge(HTTP, "First"),
            WhaleChallenge(DIRECT, "Second", redirect_type="direct"),
            WhaleChallenge(HTTP_TOO, "Third"),
            WhaleChallenge(HIDDEN, "Hidden", state="hidden"),
        ],
        images=frozenset({"chal:1"}),
        config={
            "docker_timeout": str(timeout),
            "docker_max_container_count": str(places - 1),  # it admits one more
            "docker_max_renew_count": str(renewals),
            "frp_direct_ip_address": DIRECT_HOST,
            "frp_http_domain_suffix": SUFFIX,
            "frp_http_port": HTTP_PORT,
        },
    )
    return FakeWhale(
        world,
        clock=clock,
        isolation=TransactionIsolation.REPEATABLE_READ,
        frpc_file=frpc_file,
        flavour=flavour,
    )


def credentials(players: Sequence[Player]) -> StaticTokens:
    return StaticTokens(tokens(players))


def settings(url: str, state: Path, *, timeout: int, renewals: int) -> Settings:
    """What an adapter in front of :func:`fake_whale` is set up with."""
    return Settings(
        database_url=f"sqlite:///{state}",
        whale_api_url=url,
        whale_dialect="ctfd-whale",
        whale_timeout_seconds=timeout,
        whale_max_extensions=renewals,
        whale_probe=False,
        # What a lost request did shows at once here, and how often one looks must not be chance.
        whale_look_again_seconds=1e-9,
    )


@contextmanager
def adapter(shared: Settings, players: Sequence[Player]) -> Iterator[WhaleAPIManager]:
    """An adapter of one's own, as each process has it."""
    manager = WhaleAPIManager(shared, credentials=credentials(players))
    yield manager
    manager.close()


class FakesClock:
    """The fake's clock, as the adapter reads it."""

    def __init__(self, fake: FakeWhale) -> None:
        self._fake = fake

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._fake.clock.time(), timezone.utc)
