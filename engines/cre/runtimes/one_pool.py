"""The transport of an SDK client: one pool of connections of our own for all requests.

The SDK's transports are not used. Those before 7.1 fail with requests 2.32 and newer ("Not
supported URL scheme http+docker", docker/docker-py#3256), those before 6 also with urllib3 2, and
plugins beside us pin such releases: ctfd-whale asks for docker 4.1.0. All of them make a pool per
URL and close the oldest of more than 25: with that many threads at work a request now and then
fails with "Pool is closed", and hardly any connection is used twice.
"""

from __future__ import annotations

from typing import Any

from requests import PreparedRequest
from urllib3.connectionpool import HTTPConnectionPool

from engines.deadline import BoundedAdapter


class OnePool(BoundedAdapter):
    """Sends every request of a session through ``pool``, whatever its URL."""

    def __init__(self, pool: HTTPConnectionPool) -> None:
        self._pool = pool
        super().__init__()

    def get_connection(self, url: str | bytes, proxies: Any = None) -> HTTPConnectionPool:
        """For requests before 2.32."""
        return self._pool

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        return self._pool

    def close(self) -> None:
        super().close()
        self._pool.close()
