"""Answers every TCP connection on one port and every DNS query, until its input ends.

Started by :mod:`conformance.harnesses.outside` in a network namespace of its own:
``python -m conformance.harnesses.outside_server PORT ADDRESS``, where ADDRESS is every name's.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import sys
import threading
from typing import Any

TYPE_A = 1


class Greeter(socketserver.BaseRequestHandler):
    """Accepts a connection and closes it."""


class Names(socketserver.BaseRequestHandler):
    """Answers a query of one question: every name has the one address, and no other record."""

    address = b""

    def handle(self) -> None:
        query: bytes = self.request[0]
        reply: Any = self.request[1]
        name_end = query.index(b"\0", 12)
        question = query[12 : name_end + 5]
        (kind,) = struct.unpack_from("!H", query, name_end + 1)
        answers = 1 if kind == TYPE_A else 0
        header = query[:2] + struct.pack("!5H", 0x8180, 1, answers, 0, 0)
        record = struct.pack("!HHHLH", 0xC00C, TYPE_A, 1, 60, 4) + self.address
        reply.sendto(header + question + record * answers, self.client_address)


def main() -> None:
    port, address = int(sys.argv[1]), sys.argv[2]
    Names.address = socket.inet_aton(address)
    everywhere = ""
    servers = (
        socketserver.ThreadingTCPServer((everywhere, port), Greeter),
        socketserver.ThreadingUDPServer((everywhere, 53), Names),
    )
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
