"""The ctfd-whale dialect: the plugin as it is today (docs/whale-wire.md)."""

from __future__ import annotations

from flask import request

from ..whale import player
from ..whale.visit import Visit
from .app import Reply, WhaleSite, as_restx

PATH = "/api/v1/plugins/ctfd-whale/container"


def register(site: WhaleSite) -> None:
    """Add the dialect's routes."""
    views = {"GET": _get, "POST": _post, "PATCH": _patch, "DELETE": _delete}
    site.route(PATH, views, as_restx)


def challenge_id() -> str | None:
    """The query's ``challenge_id``; the first one wins, the body is not read."""
    return request.args.get("challenge_id")


def _get(visit: Visit) -> Reply:
    running = player.status(visit, challenge_id())
    if running is None:
        return Reply({"success": True, "data": {}})
    data: dict[str, object] = {
        "user_access": running.access,
        "remaining_time": running.remaining,
    }
    if visit.machine.control.flavour.lan_domain:
        data = {"lan_domain": running.lan_domain, **data}
    return Reply({"success": True, "data": data})


def _post(visit: Visit) -> Reply:
    outcome = player.start(visit, challenge_id())
    return Reply({"success": True, "message": outcome.message})


def _patch(visit: Visit) -> Reply:
    outcome = player.renew(visit, challenge_id())
    return Reply({"success": outcome.ok, "message": outcome.message})


def _delete(visit: Visit) -> Reply:
    outcome = player.stop(visit, challenge_id())
    return Reply({"success": True, "message": outcome.message})
