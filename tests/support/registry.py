"""A registry of our own on loopback that asks for a password, and a relay that makes it slow."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from support.loopback import Program, free_port, listens

FIX = "install them (Debian: docker-registry and apache2-utils)"
USER = "organiser"
PART_SECONDS = 0.01
"""Between two parts of 16 KiB: Docker reports progress ten times a second at the most."""
_CONFIG = """\
version: 0.1
log: {{level: info}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}
"""


def possible() -> bool:
    return all(shutil.which(program) for program in ("docker-registry", "htpasswd"))


class Registry:
    """Debian's docker-registry; Docker speaks plain HTTP with registries on loopback."""

    def __init__(self, password: str) -> None:
        self.password = password
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="whale-ready-test-"))
        made = subprocess.run(
            ["htpasswd", "-niBC", "4", USER],
            input=password.encode(),
            stdout=subprocess.PIPE,
            check=True,
        )
        (self.folder / "htpasswd").write_bytes(made.stdout)
        config = self.folder / "config.yml"
        config.write_text(_CONFIG.format(folder=self.folder, port=self.port), encoding="utf-8")
        try:
            self._program = Program(
                ["docker-registry", "serve", str(config)],
                self.folder / "log",
                lambda: listens(self.port),
            )
        except BaseException:  # Ctrl-C too; raised again
            shutil.rmtree(self.folder)
            raise

    @property
    def auth(self) -> dict[str, str]:
        """For the SDK's ``push``."""
        return {"username": USER, "password": self.password}

    def config(self, path: Path, *hosts: str, password: str | None = None) -> Path:
        """Write a Docker config.json with a password for registries; returns its path."""
        word = base64.b64encode(f"{USER}:{password or self.password}".encode()).decode()
        path.write_text(json.dumps({"auths": {host: {"auth": word} for host in hosts}}))
        path.chmod(0o600)
        return path

    def close(self) -> None:
        self._program.close()
        shutil.rmtree(self.folder)


class Relay:
    """Passes connections on; until released slowly, and no more than ``limit`` bytes back on each.

    ``full`` is set when one has got so far.
    """

    def __init__(self, port: int, limit: int) -> None:
        self._far = port
        self._limit = limit
        self._open = threading.Event()
        self.full = threading.Event()
        self._seen = bytearray()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._begin(self._accept)

    def release(self) -> None:
        """Let everything through."""
        self._open.set()

    def asked(self, text: str) -> int:
        """How often a text stood in what was sent to the registry."""
        return bytes(self._seen).count(text.encode())

    def close(self) -> None:
        self._open.set()
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):  # the other side was faster
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)

    def _begin(self, work: object, *what: object) -> None:
        thread = threading.Thread(target=work, args=what, daemon=True)  # type: ignore[arg-type] # a method of ours
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._far))
            except OSError:
                return
            self._sockets += [near, far]
            self._begin(self._ask, near, far)
            self._begin(self._answer, far, near)

    def _ask(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while sent := near.recv(65536):
                self._seen += sent
                far.sendall(sent)
            far.shutdown(socket.SHUT_WR)

    def _answer(self, far: socket.socket, near: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while part := far.recv(16384):
                passed += len(part)
                self._open.wait(PART_SECONDS)
                if passed > self._limit:
                    self.full.set()
                    self._open.wait()
                near.sendall(part)
            near.shutdown(socket.SHUT_WR)
