"""What the organiser of a live Whale shows of it: a swarm of our own, and Whale's table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import docker
import pytest
import sqlalchemy as sa
from support.cluster import eventually, saved
from support.conformance_world import USERS, written_world
from support.private_engine import PrivateEngine

from conformance.harness import CannotRun, Hook, Options, Player
from conformance.harnesses.challenge_image import ensure_image
from conformance.harnesses.live_whale import LiveWhaleHarness, LiveWhaleWorld
from conformance.harnesses.whale_behind import Records, Swarm
from fake_whale import FakeWhale, User, WhaleChallenge, WhaleRuntime, WhaleWorld

REPOSITORY, TAG = "127.0.0.1:9/challenge", "1"
"""A swarm asks the registry first: this one refuses at once, and then what is there is taken."""
IMAGE = f"{REPOSITORY}:{TAG}"
STRANGER = 90


@pytest.fixture(scope="module")
def engine(own_engines: None, docker_engine: str) -> Iterator[PrivateEngine]:
    """A swarm of one node with the challenge's image."""
    with closing(PrivateEngine()) as engine:
        client = engine.client()
        with closing(docker.from_env(timeout=60)) as shared:
            image = ensure_image(shared)
            client.images.load(saved(shared, image))
        client.images.get(image).tag(REPOSITORY, TAG)
        client.swarm.init(advertise_addr=engine.address, listen_addr=f"{engine.address}:2377")
        yield engine


def service(engine: PrivateEngine, whale_id: str) -> Any:
    """As ctfd-whale makes one."""
    client = engine.client()
    return client.services.create(IMAGE, name=whale_id, labels={"whale_id": whale_id})


@pytest.fixture
def emptied(engine: PrivateEngine) -> Iterator[PrivateEngine]:
    """Without services, before and after."""
    yield engine
    for found in engine.client().services.list():
        found.remove()


def test_only_services_of_the_accounts_count_and_only_those_since_then_are_removed(
    emptied: PrivateEngine,
) -> None:
    service(emptied, f"{USERS[0]}-before")
    with closing(Swarm(emptied.url, USERS)) as swarm:
        service(emptied, f"{STRANGER}-other")
        service(emptied, f"{USERS[0]}-mine")
        service(emptied, f"{USERS[1]}-orphan-of-mine")
        assert swarm.running() == {"before", "mine", "orphan-of-mine"}
        eventually(lambda: swarm.machine_of("mine") is not None, "its container runs")
        assert swarm.machine_of("mine") == emptied.client().info()["Swarm"]["NodeID"]
        assert swarm.machine_of("never-there") is None
        swarm.remove("mine")
        assert swarm.running() == {"before", "orphan-of-mine"}
        assert swarm.left() == [f"{USERS[1]}-orphan-of-mine"]
        swarm.sweep()
        left = {found.name for found in emptied.client().services.list()}
        assert left == {f"{STRANGER}-other", f"{USERS[0]}-before"}
        assert swarm.left() == []


def test_an_engine_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match=r"^whale\.docker_url: "):
        Swarm(f"unix://{tmp_path}/nobody.sock", USERS)


def table(folder: Path, *rows: tuple[str, str]) -> str:
    """Whale's table, as its CTFd has it."""
    url = f"sqlite:///{folder / 'ctfd.db'}"
    database = sa.create_engine(url, future=True)
    with database.begin() as connection:
        connection.execute(
            sa.text("CREATE TABLE whale_container (uuid TEXT, user_id INTEGER, flag TEXT)")
        )
        for uuid, flag in rows:
            row = {"uuid": uuid, "flag": flag}
            connection.execute(sa.text("INSERT INTO whale_container VALUES (:uuid, 1, :flag)"), row)
    database.dispose()
    return url


def test_the_recorded_flag(tmp_path: Path) -> None:
    with closing(Records(table(tmp_path, ("one", "flag{1}"), ("two", "flag{2}")))) as records:
        assert records.flag("two") == "flag{2}"
        with pytest.raises(LookupError):
            records.flag("three")


def test_a_database_that_is_no_whales(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    with pytest.raises(CannotRun, match=r"whale\.ctfd_database_url: .*OperationalError"):
        Records(url)
    with pytest.raises(CannotRun, match="pip install"):
        Records("mysql+mysqldb://root:hunter2@127.0.0.1/ctfd")


def test_a_run_sees_what_really_runs(
    emptied: PrivateEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a fake Whale that makes real services; an orphan of one world is gone in the next."""
    monkeypatch.setenv("DOCKER_HOST", emptied.url)  # the fake's own way to Docker
    first, second = (
        [User(user, f"user{user}", token=f"tok-{user}") for user in USERS],
        [WhaleChallenge(1, "First", image=IMAGE), WhaleChallenge(2, "Second", image=IMAGE)],
    )
    world = WhaleWorld(users=first, challenges=second, images=frozenset({IMAGE}))
    with FakeWhale(world, runtime=WhaleRuntime.SWARM) as fake, fake.serve() as server:
        file = written_world(
            tmp_path,
            f'[whale]\nprobe = false\ndocker_url = "{emptied.url}"\n'
            f'ctfd_database_url = "{table(tmp_path, ("some", "flag{1}"))}"\n',
        )
        harness = LiveWhaleHarness(server.url, file)
        assert harness.hooks >= {Hook.GROUND_TRUTH, Hook.REMOVE_BEHIND, Hook.RECORDED_FLAG}
        harness.open()
        assert Hook.MACHINES not in harness.hooks, "there is one machine"
        found = harness.world(Options())
        assert isinstance(found, LiveWhaleWorld)
        assert found.running() == set()
        ok, _, instance = found.backend.start_instance(USERS[0], 1)
        assert ok
        assert found.running() == {instance["container_id"]}
        with pytest.raises(LookupError):
            found.recorded_flag(Player(USERS[0]), 1)
        service(emptied, f"{USERS[1]}-orphan")
        assert found.running() == {instance["container_id"], "orphan"}
        found.remove_behind(instance["container_id"])
        assert found.running() == {"orphan"}
        found.close()
        again = harness.world(Options())
        assert isinstance(again, LiveWhaleWorld)
        assert again.running() == set()
        again.close()
        service(emptied, f"{USERS[1]}-late")
        harness.close()
    assert harness.leftovers() == []
