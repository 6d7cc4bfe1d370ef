"""A site with the endpoints, for servers to import; all of it comes from the environment.

As ``docs/endpoints.md`` and ``docs/how-to.md`` show it: one backend for each process, made at the
first request, and its worker at work.
"""

from __future__ import annotations

from engines.factory import get_container_backend
from engines.hybrid import HybridBackend
from engines.web import Caller
from support.web_site import site_app

PLAYERS = {name: Caller(number) for number, name in enumerate(("alice", "bob", "carol", "dave"), 1)}


def backend() -> HybridBackend:
    found = get_container_backend()
    found.cleanup_worker.start()
    return found


app = site_app(backend, callers=PLAYERS)
