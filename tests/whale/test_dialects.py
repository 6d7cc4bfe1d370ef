"""The adapter finds out by itself which dialect a Whale speaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engines.contract import Code
from engines.errors import BackendUnavailable
from engines.settings import Settings
from engines.state.database import Database
from engines.whale import StaticTokens, WhaleAPIManager
from fake_whale import FakeDialect, FakeWhale, User, VirtualEpochClock, WhaleChallenge, WhaleWorld

TOKEN = "ctfd_" + 64 * "a"
WORLD = WhaleWorld(
    users=[User(1, "admin", type="admin"), User(2, "alice", token=TOKEN)],
    challenges=[
        WhaleChallenge(1, "First", image="chal:1"),
        WhaleChallenge(2, "Direct", image="chal:1", redirect_type="direct"),
        WhaleChallenge(3, "Hidden", image="chal:1", state="hidden"),
    ],
    images=frozenset({"chal:1"}),
    config={"frp_direct_ip_address": "127.0.0.9", "frp_http_domain_suffix": "ctf.example.org"},
)
ALICE = 2


@contextmanager
def adapter(
    url: str, folder: Path, token: str = TOKEN, **more: object
) -> Iterator[WhaleAPIManager]:
    database = Database(f"sqlite:///{folder / 'state.db'}")
    settings = Settings(
        whale_api_url=url,
        whale_probe=False,
        whale_look_again_seconds=0.01,
        **more,  # type: ignore[arg-type] # settings by name
    )
    manager = WhaleAPIManager(settings, credentials=StaticTokens({ALICE: token}), database=database)
    try:
        yield manager
    finally:
        manager.close()
        database.close()


@pytest.fixture(params=list(FakeDialect), ids=lambda dialect: dialect.value)
def fake(request: pytest.FixtureRequest) -> Iterator[FakeWhale]:
    with FakeWhale(WORLD, clock=VirtualEpochClock(), dialect=request.param) as made:
        yield made


def test_a_whole_life_in_any_dialect(fake: FakeWhale, tmp_path: Path) -> None:
    with fake.serve() as server, adapter(server.url, tmp_path) as manager:
        started = manager.start_instance(ALICE, 1)
        assert started.code is Code.OK
        (service,) = fake.state()["services"]
        assert started.instance["container_id"] == service["uuid"]
        assert started.instance["host"] == f"{service['uuid']}.ctf.example.org"
        assert manager.start_instance(ALICE, 2).code is Code.LIMIT_REACHED
        assert manager.extend_instance(ALICE, 1).ok
        assert manager.get_instance_status(ALICE, 2) is None
        assert manager.stop_instance(ALICE, 1).ok
        assert manager.stop_instance(ALICE, 1).code is Code.NOT_FOUND
        assert fake.state()["services"] == []


def test_the_dialect_has_a_name_once_it_is_found(fake: FakeWhale, tmp_path: Path) -> None:
    with fake.serve() as server, adapter(server.url, tmp_path) as manager:
        assert manager._api.dialect is None
        assert manager.get_instance_status(ALICE, 1) is None
        assert manager._api.dialect == fake.dialect.value


def test_a_port_of_its_own_in_any_dialect(fake: FakeWhale, tmp_path: Path) -> None:
    with fake.serve() as server, adapter(server.url, tmp_path) as manager:
        instance = manager.start_instance(ALICE, 2).instance
        (record,) = fake.state()["records"]
        assert (instance["host"], instance["ports"]) == ("127.0.0.9", [str(record["port"])])


def test_a_container_started_by_hand_is_not_replaced_in_any_dialect(
    fake: FakeWhale, tmp_path: Path
) -> None:
    with fake.serve() as server:
        with adapter(server.url, tmp_path / "first") as manager:
            assert manager.start_instance(ALICE, 1).ok
        before = fake.state()["services"]
        with adapter(server.url, tmp_path / "second") as manager:  # knows nothing of the first
            assert manager.start_instance(ALICE, 2).code is Code.LIMIT_REACHED
            assert manager.start_instance(ALICE, 1).code is Code.ALREADY_RUNNING
        assert fake.state()["services"] == before


def test_another_whale_in_the_old_ones_place_is_noticed(tmp_path: Path) -> None:
    old = FakeWhale(WORLD, clock=VirtualEpochClock(), dialect=FakeDialect.LEGACY)
    new = FakeWhale(WORLD, clock=VirtualEpochClock(), dialect=FakeDialect.CTFD_WHALE)
    with new, old.serve() as server, adapter(server.url, tmp_path) as manager:
        assert manager.start_instance(ALICE, 1).ok
        assert manager.stop_instance(ALICE, 1).ok
        server.close()
        with new.serve(port=server.port):
            assert manager.start_instance(ALICE, 1).code is Code.CHALLENGE_UNAVAILABLE
            assert manager.start_instance(ALICE, 1).code is Code.OK


def test_a_ctfd_without_whale_is_no_empty_whale(tmp_path: Path) -> None:
    fake = FakeWhale(WORLD, clock=VirtualEpochClock(), dialect=FakeDialect.CTFD_WHALE)
    with fake.serve() as server, adapter(f"{server.url}/elsewhere", tmp_path) as manager:
        result = manager.start_instance(ALICE, 1)
        assert (result.code, result.definite) == (Code.UNAVAILABLE, True)
        with pytest.raises(BackendUnavailable):
            manager.get_instance_status(ALICE, 1)
        assert fake.state()["records"] == []


def test_where_any_number_may_write_nothing_waits_for_its_turn(tmp_path: Path) -> None:
    fake = FakeWhale(WORLD, clock=VirtualEpochClock())
    with fake.serve() as server, adapter(server.url, tmp_path, whale_parallel_writes=0) as manager:
        assert manager.start_instance(ALICE, 1).ok


def test_who_is_not_let_in_learns_nothing_about_the_dialect(
    fake: FakeWhale, tmp_path: Path
) -> None:
    wrong = TOKEN.replace("a", "b")
    with fake.serve() as server, adapter(server.url, tmp_path, token=wrong) as manager:
        assert manager.start_instance(ALICE, 1).code is Code.UNAUTHENTICATED


def test_the_first_contact_may_be_about_a_hidden_challenge(tmp_path: Path) -> None:
    for dialect in (FakeDialect.CTFD_WHALE, FakeDialect.DOCUMENTED):
        fake = FakeWhale(WORLD, clock=VirtualEpochClock(), dialect=dialect)
        with fake.serve() as server, adapter(server.url, tmp_path / dialect.value) as manager:
            assert manager.start_instance(ALICE, 3).code is Code.CHALLENGE_UNAVAILABLE


def test_an_invisible_challenge_does_not_hide_a_whale_that_is_known(
    fake: FakeWhale, tmp_path: Path
) -> None:
    with fake.serve() as server, adapter(server.url, tmp_path) as manager:
        assert manager.get_instance_status(ALICE, 1) is None
        for _ in range(3):
            assert manager.start_instance(ALICE, 3).code is Code.CHALLENGE_UNAVAILABLE
        assert manager.start_instance(ALICE, 1).ok


def test_a_pinned_dialect_is_not_looked_for(tmp_path: Path) -> None:
    fake = FakeWhale(WORLD, clock=VirtualEpochClock(), dialect=FakeDialect.LEGACY)
    with fake.serve() as server, adapter(server.url, tmp_path, whale_dialect="legacy") as manager:
        # A legacy Whale answers an invisible challenge as CTFd answers a page it does not have.
        assert manager.start_instance(ALICE, 3).code is Code.CHALLENGE_UNAVAILABLE
    assert {entry["path"] for entry in fake.journal() if entry["kind"] == "call"} == {
        "/plugins/ctfd-whale/container"
    }
