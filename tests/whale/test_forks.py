"""Every ctfd-whale that people run: docs/whale-wire.md, "Forks and generations"."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from support.parallel import Player
from whale.rig import (
    DIRECT,
    HTTP,
    HTTP_TOO,
    FakesClock,
    credentials,
    fake_whale,
    settings,
    tokens,
)

from conformance.harness import Options
from conformance.harnesses.whale import TOKENS, FakeWhaleHarness, FakeWhaleWorld
from conformance.registry.backends import FLAVOURS
from engines.contract import Code, Scope
from engines.errors import WhaleFault
from engines.metrics import exposition
from engines.whale import WhaleAPIManager
from engines.whale.api import WhaleAPI
from engines.whale.client import WhaleAnswer
from fake_whale import FakeWhale, VirtualEpochClock
from fake_whale.testing import WhalePlayer as Visitor
from fake_whale.whale.flavours import FLAVOURS as FAKES

ALICE, BOB = Player("ALICE", 11), Player("BOB", 12)


class Site:
    """An adapter in front of a fake of some flavour, and what was asked of it."""

    def __init__(self, fake: FakeWhale, url: str, state: Path, **changed: object) -> None:
        self.fake = fake
        self.url = url
        self.asked: list[str] = []
        shared = settings(url, state, timeout=3600, renewals=5)
        self.adapter = WhaleAPIManager(
            replace(shared, **changed),  # type: ignore[arg-type] # settings by name
            credentials=credentials([ALICE, BOB]),
            clock=FakesClock(fake),
            observer=self._observe,
        )

    def start(self, challenge: int, player: Player = ALICE) -> Code:
        return self.adapter.start_instance(player.user_id, challenge).code

    def live(self, player: Player = ALICE) -> list[int]:
        """The challenges of which the adapter shows an instance."""
        shown = (
            self.adapter.get_instance_status(player.user_id, each)
            for each in (HTTP, DIRECT, HTTP_TOO)
        )
        return [each["challenge_id"] for each in shown if each is not None]

    def by_hand(self, challenge: int, method: str = "POST") -> None:
        """What Alice does on Whale's own page."""
        answer = Visitor(self.url, tokens([ALICE])[ALICE.user_id]).call(method, challenge)
        assert answer.status_code == 200

    def running(self) -> set[str]:
        return {str(service["uuid"]) for service in self.fake.state()["services"]}

    def _observe(self, answer: WhaleAnswer) -> None:
        self.asked.append(answer.method)


Sites = Callable[..., Site]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Sites]:
    """``site(flavour, **settings)``."""
    with ExitStack() as stack:

        def opened(flavour: str, **changed: object) -> Site:
            fake = fake_whale(
                [ALICE, BOB], VirtualEpochClock(), timeout=3600, renewals=5, flavour=flavour
            )
            server = stack.enter_context(stack.enter_context(fake).serve())
            made = Site(fake, server.url, tmp_path / "state.db", **changed)
            stack.callback(made.adapter.close)
            return made

        yield opened


def test_the_suite_knows_every_flavour_of_the_fake() -> None:
    assert set(FLAVOURS) == set(FAKES)


# Where GET tells only of its own challenge.


@pytest.mark.parametrize("scope", ["auto", "user"])
def test_a_start_never_replaces_what_one_look_does_not_show(site: Sites, scope: str) -> None:
    matte23 = site("matte23", whale_scope=scope)
    matte23.by_hand(HTTP_TOO)
    before = matte23.running()
    assert matte23.start(HTTP) is Code.LIMIT_REACHED
    assert matte23.running() == before
    assert matte23.asked.count("GET") == len(matte23.asked)
    matte23.by_hand(HTTP_TOO, "DELETE")
    assert matte23.start(HTTP) is Code.OK


def test_where_nothing_tells_what_else_runs_a_start_is_refused(
    site: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    matte23 = site("matte23")
    matte23.by_hand(HTTP_TOO)
    before = matte23.running()
    monkeypatch.setattr(WhaleAPI, "offered", lambda *_: None)
    assert matte23.start(HTTP) is Code.UNAVAILABLE
    assert matte23.running() == before


def test_a_catalogue_says_where_to_look_too(site: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    matte23 = site("matte23")
    matte23.by_hand(HTTP_TOO)
    monkeypatch.setattr(WhaleAPI, "offered", lambda *_: None)
    monkeypatch.setattr(matte23.adapter._starter, "_catalogue", lambda: [HTTP, HTTP_TOO])
    assert matte23.start(HTTP) is Code.LIMIT_REACHED


def test_whether_a_look_tells_of_others_is_learnt_from_the_first_start(site: Sites) -> None:
    newest = site("frankli0324")
    assert newest.adapter.traits.tells is None
    assert newest.start(HTTP) is Code.OK
    assert (newest.adapter.traits.tells, newest.adapter.traits.scope) == (True, Scope.PER_ACCOUNT)
    newest.asked.clear()
    assert newest.start(HTTP, BOB) is Code.OK
    assert newest.asked == ["GET", "POST", "GET"], "one look tells"


def test_a_look_that_keeps_to_itself_is_known_for_one(
    site: Sites, caplog: pytest.LogCaptureFixture
) -> None:
    matte23 = site("matte23")
    assert matte23.start(HTTP) is Code.OK
    assert (matte23.adapter.traits.tells, matte23.adapter.traits.scope) == (False, None)
    assert "set WHALE_SCOPE=challenge" in caplog.text


# One of each challenge.

PER_CHALLENGE = [name for name, flavour in FAKES.items() if flavour.per_challenge]


@pytest.mark.parametrize("flavour", ["scribblercoder", "htu"])
def test_one_of_each_challenge_where_the_setting_says_so(site: Sites, flavour: str) -> None:
    fork = site(flavour, whale_scope="challenge", whale_account_limit=2)
    capabilities = fork.adapter.capabilities
    assert (capabilities.scope, capabilities.account_limit) == (Scope.PER_CHALLENGE, 2)
    assert (fork.start(HTTP), fork.start(DIRECT)) == (Code.OK, Code.OK)
    assert fork.start(HTTP) is Code.ALREADY_RUNNING
    assert fork.start(HTTP_TOO) is Code.LIMIT_REACHED
    assert fork.live() == [HTTP, DIRECT]
    assert fork.adapter.stop_instance(ALICE.user_id, HTTP).ok
    assert fork.live() == [DIRECT]
    assert fork.start(HTTP_TOO) is Code.OK
    fork.fake.clock.advance(3601)
    fork.adapter.expire_due()
    assert fork.running() == set()


@pytest.mark.parametrize("flavour", PER_CHALLENGE)
def test_one_of_each_challenge_that_is_not_known_yet_loses_nothing(
    site: Sites, flavour: str
) -> None:
    fork = site(flavour)
    assert fork.start(HTTP) is Code.OK
    before = fork.running()
    assert fork.start(DIRECT) is Code.LIMIT_REACHED
    assert fork.running() == before


def test_two_that_run_at_once_say_that_there_is_one_of_each(site: Sites) -> None:
    fork = site("scribblercoder")
    fork.by_hand(HTTP)
    fork.by_hand(DIRECT)
    assert fork.start(HTTP_TOO) is Code.OK
    assert fork.adapter.traits.scope is Scope.PER_CHALLENGE
    assert fork.live() == [HTTP, DIRECT, HTTP_TOO]
    assert len(fork.running()) == 3


def test_one_that_runs_beside_our_own_says_so_too(site: Sites) -> None:
    fork = site("scribblercoder")
    assert fork.start(HTTP) is Code.OK
    fork.by_hand(DIRECT)
    assert fork.start(DIRECT) is Code.ALREADY_RUNNING
    assert fork.live() == [HTTP, DIRECT]


@pytest.mark.parametrize(
    ("flavour", "scope"), [("scribblercoder", "challenge"), ("frankli0324", "user")]
)
def test_what_is_known_is_written_down_for_the_metrics(
    site: Sites, flavour: str, scope: str
) -> None:
    fork = site(flavour, whale_scope=scope)
    fork.adapter.expire_due()
    shown = exposition(fork.adapter._database).decode()
    assert f'get="unknown",scope="{scope}",scope_from="setting"' in shown


# Refusals.


def test_a_limit_per_account_is_rate_limited_with_its_seconds(site: Sites) -> None:
    nus = site("nusgreyhats", whale_scope="challenge")
    assert nus.start(HTTP) is Code.OK
    refused = nus.adapter.start_instance(ALICE.user_id, DIRECT)
    assert (refused.code, refused.definite) == (Code.RATE_LIMITED, True)
    assert refused.retry_after is not None
    assert 0 < refused.retry_after <= 60
    nus.fake.clock.advance(refused.retry_after)
    assert nus.start(DIRECT) is Code.OK


def test_a_limit_per_user_is_told_as_one(site: Sites) -> None:
    osama = site("osama-yusouf", whale_scope="challenge")
    assert osama.start(HTTP) is Code.OK
    assert osama.start(DIRECT) is Code.LIMIT_REACHED
    assert osama.start(HTTP, BOB) is Code.OK


@pytest.mark.parametrize("flavour", ["frankli0324-2024", "jbnrz", "matte23"])
def test_a_refusal_in_other_words_frees_the_user_at_once(site: Sites, flavour: str) -> None:
    old = site(flavour)
    fault = old.fake.inject({"kind": "docker_error"})
    refused = old.adapter.start_instance(ALICE.user_id, HTTP)
    assert (refused.code, refused.definite) == (Code.START_FAILED, True)
    assert old.adapter.holds_any() is False
    old.fake.lift_faults()
    del fault
    old.fake.clock.advance(11)  # Whale's own lock
    assert old.start(DIRECT) is Code.OK


def test_a_start_that_is_said_to_be_done_and_does_not_show_frees_the_user_at_once(
    site: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = site("frankli0324")
    with monkeypatch.context() as patched:
        patched.setattr(WhaleAPI, "create", lambda *_: None)
        result = newest.adapter.start_instance(ALICE.user_id, HTTP)
    assert (result.code, result.definite) == (Code.START_FAILED, True)
    assert newest.start(HTTP) is Code.OK


def test_a_start_whose_request_was_lost_still_blocks_the_user(
    site: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise WhaleFault(Code.UNAVAILABLE, "lost", definite=False)

    newest = site("frankli0324")
    with monkeypatch.context() as patched:
        patched.setattr(WhaleAPI, "create", lost)
        assert newest.start(HTTP) is Code.UNAVAILABLE
    assert newest.start(HTTP) is Code.BUSY


@pytest.mark.parametrize("flavour", ["nusgreyhats", "osama-yusouf", "htu"])
def test_one_whose_time_is_over_and_that_a_fork_never_replaces_is_waited_for(
    site: Sites, flavour: str
) -> None:
    fork = site(flavour, whale_scope="challenge")
    fork.by_hand(HTTP)
    fork.fake.clock.advance(3600)  # to the second: the cleaner has not come
    result = fork.adapter.start_instance(ALICE.user_id, HTTP)
    assert (result.code, result.definite, result.retry_after) == (Code.BUSY, True, 10.0)
    fork.fake.clock.advance(60)
    assert fork.start(HTTP) is Code.OK


# What is shown of an instance.


@pytest.mark.parametrize("flavour", ["web1n", "radhouen911", "om-arora"])
@pytest.mark.parametrize("challenge", [HTTP, DIRECT])
def test_an_address_in_the_forks_own_form_is_read(
    site: Sites, flavour: str, challenge: int
) -> None:
    fork = site(flavour)
    assert fork.start(challenge) is Code.OK
    assert fork.live() == [challenge]
    assert fork.adapter.extend_instance(ALICE.user_id, challenge).ok
    assert fork.adapter.stop_instance(ALICE.user_id, challenge).ok
    assert fork.running() == set()


# Instances that were kept although their start failed.


@pytest.fixture
def kept() -> Iterator[FakeWhaleWorld]:
    """c72584f: frpc failing at POST leaves record and service."""
    harness = FakeWhaleHarness(flavour="frankli0324-2024")
    harness.open()
    world = harness.world(Options())
    assert isinstance(world, FakeWhaleWorld)
    yield world
    world.close()
    harness.close()


def test_an_instance_that_was_kept_although_its_start_failed_never_shows(
    kept: FakeWhaleWorld,
) -> None:
    manager = kept.manager
    kept.fake.inject({"kind": "frpc_down"})
    assert not manager.start_instance(ALICE.user_id, HTTP).ok
    (left,) = kept.running()  # the fork keeps it, and DELETE is refused too
    assert manager.get_instance_status(ALICE.user_id, HTTP) is None
    assert not manager.start_instance(ALICE.user_id, HTTP).ok
    assert manager.last_known(ALICE.user_id, HTTP) is None
    kept.fake.lift_faults()
    kept.advance(11)  # the lock that the refusals left behind
    anew = manager.start_instance(ALICE.user_id, HTTP)
    assert (anew.ok, anew.code) == (True, Code.OK)
    assert kept.running() == {anew.instance["container_id"]}
    assert left not in kept.running()


def test_an_instance_that_was_kept_is_removed_by_the_worker(kept: FakeWhaleWorld) -> None:
    kept.fake.inject({"kind": "frpc_down"})
    assert not kept.manager.start_instance(ALICE.user_id, HTTP).ok
    kept.run_worker()
    assert kept.running()
    kept.fake.lift_faults()
    kept.advance(11)
    kept.run_worker()
    assert kept.running() == set()
    assert kept.manager.holds_any() is False


def test_what_the_page_left_is_not_told_to_run_before_it_answers(kept: FakeWhaleWorld) -> None:
    manager = kept.manager
    kept.fake.inject({"kind": "frpc_down"})
    visitor = Visitor(kept.url, TOKENS[ALICE.user_id])
    assert visitor.call("POST", HTTP).status_code == 500
    assert kept.running()
    for _ in range(2):  # as it is found, and as it is known
        result = manager.start_instance(ALICE.user_id, HTTP)
        assert (result.ok, result.code, result.definite) == (False, Code.NOT_READY, True)
    kept.fake.lift_faults()
    assert manager.start_instance(BOB.user_id, HTTP).ok  # frpc hears of Alice's with it
    answers = manager.start_instance(ALICE.user_id, HTTP)
    assert (answers.ok, answers.code) == (True, Code.ALREADY_RUNNING)
