"""Https in front of a server that speaks http: a pipe with a certificate, on its own thread."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit


class _Server(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_: object) -> None:
        """Refused handshakes are meant."""


@contextmanager
def https(url: str, configure: Callable[[ssl.SSLContext], None]) -> Iterator[str]:
    """The address at which ``url`` is reached by https, with the certificate of ``configure``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    configure(context)
    there = (str(urlsplit(url).hostname), urlsplit(url).port)

    class Pipe(BaseRequestHandler):
        def handle(self) -> None:
            with (
                context.wrap_socket(self.request, server_side=True) as caller,
                socket.create_connection(there) as server,
            ):
                back = threading.Thread(target=_pump, args=(server, caller), daemon=True)
                back.start()
                _pump(caller, server)
                with suppress(OSError):
                    server.shutdown(socket.SHUT_RDWR)
                back.join()

    with _Server(("127.0.0.1", 0), Pipe) as front:
        thread = threading.Thread(target=front.serve_forever, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{front.server_address[1]}"
        front.shutdown()
        thread.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
