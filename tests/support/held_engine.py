"""The Docker engine behind a socket of our own, on which requests can be held back."""

from __future__ import annotations

import os
import re
import select
import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

CHUNK = 65536
REQUEST = re.compile(rb"(?:GET|POST|DELETE|PUT|HEAD) \S+ HTTP/")
CREATE = re.compile(r"POST \S*/containers/create\?name=([^ &]+)")


class HeldEngine:
    """Passes on what is said, while it is entered, to the engine of this machine.

    Args:
        folder: where its socket is to be.
        hold: given the first line of a request, before the engine hears of it.
    """

    def __init__(self, folder: Path, hold: Callable[[str], None]) -> None:
        self.names: list[str] = []
        """Of the containers that were asked for."""
        self._hold = hold
        self._path = str(folder / "docker.sock")
        host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        self._engine = urlsplit(host).path

    @property
    def environment(self) -> dict[str, str]:
        """Of a process that is to use this engine."""
        return {**os.environ, "DOCKER_HOST": f"unix://{self._path}"}

    def __enter__(self) -> HeldEngine:
        ours = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    ours._serve(self.request)

        self._server = socketserver.ThreadingUnixStreamServer(self._path, Connection)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """When the engine has done what was asked of it, whether anybody waits for it or not."""
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, client: socket.socket) -> None:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self._engine)
            sides = [client, engine]
            while engine in sides:
                for source in select.select(sides, [], [])[0]:
                    if said := source.recv(CHUNK):
                        self._pass_on(said, client, engine, is_request=source is client)
                        continue
                    sides.remove(source)
                    engine.shutdown(socket.SHUT_WR)

    def _pass_on(
        self, said: bytes, client: socket.socket, engine: socket.socket, *, is_request: bool
    ) -> None:
        if is_request:
            self._heard(said)
            engine.sendall(said)
        else:
            with suppress(OSError):  # it waits no more
                client.sendall(said)

    def _heard(self, said: bytes) -> None:
        if not REQUEST.match(said):
            return  # the rest of one
        line = unquote(said.partition(b"\r\n")[0].decode())
        if found := CREATE.match(line):
            self.names.append(found[1])
        self._hold(line)
