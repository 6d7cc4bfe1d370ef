"""A Docker engine of our own, which may be restarted: nothing of the machine's own one is touched.

Its data, sockets and bridge are its own, and it changes no firewall: ports are published by
Docker's own proxy on loopback. It ends with this process, whatever ends that.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from secrets import randbelow, token_hex

import docker

from conformance.harness import CannotRun
from engines.cre.runtimes.connection import connect
from engines.errors import BackendUnavailable
from engines.probe import wait_until
from engines.settings import Settings

UP_SECONDS = 60.0
DOWN_SECONDS = 60.0
PROGRAMS = ("dockerd", "ip", "setpriv")
_SHUTDOWN_SECONDS = 1
"""How long the engine waits for its containers before it kills them."""


class OwnEngine:
    """A ``dockerd`` with a folder and a bridge of its own.

    Raises:
        CannotRun: it cannot be started here; says what is missing.
    """

    def __init__(self) -> None:
        missing = [program for program in PROGRAMS if shutil.which(program) is None]
        if missing or os.geteuid() != 0:
            raise CannotRun(
                "an engine of our own needs root, and the programs "
                f"{', '.join(PROGRAMS)} (Debian: docker.io, iproute2, util-linux)"
            )
        # A short path, for a socket's is at most 107 bytes; on a disk, which overlays need.
        self._folder = Path(tempfile.mkdtemp(prefix="whale-ready-engine-", dir="/var/tmp"))
        self._bridge = f"wr{token_hex(4)}"
        self._process: subprocess.Popen[bytes] | None = None
        self._log = (self._folder / "log").open("wb")
        try:
            self._make_bridge()
            self._configure(live_restore=False)
            self.start()
        except BaseException:  # Ctrl-C too: no engine is left behind; raised again
            self.close()
            raise

    @property
    def url(self) -> str:
        return f"unix://{self._folder / 'docker.sock'}"

    def client(self) -> docker.DockerClient:
        """A client that is the caller's to close; it outlives restarts."""
        return connect(replace(Settings(), cre_docker_host=self.url), {})

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            CannotRun: it does not.
        """
        self._process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "TERM", "dockerd"),
                *("--config-file", str(self._configuration), "--host", self.url),
                *("--data-root", str(self._folder / "data"), "--exec-root", str(self._exec_root)),
                *("--pidfile", str(self._folder / "pid"), "--bridge", self._bridge),
                *("--storage-driver", "vfs", "--iptables=false", "--ip6tables=false"),
                *("--ip-forward=false", "--shutdown-timeout", str(_SHUTDOWN_SECONDS)),
            ],
            # A slow containerd is asked for its stacks, which it writes there.
            env={**os.environ, "TMPDIR": str(self._folder)},
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is ours: it is told to end when all is swept
        )
        if not wait_until(lambda _timeout: self._answers(), UP_SECONDS):
            raise CannotRun(f"an engine of our own did not come up: {self._said()}")

    def stop(self) -> None:
        """End it; what it runs ends with it, unless inside :meth:`live_restore`."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(DOWN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @contextmanager
    def live_restore(self) -> Iterator[None]:
        """Inside this block containers outlive the engine."""
        self._set_live_restore(on=True)
        try:
            yield
        finally:
            self._set_live_restore(on=False)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Inside this block it does nothing at all; what it runs goes on."""
        if self._process is None:
            raise RuntimeError("there is no engine that could hang")
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it and remove all it had; safe to repeat."""
        self.stop()
        self._log.close()
        subprocess.run(["ip", "link", "delete", self._bridge], check=False, capture_output=True)
        for mounted in sorted(_mounts_below(self._folder), reverse=True):
            subprocess.run(["umount", "--lazy", mounted], check=False, capture_output=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _configuration(self) -> Path:
        return self._folder / "daemon.json"

    @property
    def _exec_root(self) -> Path:
        return self._folder / "exec"

    def _configure(self, *, live_restore: bool) -> None:
        self._configuration.write_text(json.dumps({"live-restore": live_restore}))

    def _set_live_restore(self, *, on: bool) -> None:
        self._configure(live_restore=on)
        if self._process is None:
            return
        self._process.send_signal(signal.SIGHUP)
        client = self.client()
        try:
            if not wait_until(lambda _: client.info()["LiveRestoreEnabled"] is on, UP_SECONDS):
                raise RuntimeError("the engine did not read its configuration anew")
        finally:
            client.close()

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise CannotRun(f"an engine of our own ended at once: {self._said()}")
        try:
            client = self.client()
        except BackendUnavailable:
            return False
        client.close()
        return True

    def _make_bridge(self) -> None:
        """A bridge in a /24 of 10.214.0.0/16; one that is taken makes no harm but in its routes."""
        address = f"10.214.{randbelow(256)}.1/24"
        for command in (
            ("link", "add", "name", self._bridge, "type", "bridge"),
            ("address", "add", address, "dev", self._bridge),
            ("link", "set", self._bridge, "up"),
        ):
            done = subprocess.run(["ip", *command], check=False, capture_output=True, text=True)
            if done.returncode:
                raise CannotRun(f"no bridge for an engine of our own: {done.stderr.strip()}")

    def _said(self) -> str:
        self._log.flush()
        return (self._folder / "log").read_text(errors="replace")[-500:]


def _mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    mounted = [line.split()[1] for line in lines]
    return [each for each in mounted if each.startswith(f"{folder}/")]
