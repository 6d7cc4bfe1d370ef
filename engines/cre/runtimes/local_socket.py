"""The way to a Docker engine over its local socket."""

from __future__ import annotations

import socket
from typing import Any

from urllib3.connectionpool import HTTPConnectionPool

from engines.cre.runtimes.one_pool import OnePool
from engines.deadline import BoundedConnection


class LocalSocket(OnePool):
    """Brings the requests of a session to the engine behind a socket.

    Args:
        path: of the socket.
        pool_size: connections that are kept.
    """

    def __init__(self, path: str, pool_size: int) -> None:
        super().__init__(_Pool("localhost", maxsize=pool_size, path=path))


class _Connection(BoundedConnection):
    def __init__(self, host: str, port: int | None = None, *, path: str, **options: Any) -> None:
        super().__init__(host, port, **options)
        self._path = path

    def connect(self) -> None:
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if isinstance(self.timeout, (int, float)):
            ours.settimeout(self.timeout)
        try:
            ours.connect(self._path)
        except OSError:
            ours.close()
            raise
        self.sock = ours


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection
