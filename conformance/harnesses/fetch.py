"""A player's HTTP request to an instance."""

from __future__ import annotations

import http.client

FETCH_SECONDS = 5.0


def http_get(
    address: str, port: int, path: str, *, host_header: str | None = None, secure: bool = False
) -> str | None:
    """The body of a 200 answer, or None when nobody answers so; ``secure``: over TLS."""
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(address, port, timeout=FETCH_SECONDS)
    try:
        connection.request("GET", path, headers={"Host": host_header} if host_header else {})
        response = connection.getresponse()
        body = response.read(65536).decode("utf-8", "replace").strip()
        return body if response.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
