"""Who plays in this browser, and whether a request was made on purpose by this very page."""

from __future__ import annotations

import hmac
import ipaddress
import secrets

from flask import Request, session

from engines.web import Caller
from whale_ready.demo.cast import PLAYERS, DemoPlayer

CSRF_HEADER = "CSRF-Token"


class BrowserLogins:
    """A signed cookie says who plays; there are no passwords, for there is nothing to protect.

    Each login has a nonce of its own, so that a page that still shows another player cannot act.
    """

    def log_in(self, player: DemoPlayer) -> str:
        """Play as this one from now on; returns the nonce."""
        session["player"] = player.user_id
        session["nonce"] = secrets.token_hex(16)
        return str(session["nonce"])

    def nonce(self) -> str:
        """The nonce of whoever plays."""
        return str(session.get("nonce", ""))

    def player(self) -> DemoPlayer | None:
        """Who plays in this browser."""
        return PLAYERS.get(session.get("player", 0))

    def who(self, request: Request) -> Caller | None:
        player = self.player()
        return None if player is None else Caller(player.user_id, player.team_id)

    def csrf_ok(self, request: Request) -> bool:
        shown = request.headers.get(CSRF_HEADER, "")
        known = self.nonce()
        return bool(known) and hmac.compare_digest(shown, known) and _from_here(request)


def host_is_ours(request: Request, bound_to: str) -> bool:
    """Whether the demo is asked for by an address, or by the name it was started with.

    Another site may have its own name point at this machine; its pages would then be of the same
    origin as ours.
    """
    name = _host_name(request.host)
    if name in ("localhost", bound_to.lower()):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _host_name(host: str) -> str:
    """``[::1]:80`` → ``::1``, ``localhost:80`` → ``localhost``."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _from_here(request: Request) -> bool:
    """Browsers send the origin with every change; what is no browser may leave it out."""
    origin = request.headers.get("Origin")
    return origin is None or origin == request.host_url.rstrip("/")
