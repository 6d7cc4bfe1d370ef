"""A dead port is never ready and a silent service soon is, in time that no machine delays.

frpc closes a connection to a container that is not there once it has looked the name up; one that
was begun when the container listened stays open (docs/whale-wire.md, "frp").
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.probe import answers_tcp, fetch_page
from engines.settings import Settings
from engines.whale.access import Access
from engines.whale.direct_probe import DirectWatch
from engines.whale.readiness import instance_answers
from fake_whale import FakeWhale, InstanceOptions, User, WhaleChallenge, WhaleWorld
from fake_whale.testing import WhalePlayer

SHIPPED = Settings()
HOST = "127.77.3.9"
"""Of loopback, and no other test's: direct ports have fixed numbers."""
TICK = 0.01
NEVER = float("inf")
ROUNDING = 1e-6
LookUp = Callable[[float], float]
"""How long the look-up takes that begins at a time."""


def ready_at(look_up: LookUp, listens_at: float, *, until: float = 30.0) -> float | None:
    """When the probe says ready, from a start at 0; None when it never does."""
    watch = DirectWatch(SHIPPED.whale_direct_hold_seconds, SHIPPED.whale_direct_short_hold_seconds)
    closes: dict[int, float] = {}
    for step in range(int(until / TICK)):
        now = step * TICK
        for key in [key for key, end in closes.items() if end <= now]:
            watch.closed(key, now)
            del closes[key]
        if watch.due(now) <= 0:
            watch.begun(step, now)
            watch.opened(step, now)
            if now < listens_at:
                closes[step] = now + look_up(now)
        if watch.ready_in(now) <= 0:
            return now
    return None


SPEEDS = st.floats(0.0, 1.0)


@given(seconds=SPEEDS, jitter=st.randoms(use_true_random=False))
def test_a_dead_port_is_never_ready(seconds: float, jitter: object) -> None:
    uniform = jitter.uniform  # type: ignore[attr-defined] # hypothesis' Random
    assert ready_at(lambda _: seconds * uniform(0.9, 1.0), NEVER) is None


@given(seconds=st.floats(0.0, 0.3), listens_at=st.floats(0.5, 4.9))
def test_a_silent_service_costs_half_a_second_at_most(seconds: float, listens_at: float) -> None:
    ready = ready_at(lambda _: seconds, listens_at)
    assert ready is not None
    assert ready - listens_at <= 0.5 + 2 * TICK + ROUNDING


@given(seconds=SPEEDS, listens_at=st.floats(1.0, 20.0))
def test_a_slow_resolver_costs_what_its_look_up_does(seconds: float, listens_at: float) -> None:
    """Less than a look-up is impossible: for so long a dead port and a silent one look alike."""
    ready = ready_at(lambda _: seconds, listens_at)
    assert ready is not None
    assert (
        ready - listens_at <= max(0.3, seconds + 0.1, 1.25 * seconds) + 0.21 + 2 * TICK + ROUNDING
    )


def test_without_a_dead_connection_the_slowest_resolver_is_reckoned_with() -> None:
    assert ready_at(lambda _: 0.0, 0.0) == pytest.approx(SHIPPED.whale_direct_hold_seconds)


def test_a_look_up_that_is_slow_for_once_is_found_out_by_the_next() -> None:
    assert ready_at(lambda begun: 1.0 if 2.0 <= begun < 2.1 else 0.0, NEVER) is None


def test_a_service_that_takes_only_a_few_connections_is_ready_all_the_same() -> None:
    watch = DirectWatch(SHIPPED.whale_direct_hold_seconds, SHIPPED.whale_direct_short_hold_seconds)
    watch.begun("served", 0.0)
    watch.opened("served", 0.0)
    watch.begun("one too many", 0.2)
    watch.opened("one too many", 0.2)
    watch.closed("one too many", 0.2)
    assert watch.ready_in(1.0) > 0
    assert watch.ready_in(1.25) <= 0


def test_the_longest_of_the_dead_connections_counts_and_not_the_last() -> None:
    watch = DirectWatch(SHIPPED.whale_direct_hold_seconds, SHIPPED.whale_direct_short_hold_seconds)
    for key, begun, closed in (("slow", 0.0, 1.0), ("quick", 1.0, 1.0)):
        watch.begun(key, begun)
        watch.opened(key, begun)
        watch.closed(key, closed)
    watch.begun("open", 2.0)
    watch.opened("open", 2.0)
    assert watch.ready_in(3.0) > 0
    assert watch.ready_in(3.25) <= 0


@pytest.mark.parametrize("delay", [0.0, 0.25])
def test_a_missing_image_is_not_ready_behind_a_fake_frpc(delay: float) -> None:
    token = "ctfd_" + 64 * "a"
    world = WhaleWorld(
        users=[User(1, "admin", type="admin"), User(2, "alice", token=token)],
        challenges=[WhaleChallenge(1, "Missing", image="no-such:1", redirect_type="direct")],
        config={"frp_direct_ip_address": HOST},
    )
    options = InstanceOptions(direct_host=HOST, resolver_delay=delay)
    with FakeWhale(world, instances=options) as fake, fake.serve() as server:
        alice = WhalePlayer(server.url, token)
        assert alice.post(1).status_code == 200
        _, host, port = alice.get(1).json()["data"]["user_access"].split()
        settings = replace(SHIPPED, whale_ready_seconds=2.6)
        assert not instance_answers(Access("tcp", host, int(port)), "", settings)


def test_a_look_up_that_hangs_holds_no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that cannot be reached: the probes come back before it gives up."""
    over = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_a, **_k: hang(over))
    try:
        assert fetch_page("http://slow.example.org/", timeout=0.05) is None
        assert not answers_tcp("slow.example.org", 80, timeout=0.05)
        settings = replace(SHIPPED, whale_ready_seconds=0.05)
        assert not instance_answers(Access("tcp", "slow.example.org", 80), "", settings)
        assert not instance_answers(Access("http", "slow.example.org", 80), "", settings)
    finally:
        over.set()


def hang(over: threading.Event) -> list[object]:
    import socket

    if threading.current_thread() is threading.main_thread():
        raise socket.gaierror("no number")
    over.wait()
    return []
