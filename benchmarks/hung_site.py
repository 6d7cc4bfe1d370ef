"""The site that :mod:`benchmarks.hung_engine` asks, for gunicorn; it knows nothing but ``engines``.

Who calls says who they are: this is for loopback and for made-up players.
"""

from __future__ import annotations

from flask import Flask, Request

from engines.factory import get_container_backend
from engines.web import Caller, container_blueprint


class HeaderIdentity:
    """The player is the number in a header."""

    def who(self, request: Request) -> Caller | None:
        return Caller(int(request.headers["X-Player"]))

    def csrf_ok(self, _request: Request) -> bool:
        return True


app = Flask(__name__)
app.register_blueprint(container_blueprint(get_container_backend, HeaderIdentity()))
