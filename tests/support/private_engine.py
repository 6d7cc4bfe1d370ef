"""Docker engines of our own for tests that restart, cut off or kill one.

Each runs in a network namespace, so that its bridges, rules and published ports meet neither the
machine's own engine nor another one's. The namespaces hang on one switch, itself in a namespace:
nothing is changed in the machine's own except one interface, through which it reaches the engines.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import docker

READY_SECONDS = 60.0
FIX = "as root: install Docker, iproute2 and util-linux (Debian: docker.io, iproute2, util-linux)"


def possible() -> bool:
    """Whether this machine can run engines of our own."""
    programs = ("dockerd", "containerd", "ip", "nsenter")
    return os.getuid() == 0 and all(shutil.which(program) for program in programs)


class Switch:
    """A network of our own: ``PREFIX.1`` is this machine, engines follow from ``PREFIX.2`` on."""

    def __init__(self) -> None:
        self.name = f"wr{secrets.token_hex(3)}"
        self.prefix = _free_prefix()
        self._ports: list[str] = []
        self._namespaces: list[str] = []
        try:
            self._namespace(self.name)
            self._inside("link", "add", "switch", "type", "bridge")
            self._inside("link", "set", "switch", "up")
            self._plug(f"{self.name}h", f"{self.name}s")
            _ip("addr", "add", f"{self.prefix}.1/24", "dev", f"{self.name}h")
            _ip("link", "set", f"{self.name}h", "up")
        except BaseException:  # Ctrl-C too; raised again
            self.close()
            raise

    def attach(self) -> tuple[str, str]:
        """A new namespace on this switch: its name and its address."""
        number = len(self._ports)
        namespace, port = f"{self.name}n{number}", f"{self.name}p{number}"
        self._namespace(namespace)
        self._plug(f"{self.name}e{number}", port)
        _ip("link", "set", f"{self.name}e{number}", "netns", namespace, "name", "eth0")
        for words in (
            ("addr", "add", f"{self.prefix}.{number + 1}/24", "dev", "eth0"),
            ("link", "set", "lo", "up"),
            ("link", "set", "eth0", "up"),
            ("route", "add", "default", "via", f"{self.prefix}.1"),
        ):
            _ip("-n", namespace, *words)
        return namespace, f"{self.prefix}.{number + 1}"

    def cut(self, address: str) -> None:
        """Pull the cable of the namespace with this address."""
        self._inside("link", "set", self._port(address), "down")

    def mend(self, address: str) -> None:
        self._inside("link", "set", self._port(address), "up")

    def close(self) -> None:
        while self._namespaces:
            _ip("netns", "del", self._namespaces.pop())
        _ip("link", "del", f"{self.name}h", check=False)  # goes with its peer, but in its own time

    def _namespace(self, name: str) -> None:
        _ip("netns", "add", name)
        self._namespaces.append(name)

    def _port(self, address: str) -> str:
        return self._ports[int(address.rpartition(".")[2]) - 1]

    def _plug(self, outside: str, port: str) -> None:
        _ip("link", "add", outside, "type", "veth", "peer", "name", port, "netns", self.name)
        self._ports.append(port)
        self._inside("link", "set", port, "master", "switch")
        self._inside("link", "set", port, "up")

    def _inside(self, *words: str) -> None:
        _ip("-n", self.name, *words)


class PrivateEngine:
    """One ``dockerd`` of our own, started at once.

    Args:
        switch: where it is plugged in; None for one of its own.
        live_restore: containers outlive a restart of the daemon (not on a swarm).
        config: the daemon's own settings, as daemon.json has them.
    """

    def __init__(
        self,
        switch: Switch | None = None,
        *,
        live_restore: bool = False,
        config: Mapping[str, object] | None = None,
    ) -> None:
        self._config = dict(config or {})
        self._own_switch = switch is None
        self.switch = switch or Switch()
        self._live_restore = live_restore
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[docker.DockerClient] = []
        # Not /tmp: an overlay on a tmpfs lacks what images may hold.
        self.folder = Path(tempfile.mkdtemp(prefix="whale-ready-engine-", dir="/var/tmp"))
        try:
            self._namespace, self.address = self.switch.attach()
            self.start()
        except BaseException:  # Ctrl-C too: nothing is left behind; raised again
            self.close()
            raise

    @property
    def url(self) -> str:
        """For ``DOCKER_HOST``."""
        return f"unix://{self.folder / 'docker.sock'}"

    def client(self) -> docker.DockerClient:
        """A client of this engine, closed with it."""
        client = docker.DockerClient(base_url=self.url, timeout=60, version="auto")
        self._clients.append(client)
        return client

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        command = ["nsenter", f"--net=/run/netns/{self._namespace}", "dockerd"]
        command += [f"--host={self.url}", f"--data-root={self.folder / 'data'}"]
        command += [f"--exec-root={self.folder / 'exec'}", f"--pidfile={self.folder / 'pid'}"]
        command += [
            "--exec-opt=native.cgroupdriver=cgroupfs",
            f"--cgroup-parent=/{self.folder.name}",
        ]
        command += [f"--config-file={self.folder / 'daemon.json'}"]  # not this machine's own
        command += ["--live-restore"] if self._live_restore else []
        (self.folder / "daemon.json").write_text(json.dumps(self._config))
        (self.folder / "pid").unlink(missing_ok=True)  # a killed daemon leaves its own
        with (self.folder / "log").open("ab") as log:
            # A session of its own: Ctrl-C is for the tests, which still need it to clean up.
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "TMPDIR": str(self.folder)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + READY_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"dockerd did not come up: {self.said()}")
            time.sleep(0.05)  # a daemon that comes up gives no sign to wait for

    def stop(self) -> None:
        """End the daemon as an operator does; containers end with it, but for live-restore."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=READY_SECONDS)
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill(self) -> None:
        """The power fails: the daemon and everything it runs are gone without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        while pids := self._processes():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)  # the kernel tells nobody but their parent

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """The daemon does nothing at all inside the block; what it runs goes on."""
        if self._process is None:
            raise RuntimeError("there is no daemon that could hang")
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def said(self) -> str:
        """The last of the daemon's log."""
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    def close(self) -> None:
        """End the daemon and all it runs, and remove its data."""
        for client in self._clients:
            client.close()
        try:
            self.kill()
        finally:
            _unmount_below(self.folder)
            _remove_control_groups(self.folder.name)
            shutil.rmtree(self.folder, ignore_errors=True)
            if self._own_switch:
                self.switch.close()

    def _answers(self) -> bool:
        # Without the SDK: it leaves a socket unclosed where nobody listens yet.
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(READY_SECONDS)
                connection.connect(str(self.folder / "docker.sock"))
                connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in connection.recv(64)
        except OSError:
            return False

    def _processes(self) -> list[int]:
        """containerd, its shims and what they run: known by the folder in their command line,
        or by being below one that is."""
        parents, ours = {}, set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    stat = (entry / "stat").read_text().rpartition(")")[2].split()
                    if stat[0] != "Z":
                        parents[int(entry.name)] = int(stat[1])
                        command = (entry / "cmdline").read_bytes()
                        if str(self.folder / "exec").encode() in command:
                            ours.add(int(entry.name))
        while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
            ours |= more
        return sorted(ours - {os.getpid()})


def _free_prefix() -> str:
    """Of a network in 198.18.0.0/15, set aside for tests of networks, that nobody here is on."""
    taken = subprocess.run(["ip", "-o", "addr"], check=True, capture_output=True, text=True).stdout
    while True:
        prefix = f"198.{18 + secrets.randbelow(2)}.{secrets.randbelow(256)}"
        if f" {prefix}." not in taken:
            return prefix


def _unmount_below(folder: Path) -> None:
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed(mounts):
        if mount.startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)


def _remove_control_groups(name: str) -> None:
    """Of killed containers; with version 1 there is a tree of them for each controller."""
    root = Path("/sys/fs/cgroup")
    for top in [root / name, *root.glob(f"*/{name}")]:
        for group in sorted((path for path in top.rglob("*/") if path.is_dir()), reverse=True):
            group.rmdir()
        if top.exists():
            top.rmdir()


def _ip(*words: str, check: bool = True) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
