"""A small site with the endpoints on it, served on loopback, and browsers to ask it with.

Like CTFd it has pages of its own for errors, which must not show below the endpoints.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Request, Response

from conformance.spec.web import serving
from engines.contract import ContainerBackend
from engines.web import PREFIX, Caller, Gate, Overview, container_blueprint

JSON = "application/json"
NONCE = "nonce-of-the-session"
TOKEN_SCHEME = "Token "

ALICE, BOB, ADMIN = Caller(11), Caller(12), Caller(13, is_admin=True, name="Ada")
BY_NAME = {
    "alice": ALICE,
    "bob": BOB,
    "admin": ADMIN,
    "nameless": Caller(14, is_admin=True),
    "mate": Caller(21, 2),
    "mate2": Caller(22, 2),
}


@dataclass(frozen=True)
class SiteIdentity:
    """Cookies of sessions, which need a nonce, and access tokens, which do not."""

    callers: Mapping[str, Caller]

    def who(self, request: Request) -> Caller | None:
        token = request.headers.get("Authorization", "").removeprefix(TOKEN_SCHEME)
        return self.callers.get(token or request.cookies.get("session", ""))

    def csrf_ok(self, request: Request) -> bool:
        if request.headers.get("Authorization", "").startswith(TOKEN_SCHEME):
            return True
        return request.headers.get("CSRF-Token") == NONCE


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def body(self) -> dict[str, Any]:
        found = json.loads(self.text)
        assert isinstance(found, dict)
        return found


@dataclass
class Site:
    """Asks one served site."""

    address: tuple[str, int]
    url: str = field(init=False)

    def __post_init__(self) -> None:
        self.url = "http://{}:{}".format(*self.address)

    def get(self, name: str | None, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, name, None, headers)

    def post(
        self, name: str | None, path: str, body: object, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Ask for a change as a browser of that user does."""
        sent = {"Content-Type": JSON, "CSRF-Token": NONCE, **(headers or {})}
        return self.ask("POST", path, name, json.dumps(body).encode(), sent)

    def ask(
        self,
        method: str,
        path: str,
        name: str | None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask anything; a body that is an iterator is sent in chunks."""
        sent = dict(headers or {})
        if name is not None:
            sent["Cookie"] = f"session={name}"
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        try:
            target = path if path.startswith("/") else f"{PREFIX}/{path}"
            with suppress(BrokenPipeError, ConnectionResetError):
                # Who is refused half-way may still be sending; the answer is there all the same.
                connection.request(method, target, body, sent)
            with connection.getresponse() as response:
                text = response.read().decode()
                return Reply(response.status, dict(response.getheaders()), text)
        finally:
            connection.close()


class Swappable:
    """A provider whose backend may be swapped while the site runs."""

    def __init__(self, backend: ContainerBackend) -> None:
        self.backend = backend

    def __call__(self) -> ContainerBackend:
        return self.backend


def site_app(
    provider: Any,
    *,
    gate: Gate | None = None,
    overview: Overview | None = None,
    callers: Mapping[str, Caller] = BY_NAME,
) -> Flask:
    """The site's application."""
    app = Flask(__name__)

    def page(error: Exception) -> Response:
        return Response("<h1>the site's own page</h1>", getattr(error, "code", 500))

    for status in (400, 403, 404, 405, 413, 500):
        app.register_error_handler(status, page)
    blueprint = container_blueprint(provider, SiteIdentity(callers), gate=gate, overview=overview)
    app.register_blueprint(blueprint)
    return app


@contextmanager
def site_of(app: Flask) -> Iterator[Site]:
    """The application, served."""
    with serving(app) as address:
        yield Site(address)
