"""Programs of our own that listen on loopback: started, waited for, ended by their pid."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

READY_SECONDS = 60.0


def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody accepts connections to a port of loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


class Program:
    """A program that runs until :meth:`close`; what it prints is kept in a file."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        ready: Callable[[], bool],
        pass_fds: Sequence[int] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        with log.open("ab") as said:
            self.process = subprocess.Popen(
                command, env=environ, stdout=said, stderr=said, pass_fds=pass_fds
            )
        try:
            until = time.monotonic() + READY_SECONDS
            while not ready():
                if self.process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{command[0]} did not come up: {self.said()[-2000:]}")
                time.sleep(0.05)  # a program that comes up gives no sign to wait for
        except BaseException:  # Ctrl-C too: nothing is left running; raised again
            self.close()
            raise

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=60)
