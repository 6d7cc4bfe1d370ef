"""How whale-ready checks the backend; ``--backend local-process`` calls :class:`ProcessHarness`.

Each hook that is declared below has its method in :class:`ProcessWorld`. Those we cannot offer are
left out, and their rules are shown as not applicable: there is no server whose outage could be
tried, and a process leaves nothing behind that could be killed but not removed.
"""

from __future__ import annotations

import http.client
import os
import secrets
import signal
from pathlib import Path

from conformance.harness import Challenges, Harness, Hook, Options, Player, World
from engines.audit import ContainerEvent
from engines.clock import VirtualClock
from engines.contract import InstanceStatus
from local_process.backend import ProcessBackend
from local_process.processes import PROGRAM

NAMES = {1: "First", 2: "Second"}
FETCH_SECONDS = 5.0


class ProcessWorld(World):
    """A backend of its own for one scenario; its processes have its mark in their command lines."""

    challenges = Challenges(first=1, second=2, unknown=99, own_port=1, names=NAMES)
    players = (Player(1), Player(2), Player(3))
    mates = (Player(11, 1), Player(12, 1), Player(21, 2), Player(22, 2))

    def __init__(self, options: Options) -> None:
        self._deployment = f"check-{secrets.token_hex(8)}"
        self._clock = VirtualClock()
        self.backend: ProcessBackend = ProcessBackend(
            NAMES,
            timeout_seconds=options.timeout_seconds,
            max_extensions=options.max_extensions,
            capacity=options.capacity,
            deployment=self._deployment,
            clock=self._clock,
        )

    def advance(self, seconds: float) -> None:
        self._clock.advance(seconds)

    def run_worker(self) -> None:
        self.backend.expire_due()

    def events(self) -> list[ContainerEvent]:
        return list(self.backend.trail.events)

    def running(self) -> set[str]:
        # From the kernel, not from the backend: what it has lost track of must show.
        return set(processes_of(self._deployment))

    def recorded_flag(self, player: Player, challenge_id: int) -> str:
        flag = self.backend.recorded_flag(player.user_id, challenge_id, player.team_id)
        if flag is None:
            raise LookupError(f"nothing is live for {player} and challenge {challenge_id}")
        return flag

    def fetch(self, instance: InstanceStatus, path: str = "/") -> str | None:
        port = int(instance["ports"][0])
        connection = http.client.HTTPConnection(instance["host"], port, timeout=FETCH_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def remove_behind(self, container_id: str) -> None:
        pid = processes_of(self._deployment)[container_id]
        os.kill(pid, signal.SIGKILL)
        # It is our own child: wait for its end, but leave it to the backend to collect it.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    def close(self) -> None:
        self.backend.close()
        left = processes_of(self._deployment)
        for pid in left.values():
            os.kill(pid, signal.SIGKILL)


class ProcessHarness(Harness):
    """Nothing is shared between worlds, so there is nothing to open and nothing to close."""

    kind = "processes on loopback"
    needs = "Linux (/proc)"
    parallel = True
    hooks = frozenset(
        {
            Hook.CLOCK,
            Hook.CLOCK_BACK,
            Hook.WORKER,
            Hook.AUDIT,
            Hook.GROUND_TRUTH,
            Hook.RECORDED_FLAG,
            Hook.FETCH,
            Hook.REMOVE_BEHIND,
            Hook.CAPACITY,
            Hook.OPTIONS,
        }
    )

    def world(self, options: Options) -> World:
        return ProcessWorld(options)


def processes_of(deployment: str) -> dict[str, int]:
    """Process ids by instance, as the kernel has them; one that is dead has no command line."""
    found = {}
    for path in Path("/proc").iterdir():
        try:
            words = (path / "cmdline").read_text().split("\0")
        except OSError:
            continue  # no process, or gone by now
        if words[-4:-2] == [str(PROGRAM), deployment]:
            found[words[-2]] = int(path.name)
    return found
