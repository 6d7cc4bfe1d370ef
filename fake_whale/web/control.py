"""The fake's own control surface under ``/_fake/``; CTFd's checks do not apply to it."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import request

from ..whale.errors import FakeWhaleError
from ..whale.faults import fault_from
from ..whale.machine import Machine
from . import openapi, status_page
from .app import HTML, Reply, WhaleSite, as_restx

if TYPE_CHECKING:
    from ..fake import FakeWhale

TOKEN_HEADER = "X-Fake-Control-Token"  # noqa: S105  # the header's name
LOOPBACK = ("127.", "::1", "localhost")
Handler = Callable[["FakeWhale", Any], Reply]


@dataclass(frozen=True)
class ControlRule:
    """Who may use the control surface. ``repr`` would show the token, so it has none of its own."""

    enabled: bool = True
    token: str | None = None

    def __repr__(self) -> str:
        return f"ControlRule(enabled={self.enabled})"

    @classmethod
    def for_host(cls, host: str, token: str | None) -> ControlRule:
        """Off when bound to anything but loopback, unless a token is given."""
        return cls(token is not None or host.startswith(LOOPBACK), token)

    def and_also(self, other: ControlRule) -> ControlRule:
        """Both rules at once, for a fake that is served in two places."""
        return ControlRule(self.enabled and other.enabled, self.token or other.token)

    def refusal(self) -> Reply | None:
        """The answer for a request that may not pass, or None."""
        if not self.enabled:
            text = "the control surface is off: bind to loopback or start with --control-token"
            return _error(403, text)
        if self.token is None:  # else whoever shows it was given it: no page of another site was
            return _foreign()
        shown = request.headers.get(TOKEN_HEADER) or request.args.get("token") or ""
        if hmac.compare_digest(shown.encode(), self.token.encode()):
            return None
        return _error(401, f"send the control token in the header {TOKEN_HEADER}")


def _foreign() -> Reply | None:
    """The answer for a request that some page in a browser makes, not somebody on this machine."""
    if not _is_loopback(request.host):  # a page's name that was pointed here (DNS rebinding)
        return _error(403, "ask by 127.0.0.1 or localhost, or start with --control-token")
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site", "none")
    own = origin is None or urlsplit(origin).netloc == request.host
    if own and site in ("same-origin", "none"):
        return None
    if request.method in ("GET", "HEAD") and request.headers.get("Sec-Fetch-Dest") == "document":
        return None  # a link that somebody follows; the page it is on sees no answer
    return _error(403, "pages of other sites have no access here")


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def register(site: WhaleSite, fake: FakeWhale) -> None:
    """Add the routes."""
    table: dict[str, dict[str, Handler]] = {
        "/_fake/": {"GET": _page},
        "/_fake/health": {"GET": _health},
        "/_fake/reset": {"POST": _reset},
        "/_fake/state": {"GET": _state},
        "/_fake/config": {"GET": _config, "PATCH": _patch_config},
        "/_fake/clock/advance": {"POST": _advance},
        "/_fake/journal": {"GET": _journal},
        "/_fake/faults": {
            "GET": _faults,
            "POST": _add_fault,
            "PUT": _replace_faults,
            "DELETE": _clear_faults,
        },
        "/_fake/openapi.json": {"GET": _openapi},
    }
    for path, handlers in table.items():
        views = {method: partial(_guarded, fake, handler) for method, handler in handlers.items()}
        site.route(path, views, as_restx, checked=False)


def _guarded(fake: FakeWhale, handler: Handler, _machine: Machine) -> Reply:
    refused = fake.control_rule.refusal()
    if refused is not None:
        return refused
    body: Any = None
    if request.method in ("POST", "PUT", "PATCH") and request.get_data():
        # Only JSON: a page in somebody's browser cannot send that here without asking first.
        if not request.is_json:
            return _error(415, "send Content-Type: application/json")
        body = request.get_json(silent=True)
        if body is None:
            return _error(400, "the body is not JSON")
    try:
        return handler(fake, body)
    except FakeWhaleError as error:
        return _error(400, str(error))


def _page(fake: FakeWhale, _body: Any) -> Reply:
    return Reply(status_page.html(fake), 200, HTML)


def _health(fake: FakeWhale, _body: Any) -> Reply:
    return Reply(
        {
            "status": "ok",
            "clock": "virtual" if fake.clock.virtual else "real",
            "now": fake.clock.time(),
            "dialect": fake.dialect.value,
            "flavour": fake.flavour.name,
            "isolation": fake.machine.database.isolation.value,
            "database": fake.machine.database.kind.value,
            "redis": not fake.machine.redis.absent,
            "workers": fake.workers,
        }
    )


def _reset(fake: FakeWhale, _body: Any) -> Reply:
    fake.reset()
    return Reply({"reset": True})


def _state(fake: FakeWhale, _body: Any) -> Reply:
    return Reply(fake.state())


def _config(fake: FakeWhale, _body: Any) -> Reply:
    return Reply(fake.machine.settings.stored())


def _patch_config(fake: FakeWhale, body: Any) -> Reply:
    if not isinstance(body, dict):
        raise FakeWhaleError("send a JSON object of whale settings by their real names")
    fake.patch_config(body)
    return Reply(fake.machine.settings.stored())


def _advance(fake: FakeWhale, body: Any) -> Reply:
    seconds = body.get("seconds") if isinstance(body, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise FakeWhaleError('seconds: must be a number, as in {"seconds": 12.5}')
    if not 0 <= seconds <= 10 * 365 * 86_400:
        raise FakeWhaleError("seconds: must be between 0 and ten years")
    if not fake.clock.virtual:
        return _error(409, "the clock is real and cannot be moved; start with --clock virtual")
    fake.clock.advance(seconds)
    return Reply({"now": fake.clock.time()})


def _journal(fake: FakeWhale, _body: Any) -> Reply:
    return Reply({"entries": fake.machine.journal.entries()})


def _faults(fake: FakeWhale, _body: Any) -> Reply:
    return Reply({"faults": fake.machine.faults.listing()})


def _add_fault(fake: FakeWhale, body: Any) -> Reply:
    placed = fake.inject(fault_from(body))
    return Reply(placed.as_dict(), 201)


def _replace_faults(fake: FakeWhale, body: Any) -> Reply:
    rows = body.get("faults") if isinstance(body, dict) else None
    if not isinstance(rows, list):
        raise FakeWhaleError('faults: must be a list, as in {"faults": [{"kind": "docker_hung"}]}')
    faults = [fault_from(row, f"faults[{index}]") for index, row in enumerate(rows)]
    fake.lift_faults()
    for fault in faults:
        fake.inject(fault)
    return Reply({"faults": fake.machine.faults.listing()})


def _clear_faults(fake: FakeWhale, _body: Any) -> Reply:
    fake.lift_faults()
    return Reply({"faults": []})


def _openapi(fake: FakeWhale, _body: Any) -> Reply:
    return Reply(openapi.document(fake.dialect))


def _error(status: int, message: str) -> Reply:
    return Reply({"error": message}, status)
