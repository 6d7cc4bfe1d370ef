"""Starts and ends the processes; knows nothing of players, time or limits."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = Path(__file__).with_name("challenge.py")


@dataclass
class Running:
    """One process that serves a challenge."""

    id: str
    port: int
    process: subprocess.Popen[str]
    flag: str = field(repr=False)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def end(self) -> None:
        """End the process and wait until it is gone; it may be gone already."""
        self.process.kill()
        self.process.communicate()


def launch(deployment: str) -> Running:
    """Start a process with a flag of its own; it listens when this returns.

    Raises:
        OSError: it could not be started, or ended at once.
    """
    number, flag = secrets.token_hex(8), f"flag{{{secrets.token_hex(16)}}}"
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(PROGRAM), deployment, number],
        env={**os.environ, "FLAG": flag},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = process.stdout.readline().strip()
    running = Running(number, int(said or 0), process, flag)
    if not said:
        running.end()
        raise OSError("the challenge ended at once")
    return running
