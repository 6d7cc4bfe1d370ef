"""Simulated containers that answer: one sentence at each published port."""

from __future__ import annotations

import socketserver
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler

from engines.cre.runtimes.base import Cleared, Launch, Launched
from engines.cre.runtimes.memory import MemoryRuntime

REQUEST_SECONDS = 10.0
"""How long a visitor may take to send a request."""
_POLL_SECONDS = 0.02


class AnsweringRuntime(MemoryRuntime):
    """The memory runtime with somebody at the door: no container, but its address is real."""

    def __init__(self) -> None:
        super().__init__()
        self._doors: dict[str, list[_Door]] = {}

    def launch(self, launch: Launch) -> Launched:
        text = f"This is {launch.spec.name}, in a simulated container of CRE.\n"
        doors = [_Door(launch.bind_address, text) for _ in launch.spec.ports]
        try:
            launched = super().launch(
                replace(launch, host_ports=tuple(door.port for door in doors))
            )
        except BaseException:  # whatever it was, nobody is left at the door; raised again
            _close(doors)
            raise
        self._doors[launched.container_id] = doors
        self._close_the_doors_of_the_gone()
        return launched

    def remove(self, container_id: str) -> Cleared:
        removed = super().remove(container_id)
        self._close_the_doors_of_the_gone()
        return removed

    def clear(self, deployment: str, name: str, fence: int) -> Cleared:
        cleared = super().clear(deployment, name, fence)
        self._close_the_doors_of_the_gone()
        return cleared

    def close(self) -> None:
        """End all of them."""
        while self._doors:
            _close(self._doors.popitem()[1])

    def _close_the_doors_of_the_gone(self) -> None:
        running = self.running()
        for container_id in [door for door in list(self._doors) if door not in running]:
            _close(self._doors.pop(container_id, []))


class _Door(socketserver.ThreadingTCPServer):
    """Answers every request at a free port with the same text."""

    daemon_threads = True

    def __init__(self, address: str, text: str) -> None:
        self.text = text
        any_free = 0
        super().__init__((address, any_free), _Sentence)
        self.port = int(self.server_address[1])
        self._thread = threading.Thread(
            target=self.serve_forever, args=(_POLL_SECONDS,), name="simulated", daemon=True
        )
        self._thread.start()

    def handle_error(self, request: object, client_address: object) -> None:
        """A visitor who hung up; nobody need be told."""

    def end(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Sentence(BaseHTTPRequestHandler):
    server: _Door
    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        body = self.server.text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        pass


def _close(doors: list[_Door]) -> None:
    for door in doors:
        door.end()
