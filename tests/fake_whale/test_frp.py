"""frps and frpc as they were measured (docs/whale-wire.md, "frp")."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests
from click.testing import CliRunner

from fake_whale import (
    FakeWhale,
    FakeWhaleError,
    InstanceOptions,
    User,
    VirtualEpochClock,
    WhaleChallenge,
    WhaleWorld,
)
from fake_whale.cli import main
from fake_whale.testing import WhalePlayer, said
from fake_whale.whale.instances import as_frp

DIRECT_HOST = "127.31.7.77"
WORLD = WhaleWorld(
    users=(User(2, "ann", "", "t-ann"), User(3, "ben", "", "t-ben"), User(4, "cat", "", "t-cat")),
    challenges=(WhaleChallenge(1, "Web one"), WhaleChallenge(2, "Pwn two", redirect_type="direct")),
    images=frozenset({"chal:1"}),
)
CREATED, NOT_CREATED = (200, "Container created"), (403, "Container creation failed")
DESTROYED = (200, "Container destroyed")
NOT_DESTROYED = (403, "Failed when destroying instance, please contact admin!")
FRPS, REFUSED, CLOSED = "frps' page", "refused", "closed without a byte"


class Site:
    """A fake whose instances answer; ann runs one by name, ben one by port."""

    def __init__(self, fake: FakeWhale, url: str) -> None:
        self.fake = fake
        self.ann, self.ben, self.cat = (
            WhalePlayer(url, f"t-{name}") for name in ("ann", "ben", "cat")
        )

    def start(self) -> None:
        assert said(self.ann.post(1)) == said(self.ben.post(2)) == CREATED

    def later(self, seconds: float = 11) -> None:
        self.fake.clock.advance(seconds)

    def by_name(self) -> str:
        """What a browser sees of ann's."""
        assert self.fake.http_listener is not None
        host, port = self.fake.http_listener
        (uuid,) = (r["uuid"] for r in self.fake.state()["records"] if r["user_id"] == 2)
        name = {"Host": f"{uuid}.127.0.0.1.nip.io"}
        try:
            answer = requests.get(f"http://{host}:{port}/", headers=name, timeout=5)
        except requests.ConnectionError:
            return REFUSED
        return FRPS if answer.status_code == 404 and "frp" in answer.text else answer.text.strip()

    def by_port(self) -> str:
        """What comes of a connection to ben's."""
        (port,) = (r["port"] for r in self.fake.state()["records"] if r["user_id"] == 3)
        try:
            with socket.create_connection((DIRECT_HOST, port), timeout=5) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
                return connection.recv(9999).rpartition(b"\r\n")[2].decode().strip() or CLOSED
        except ConnectionRefusedError:
            return REFUSED
        except ConnectionResetError:
            return CLOSED

    def seen(self) -> tuple[str, str]:
        return self.by_name(), self.by_port()


UP = ("This is Web one.", "This is Pwn two.")


@contextmanager
def site(*, returns: bool = False) -> Iterator[Site]:
    options = InstanceOptions(direct_host=DIRECT_HOST)
    fake = FakeWhale(WORLD, clock=VirtualEpochClock(), instances=options, frpc_returns=returns)
    with fake, fake.serve() as server:
        made = Site(fake, server.url)
        made.start()
        assert made.seen() == UP
        yield made


def test_rules_outlive_a_restart_of_frpc() -> None:
    with site() as stage:
        stage.fake.inject({"kind": "frpc_restarted"})
        assert stage.seen() == UP
        assert len(stage.fake.state()["rules"]) == 2


def test_frpc_stopped() -> None:
    with site() as stage:
        stage.fake.inject({"kind": "frpc_down"})
        assert stage.seen() == (FRPS, REFUSED)
        assert said(stage.cat.post(1)) == NOT_CREATED
        assert said(stage.ann.delete(1)) == NOT_DESTROYED
        assert stage.ann.get(1).json()["data"]["user_access"], "Whale does not know"
        stage.fake.lift_faults()
        assert stage.seen() == UP


def test_frpc_down_for_some_calls_still_carries_players() -> None:
    with site() as stage:
        stage.fake.inject({"kind": "frpc_down", "method": "POST"})
        assert said(stage.cat.post(1)) == NOT_CREATED
        assert stage.seen() == UP


def test_frps_down_is_not_seen_by_whale() -> None:
    with site() as stage:
        stage.fake.inject({"kind": "frps_down"})
        assert stage.seen() == (REFUSED, REFUSED)
        assert said(stage.cat.post(1)) == CREATED
        assert said(stage.ann.patch(1)) == (200, "Container Renewed")
        stage.fake.lift_faults()
        assert stage.seen() == UP
        stage.later()
        assert said(stage.cat.delete(1)) == DESTROYED


def test_a_lost_token_shows_when_frpc_restarts() -> None:
    with site() as stage:
        stage.fake.inject({"kind": "frpc_token_lost"})
        assert stage.seen() == UP
        assert said(stage.cat.post(1)) == CREATED
        assert stage.fake.state()["frpc"]["token"] is False
        stage.fake.inject({"kind": "frpc_restarted"})
        assert stage.seen() == (FRPS, REFUSED)
        stage.later()
        assert said(stage.cat.post(1)) == NOT_CREATED
        stage.fake.inject({"kind": "frpc_restarted"})
        assert stage.seen() == (FRPS, REFUSED), "for good, until somebody mends the file"


@pytest.mark.parametrize("returns", [False, True])
def test_a_restart_of_docker(returns: bool) -> None:
    with site(returns=returns) as stage:
        stage.fake.inject({"kind": "docker_restarted"})
        assert stage.seen() == (FRPS, CLOSED if returns else REFUSED)
        stage.later(3.1)
        assert stage.seen() == (UP if returns else (FRPS, REFUSED))
        assert said(stage.cat.post(1)) == (CREATED if returns else NOT_CREATED)
        stage.fake.inject({"kind": "frpc_restarted"})  # by hand
        assert stage.seen() == UP


def test_frps_accepts_for_a_service_that_is_gone() -> None:
    with site() as stage:
        stage.fake.inject({"kind": "service_removed"})
        assert stage.seen() == (FRPS, CLOSED)


def test_an_instance_that_boots_meets_frps() -> None:
    options = InstanceOptions(direct_host=DIRECT_HOST, boot_seconds=(3600, 3600))
    fake = FakeWhale(WORLD, clock=VirtualEpochClock(), instances=options)
    with fake, fake.serve() as server:
        stage = Site(fake, server.url)
        stage.start()
        stage.later(7200)  # it is real time that it takes
        stage.start()
        assert stage.seen() == (FRPS, CLOSED)


def test_the_manners_of_a_release() -> None:
    options = as_frp("0.37", InstanceOptions(direct_host=DIRECT_HOST))
    assert (options.boot_seconds, options.resolver_delay) == ((0.9, 1.4), 0.25)
    fake = FakeWhale(WORLD, clock=VirtualEpochClock(), instances=options, frp="0.37")
    with fake, fake.serve() as server:
        stage = Site(fake, server.url)
        stage.start()
        begun = time.monotonic()
        while stage.seen() != UP:
            assert time.monotonic() < begun + 30
        fake.inject({"kind": "frpc_restarted"})
        assert stage.seen() == UP
        while fake.state()["frpc"]["refused_reloads"] == 0:  # --frpc-file is part of it
            stage.later()
            with ThreadPoolExecutor(3) as pool:
                list(pool.map(lambda who: who.post(1), (stage.ann, stage.ben, stage.cat)))


def test_only_what_was_measured_can_be_had() -> None:
    with pytest.raises(FakeWhaleError, match=r"frp: '9' was not measured; known are 0\.37"):
        as_frp("9", InstanceOptions())
    answer = CliRunner().invoke(main, ["serve", "--frp", "9"])
    assert (answer.exit_code, "'0.37'" in answer.output) == (2, True)
