"""The documented dialect: Whale as the migration paper describes it (docs/whale-wire.md).

Nobody has measured one; what the paper leaves open is answered as ctfd-whale answers it.
"""

from __future__ import annotations

from ..whale import player
from ..whale.control import ControlResult
from ..whale.player import ShownContainer
from ..whale.visit import Visit
from .app import Reply, WhaleSite, as_restx
from .ctfd_whale import challenge_id

PATH = "/ctfd-whale-user/container"


def register(site: WhaleSite) -> None:
    """Add the dialect's routes."""
    views = {"GET": _get, "POST": _post, "PATCH": _patch, "DELETE": _delete}
    site.route(PATH, views, as_restx)


def _get(visit: Visit) -> Reply:
    running = player.status(visit, challenge_id())
    if running is None:
        return Reply({"success": True, "message": "No container running", "data": {}})
    return _told(visit, "Container running", running)


def _post(visit: Visit) -> Reply:
    return _after(visit, player.start(visit, challenge_id()), "Container created")


def _patch(visit: Visit) -> Reply:
    outcome = player.renew(visit, challenge_id())
    if not outcome.ok:
        return Reply({"success": False, "message": outcome.message})
    return _after(visit, outcome, "Container renewed")


def _delete(visit: Visit) -> Reply:
    player.stop(visit, challenge_id())
    return Reply({"success": True, "message": "Container destroyed", "data": {}})


def _after(visit: Visit, outcome: ControlResult, message: str) -> Reply:
    running = player.status(visit, challenge_id())
    if running is None:  # gone again already: another call of the same user was faster
        return Reply({"success": outcome.ok, "message": message, "data": {}})
    return _told(visit, message, running)


def _told(visit: Visit, message: str, running: ShownContainer) -> Reply:
    data: dict[str, object] = {
        "uuid": running.record.uuid,
        "remaining_time": running.remaining,
        "subdomain": visit.machine.control.host(running.record),
    }
    if running.record.port:  # the paper knows names only: a port needs a host that has it
        data["subdomain"] = str(visit.machine.settings.get("frp_direct_ip_address", ""))
        data["port"] = running.record.port
    return Reply({"success": True, "message": message, "data": data})
