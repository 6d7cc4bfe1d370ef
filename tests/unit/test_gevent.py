"""The engines under ``gevent.monkey.patch_all()``: the same answers, and not a word on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from changed_settings import shipped
from under_gevent import LIVES, under_gevent

from fake_whale import Challenge, FakeServer, FakeWhale, User, World

USERS = {number: f"ctfd_{number:064x}" for number in (1, 2, 3, 4)}


@pytest.fixture
def whale() -> Iterator[FakeServer]:
    world = World(
        users=[
            User(9, "admin", type="admin"),
            *(User(number, f"user{number}", token=token) for number, token in USERS.items()),
        ],
        challenges=[Challenge(1, "First", image="chal:1")],
        images=frozenset({"chal:1"}),
        config={"docker_timeout": "2"},
    )
    with FakeWhale(world) as fake, fake.serve() as server:
        yield server


def test_the_engine_on_simulated_containers(tmp_path: Path) -> None:
    environ = {
        "CONTAINER_DATABASE_URL": f"sqlite:///{tmp_path / 'state.db'}",
        "CONTAINER_WORKER_SECONDS": "0.1",
        "CRE_TIMEOUT_SECONDS": "2",
        "CRE_EXTENSION_SECONDS": "1",
    }
    seen = under_gevent("memory", {**shipped(), **environ})
    assert seen["codes"] == LIVES
    assert seen["expired"]
    assert seen["said"] == ["a", "b"]
    assert seen["first"], "a program that sleeps has held up the others"


def test_the_adapter_before_a_whale(whale: FakeServer, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    lines = "".join(f'{number} = "{token}"\n' for number, token in USERS.items())
    tokens.write_text(f"[tokens]\n{lines}")
    tokens.chmod(0o600)
    environ = {
        "CONTAINER_DATABASE_URL": f"sqlite:///{tmp_path / 'state.db'}",
        "CONTAINER_WORKER_SECONDS": "0.1",
        "WHALE_API_URL": whale.url,
        "WHALE_TOKENS_FILE": str(tokens),
        "WHALE_TIMEOUT_SECONDS": "2",
        "WHALE_PROBE": "false",
    }
    seen = under_gevent("whale", {**shipped(), **environ})
    assert seen["codes"] == LIVES
    assert seen["expired"]
