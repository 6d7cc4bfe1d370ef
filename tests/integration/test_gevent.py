"""The engines under ``gevent.monkey.patch_all()``: the same answers, and not a word on stderr."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.changed_settings import shipped
from support.under_gevent import LIVES, under_gevent

from fake_whale import FakeServer, FakeWhale, User, WhaleChallenge, WhaleWorld

USERS = {number: f"ctfd_{number:064x}" for number in (1, 2, 3, 4)}


@pytest.fixture
def whale() -> Iterator[FakeServer]:
    world = WhaleWorld(
        users=[
            User(9, "admin", type="admin"),
            *(User(number, f"user{number}", token=token) for number, token in USERS.items()),
        ],
        challenges=[WhaleChallenge(1, "First", image="chal:1")],
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


DIRECT = """
from gevent import monkey
monkey.patch_all()
import socket, threading, time
from engines.whale.direct_probe import DirectWatch, answers_direct
server, held, beats = socket.create_server(("127.0.0.1", 0)), [], []
def serve():
    while True: held.append(server.accept()[0])
def beat():
    while True: beats.append(time.sleep(0.01))
for work in (serve, beat): threading.Thread(target=work, daemon=True).start()
port = server.getsockname()[1]
silent = answers_direct("localhost", port, watch=DirectWatch(0.6, 0.3), seconds=20)
print(silent, len(beats) > 3)
dead = socket.socket()
dead.bind(("127.0.0.1", 0))
port = dead.getsockname()[1]
print(answers_direct("127.0.0.1", port, watch=DirectWatch(0.6, 0.3), seconds=0.5))
"""


def test_a_direct_port_is_probed_while_others_go_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIRECT], capture_output=True, text=True, check=False
    )
    assert (done.stdout.split(), done.stderr) == (["True", "True", "False"], "")
