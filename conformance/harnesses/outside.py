"""A machine beyond Docker's host that stands for the internet: a network namespace of its own.

It is tied to the host by a pair of interfaces, so that what leaves a container for it is routed and
masqueraded by the host as anything for the internet is. It has one address of the internet's
(198.51.100.0/24, which RFC 5737 keeps for documents) and one of a private network (of
100.64.0.0/10), so that firewalls can be seen to tell them apart.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from conformance.harness import Outside

PORT = 8443
NAME = "outside.example"
ROOT = Path(__file__).parents[2]
READY_SECONDS = 20.0
LOCK = Path("/run/whale-ready-outside.lock")
_PREFIX = "wrout"


def possible() -> bool:
    """Whether such a machine can be made here."""
    return os.geteuid() == 0 and shutil.which("ip") is not None


class OutsideMachine:
    """The machine, made on first use and there until it is closed."""

    def __init__(self) -> None:
        self._name = f"{_PREFIX}{os.getpid()}"
        self._server: subprocess.Popen[str] | None = None
        self._outside: Outside | None = None

    def facts(self) -> Outside:
        """Its addresses; it can be reached from the host by both."""
        if self._outside is None:
            with LOCK.open("w") as lock:
                # Of two processes that look at one time, both would find the same addresses free.
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._outside = self._made()
        return self._outside

    def close(self) -> None:
        """End the server; the interfaces go with the namespace."""
        if self._server is not None:
            self._server.communicate()
            self._server = None
        self._outside = None
        if (Path("/run/netns") / self._name).exists():
            _ip("netns", "delete", self._name)

    def _made(self) -> Outside:
        sweep_dead()
        try:
            return self._make()
        except BaseException:  # Ctrl-C too: no namespace is left behind; raised again
            self.close()
            raise

    def _make(self) -> Outside:
        number = _free_number()
        internet, beside = _addresses(number)
        name, interface = self._name, f"{self._name}h"
        _ip("netns", "add", name)
        _ip("link", "add", interface, "type", "veth", "peer", "name", "eth0", "netns", name)
        for here, there in (internet, beside):
            _ip("address", "add", f"{here}/30", "dev", interface)
            _ip("-n", name, "address", "add", f"{there}/30", "dev", "eth0")
        _ip("link", "set", interface, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "route", "add", "default", "via", internet[0])
        self._serve(internet[1])
        for address in (internet[1], beside[1]):
            socket.create_connection((address, PORT), timeout=READY_SECONDS).close()
        return Outside(f"{internet[1]}:{PORT}", f"{beside[1]}:{PORT}", internet[1], NAME)

    def _serve(self, address: str) -> None:
        module = "conformance.harnesses.outside_server"
        command = ["ip", "netns", "exec", self._name, sys.executable, "-m", module]
        self._server = subprocess.Popen(  # noqa: S603 - our own program
            [*command, str(PORT), address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,  # Ctrl-C is for the run, which ends it in its time
        )
        assert self._server.stdout is not None  # noqa: S101 - it is a pipe
        if self._server.stdout.readline() != "ready\n":
            raise RuntimeError("the server of the outside machine did not start")


def sweep_dead() -> None:
    """Remove the machines of runs whose process does not exist any more."""
    namespaces = Path("/run/netns")
    for path in namespaces.iterdir() if namespaces.exists() else ():
        found = re.fullmatch(rf"{_PREFIX}(\d+)", path.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            _ip("netns", "delete", path.name)


def _addresses(number: int) -> tuple[tuple[str, str], tuple[str, str]]:
    """The host's and the machine's address on each of the two networks of this number."""
    first = 4 * number
    return (
        (f"198.51.100.{first + 1}", f"198.51.100.{first + 2}"),
        (f"100.127.255.{first + 1}", f"100.127.255.{first + 2}"),
    )


def _free_number() -> int:
    """One that no other run on this host uses."""
    taken = _ip("-4", "-o", "address", "show")
    free = [number for number in range(64) if f" {_addresses(number)[0][0]}/" not in taken]
    return secrets.choice(free)


def _ip(*arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - arguments are ours
        ["ip", *arguments],  # noqa: S607 - wherever the distribution has it
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
