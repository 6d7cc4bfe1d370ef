"""The way to a Docker engine over its local socket."""

from __future__ import annotations

from typing import Any

from docker.transport import UnixHTTPAdapter

_ANY = "http+docker://localhost"


class OnePool(UnixHTTPAdapter):
    """The SDK's own way, with one pool of connections for all requests.

    The SDK makes a pool per URL and closes the oldest of more than 25. With that many threads at
    work it now and then closes one that another thread is about to use, and a request fails with
    "Pool is closed"; and hardly any connection is ever used twice, as most URLs name a container.
    """

    def get_connection(self, url: str | bytes, proxies: Any = None) -> Any:
        """The pool, whatever the URL."""
        return super().get_connection(_ANY, proxies)
