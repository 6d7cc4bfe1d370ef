"""Ctrl-C at any moment of a benchmark on Docker: nothing is left, whatever was under way."""

from __future__ import annotations

import itertools
import os
import platform
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import docker
import pytest
from support.held_engine import CREATE, HeldEngine

from engines.cre.runtimes.base import LABEL_DEPLOYMENT

SPEED = ("benchmarks.cre_speed", "--only", "cold", "--cold-rounds", "1000")
BENCH = ("whale_ready", "bench", "--scenario", "start", "--concurrency", "2")
LONG = (*BENCH, "--duration", "100", "--turns", "10")
SHORT = (*BENCH, "--duration", "2", "--turns", "1")
HELD_SECONDS = 1.5
"""How long a create is kept from the engine. A process that does not wait for its answer removes
what there is, and ends, before the engine hears of it."""
TIMES = int(os.environ.get("WHALE_READY_INTERRUPTS", "1"))
"""Interrupts at random moments; 30 take some four minutes."""


class Interrupted:
    """A command on a Docker engine that can be held; what it says is in :attr:`said`."""

    def __init__(self, command: tuple[str, ...], folder: Path) -> None:
        self.said = ""
        self.code: int | None = None
        self._command = command
        self._engine = HeldEngine(folder, lambda line: self._hold(line))
        self._process: subprocess.Popen[str]
        self._ready = threading.Event()
        self._hold: Callable[[str], None] = lambda _line: None

    def run(self, hold: Callable[[str], None]) -> None:
        """Until it ends; ``hold`` is given each request to Docker before Docker hears of it."""
        self._hold = hold
        with self._engine:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._command],
                env=self._engine.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            self._ready.set()
            self.said, _ = self._process.communicate(timeout=110)
        self.code = self._process.returncode

    def interrupt(self, wait: float = 0.0) -> None:
        """Press Ctrl-C, then wait so many seconds, or until the command has ended."""
        self._ready.wait()
        self._process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(wait)

    def interrupt_after(self, seconds: float) -> None:
        time.sleep(seconds)
        self.interrupt()

    def left(self, client: docker.DockerClient) -> list[str]:
        """Names of its containers and networks that are there."""
        mine = tuple(f"{k}-{platform.node()}-{self._process.pid}-" for k in ("bench", "check"))
        rows = client.api.networks(filters={"label": LABEL_DEPLOYMENT})
        networks = [r["Name"] for r in rows if r["Labels"][LABEL_DEPLOYMENT].startswith(mine)]
        there = {row["Names"][0].removeprefix("/") for row in client.api.containers(all=True)}
        return [*networks, *sorted(there & set(self._engine.names))]


@pytest.mark.parametrize(
    ("command", "whose"),
    [(SPEED, "-raw-"), (LONG, "wr-bench-")],
    ids=["cre_speed", "bench"],
)
def test_a_container_that_is_being_made_is_waited_for(
    command: tuple[str, ...], whose: str, docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    """A second Ctrl-C changes nothing: bench has threads, which the first one lets end."""
    run = Interrupted(command, tmp_path)
    creates: list[str] = []

    def hold(line: str) -> None:
        if CREATE.match(line) and whose in line:
            creates.append(line)
            if len(creates) == 4:
                run.interrupt(HELD_SECONDS / 2)
                run.interrupt(HELD_SECONDS / 2)

    run.run(hold)
    assert run.code == 130, run.said
    assert run.left(docker_client) == []


def test_so_is_one_that_is_made_to_be_looked_at(
    docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    # when what raw Docker's instances cost is being asked, without a thread of its own: that comes
    # last, and only then is stats asked for
    run = Interrupted(SHORT, tmp_path)
    asked: list[str] = []

    def hold(line: str) -> None:
        if "/stats" in line:
            asked.append(line)
        elif asked and CREATE.match(line) and "wr-bench-" in line:
            asked.clear()
            run.interrupt(HELD_SECONDS)

    run.run(hold)
    assert run.code == 130, run.said
    assert run.left(docker_client) == []


@pytest.mark.timeout(60 * (1 + TIMES))
def test_no_moment_leaves_anything(docker_client: docker.DockerClient, tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    rng = random.Random(seed)  # noqa: S311 - repeatable
    for number in range(TIMES):
        command = rng.choice((SPEED, LONG))
        at, later = rng.randrange(1, 150), rng.uniform(0, 0.3)
        folder = tmp_path / str(number)
        folder.mkdir()
        run = Interrupted(command, folder)
        run.run(_once(at, partial(run.interrupt_after, later)))
        told = f"seed {seed}, {number}: {later:.3f} s after request {at} of {command}: {run.said}"
        assert run.code == 130, told
        assert run.left(docker_client) == [], told


def _once(at: int, press: Callable[[], None]) -> Callable[[str], None]:
    """Press when so many requests were heard; the request is not held."""
    heard = itertools.count(1)

    def hold(_line: str) -> None:
        if next(heard) == at:
            threading.Thread(target=press, daemon=True).start()

    return hold
