"""A Whale that hangs: looks come back while it does, and what was sent is waited for as ever.

Nothing is timed: an answer must have come before Whale goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from conformance.harness import FaultKind
from conformance.harnesses.whale import TOKENS, FakeWhaleWorld
from engines.contract import Code
from engines.errors import BackendUnavailable
from engines.probe import wait_until
from engines.settings import Settings
from engines.whale import StaticTokens, WhaleAPIManager

ALICE, BOB = 11, 12
SOON, NEVER = 30.0, 3600.0
LOOK_SECONDS, ANSWER_SECONDS = 0.5, 1.0


@pytest.fixture
def made(world: FakeWhaleWorld) -> Iterator[Callable[..., WhaleAPIManager]]:
    """Makes adapters that wait for one request for as long as it takes."""
    adapters: list[WhaleAPIManager] = []

    def make(answer_seconds: float) -> WhaleAPIManager:
        adapter = WhaleAPIManager(
            Settings(
                whale_api_url=world.url,
                whale_probe=False,
                whale_call_seconds=NEVER,
                look_seconds=LOOK_SECONDS,
                answer_seconds=answer_seconds,
            ),
            credentials=StaticTokens(TOKENS),
            database=world.database,
            clock=world.manager.clock,
        )
        adapters.append(adapter)
        return adapter

    yield make
    for adapter in adapters:
        with closing(adapter):
            pass


def outcome(call: Callable[[], object]) -> object:
    """What the call gives or raises, while Whale hangs."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(call).result(SOON)
    except BackendUnavailable as error:
        return error
    finally:
        pool.shutdown(wait=False)


def test_a_status_and_an_extension_do_not_wait_for_what_a_start_would(
    world: FakeWhaleWorld, made: Callable[..., WhaleAPIManager]
) -> None:
    adapter = made(NEVER)
    mine = adapter.start_instance(ALICE, 1).instance["container_id"]
    with world.fault(FaultKind.HANGS):
        assert isinstance(
            outcome(lambda: adapter.get_instance_status(ALICE, 1)), BackendUnavailable
        )
        extended = outcome(lambda: adapter.extend_instance(ALICE, 1))
        assert (getattr(extended, "code", None), getattr(extended, "definite", None)) == (
            Code.UNAVAILABLE,
            True,
        )
        known = adapter.last_known(ALICE, 1)
        assert known is not None
        assert known["container_id"] == mine
    assert wait_until(lambda _timeout: shown(adapter) == mine, SOON)


def test_a_start_is_refused_and_leaves_nothing(
    world: FakeWhaleWorld, made: Callable[..., WhaleAPIManager]
) -> None:
    adapter = made(ANSWER_SECONDS)
    mine = adapter.start_instance(ALICE, 1).instance["container_id"]
    with world.fault(FaultKind.HANGS):
        for _ in range(2):  # given up, then refused at once
            refused = outcome(lambda: adapter.start_instance(BOB, 1))
            assert (getattr(refused, "code", None), getattr(refused, "definite", None)) == (
                Code.UNAVAILABLE,
                True,
            )
        assert not adapter.holds(BOB, 1)
    assert wait_until(lambda _timeout: shown(adapter) == mine, SOON)
    assert world.running() == {mine}
    assert adapter.start_instance(BOB, 1).ok


def test_a_change_that_whale_has_been_sent_is_waited_for(
    world: FakeWhaleWorld, made: Callable[..., WhaleAPIManager]
) -> None:
    adapter = made(ANSWER_SECONDS)
    world.fake.inject({"kind": "hang", "method": "POST"})
    with ThreadPoolExecutor(1) as pool:
        start = pool.submit(adapter.start_instance, ALICE, 1)
        assert wait_until(lambda _timeout: hangs(world, "POST"), SOON)
        with world.fault(FaultKind.HANGS):
            # Who looks has given up by then, and by the same clock so would the start have.
            outcome(lambda: made(ANSWER_SECONDS).start_instance(BOB, 1))
            assert not start.done()
        assert start.result(SOON).ok


def hangs(world: FakeWhaleWorld, method: str) -> bool:
    """Whether such a call has come and hangs."""
    return any(
        (each.get("fault"), each.get("method")) == ("hang", method) for each in world.fake.journal()
    )


def shown(adapter: WhaleAPIManager) -> str | None:
    try:
        live = adapter.get_instance_status(ALICE, 1)
    except BackendUnavailable:
        return None
    return None if live is None else live["container_id"]
