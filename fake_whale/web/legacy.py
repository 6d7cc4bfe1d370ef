"""The legacy dialect: the older plugin (docs/whale-wire.md; read in its source, not measured).

JSON text served as HTML, flat, and always with status 200, but for a challenge that is not visible.
"""

from __future__ import annotations

import json

from ..whale import player
from ..whale.control import DESTROY_FAILED
from ..whale.errors import WhaleRefusal
from ..whale.visit import NOT_FOUND, Visit
from .app import HTML, Reply, WhaleSite, as_page
from .ctfd_whale import challenge_id

PATH = "/plugins/ctfd-whale/container"

_OWN_WORDS = {
    "Max renewal count exceed.": "Max renewal times exceed.",
    "Container creation failed": "Failed when launch instance, please contact with the admin.",
    "No such container": "Failed when destroy instance, please contact admin!",
    DESTROY_FAILED: "Failed when destroy instance, please contact admin!",
}


def register(site: WhaleSite) -> None:
    """Add the dialect's routes."""
    views = {"GET": _get, "POST": _post, "PATCH": _patch, "DELETE": _delete}
    site.route(PATH, views, render)


def render(refusal: WhaleRefusal) -> Reply:
    """A refusal as this dialect shows it."""
    if refusal.message in ("challenge not visible", "no such challenge"):
        return as_page(WhaleRefusal(404, NOT_FOUND, known=False))
    if not refusal.known:
        return as_page(refusal)
    return _told({"success": False, "msg": _OWN_WORDS.get(refusal.message, refusal.message)})


def _get(visit: Visit) -> Reply:
    try:
        running = player.status(visit, challenge_id())
    except WhaleRefusal as refusal:
        if refusal.message.startswith("Container already started"):
            return _told({})
        raise
    if running is None:
        return _told({"success": True})
    time_and_name = {"remaining_time": running.remaining, "lan_domain": running.lan_domain}
    if running.redirect_type == "http":
        port = visit.machine.settings.get("frp_http_port", "80")
        host = visit.machine.control.host(running.record)
        domain = host if str(port) == "80" else f"{host}:{port}"
        return _told({"success": True, "type": "http", "domain": domain, **time_and_name})
    where = {
        "ip": str(visit.machine.settings.get("frp_direct_ip_address", "")),
        "port": running.record.port,
    }
    return _told({"success": True, "type": "redirect", **where, **time_and_name})


def _post(visit: Visit) -> Reply:
    player.start(visit, challenge_id())
    return _told({"success": True})


def _patch(visit: Visit) -> Reply:
    outcome = player.renew(visit, challenge_id())
    if not outcome.ok:
        return _told({"success": False, "msg": outcome.message})
    return _told({"success": True})


def _delete(visit: Visit) -> Reply:
    player.stop(visit, challenge_id())
    return _told({"success": True})


def _told(body: dict[str, object]) -> Reply:
    return Reply(json.dumps(body), 200, HTML)
