"""A server that answers every request with a redirect to another one, which takes note."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STATUSES = (302, 307, 301, 308, 303)
"""In turns: clients tell them apart by whether the method, and what was sent, goes along."""
_POLL_SECONDS = 0.01


@contextmanager
def luring() -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """Gives the address of the one that redirects, and what tells what came to the other."""
    came: list[str] = []
    statuses = itertools.cycle(STATUSES)

    class Elsewhere(_Handler):
        def answer(self) -> None:
            came.append(f"{self.command} {self.path} {sorted(self.headers.items())}")
            self.reply(200, {"Content-Type": "application/json"}, b'{"success": true, "data": {}}')

    with ExitStack() as stack:
        elsewhere = stack.enter_context(_serving(Elsewhere))

        class Luring(_Handler):
            def answer(self) -> None:
                self.reply(next(statuses), {"Location": elsewhere + self.path}, b"")

        yield stack.enter_context(_serving(Luring)), lambda: list(came)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        raise NotImplementedError

    def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer()

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        pass


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield "http://{}:{}".format(*server.server_address[:2])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
