"""Whale's admin API and pages, and the few CTFd admin calls that touch what Whale sees."""

from __future__ import annotations

from collections.abc import Mapping

from flask import request

from ..whale import mariadb
from ..whale.control import ControlResult
from ..whale.errors import MechanismError, WhaleRefusal
from ..whale.visit import NOT_FOUND, Visit
from . import pages
from .app import HTML, Reply, WhaleSite, as_page, as_restx

PATH = "/api/v1/plugins/ctfd-whale/admin/container"
CTFD_VERSION, MEASURED_CTFD = "ctf_version", "3.8.7"
"""The one setting that is not Whale's, and what it is unless the world's ``config`` says else."""
USER_FIELDS = {"name": str, "password": str, "banned": bool}
CHALLENGE_FIELDS = {"state": str, "name": str, "category": str, "redirect_type": str, "image": str}


def register(site: WhaleSite) -> None:
    """Add the routes."""
    site.route(PATH, {"GET": _list, "PATCH": _renew, "DELETE": _destroy}, as_restx)
    site.route("/api/v1/configs", {"GET": _configs}, as_restx)
    site.route("/plugins/ctfd-whale/admin/settings", {"GET": _settings_page}, as_page)
    site.route("/plugins/ctfd-whale/admin/containers", {"GET": _containers_page}, as_page)
    site.route(
        "/api/v1/users/<int:user_id>", {"PATCH": _change_user, "DELETE": _drop_user}, as_restx
    )
    site.route(
        "/api/v1/challenges/<int:challenge_id>",
        {"PATCH": _change_challenge, "DELETE": _drop_challenge},
        as_restx,
    )


def _list(visit: Visit) -> Reply:
    visit.require_admin()
    page = abs(_whole(request.args.get("page"), 1))
    per_page = abs(_whole(request.args.get("per_page"), 20))
    control = visit.machine.control
    alive = visit.transaction.alive(control.oldest_alive())
    first = per_page * (page - 1)
    if first < 0 or per_page == 0:
        raise MechanismError("the page cannot be sliced")
    if alive[first : first + per_page]:
        raise MechanismError("records cannot be written as JSON")
    data = {
        "containers": [],
        "total": len(alive),
        "pages": -(-len(alive) // per_page),
        "page_start": first,
    }
    return Reply({"success": True, "data": data})


def _renew(visit: Visit) -> Reply:
    visit.require_admin()
    text = request.args.get("user_id", "-1")
    try:
        user_id = int(text)
    except ValueError as error:
        raise MechanismError("user_id is not a number") from error
    records = visit.transaction.of_users({user_id}, _of_challenge(visit))
    outcome = visit.machine.control.renew(visit.transaction, records[0] if records else None)
    if not outcome.ok:
        raise WhaleRefusal(403, outcome.message)
    return Reply({"success": True, "message": outcome.message})


def _destroy(visit: Visit) -> Reply:
    visit.require_admin()
    outcome = _remove(visit, request.args.get("user_id"), _of_challenge(visit))
    return Reply({"success": outcome.ok, "message": outcome.message})


def _of_challenge(visit: Visit) -> int | None:
    """The challenge that is named, where the flavour tells them apart (assumed where none is)."""
    text = request.args.get("challenge_id")
    if text is None or not visit.machine.control.flavour.per_challenge:
        return None
    return mariadb.equal_to(text)


def _remove(visit: Visit, user_id: str | None, challenge_id: int | None) -> ControlResult:
    if user_id is None:
        return visit.machine.control.remove(visit.transaction, [])
    found = mariadb.looked_up(user_id)
    records = [] if found is None else visit.transaction.of_users({found}, challenge_id)
    return visit.machine.control.remove(
        visit.transaction, records, asked_for=mariadb.equal_to(user_id)
    )


def _configs(visit: Visit) -> Reply:
    """CTFd's table of settings, Whale's among them (read in CTFd's source, not measured)."""
    visit.require_admin()
    key = request.args.get("key")
    stored = {CTFD_VERSION: MEASURED_CTFD, **visit.machine.settings.stored()}
    named = [(k if k == CTFD_VERSION else f"whale:{k}", value) for k, value in stored.items()]
    rows = [
        {"id": number, "key": name, "value": value}
        for number, (name, value) in enumerate(named, start=1)
        if key in (None, name)
    ]
    return Reply({"success": True, "data": rows})


def _settings_page(visit: Visit) -> Reply:
    visit.require_admin()
    visit.machine.refresh_router()
    return Reply(pages.plain("Whale", str(visit.session.get("nonce") or "")), 200, HTML)


def _containers_page(visit: Visit) -> Reply:
    visit.require_admin()
    visit.session.set("view_mode", request.args.get("mode") or "list")
    return Reply(pages.plain("Whale", str(visit.session.get("nonce") or "")), 200, HTML)


def _change_user(visit: Visit, user_id: int) -> Reply:
    visit.require_admin()
    directory = visit.machine.directory
    if directory.user(user_id) is None:
        raise WhaleRefusal(404, NOT_FOUND, known=False)
    directory.change_user(user_id, **_changes(USER_FIELDS))
    user = directory.user(user_id)
    assert user is not None  # noqa: S101  # for the type checker: it was there a line ago
    data = {"id": user.id, "name": user.name, "banned": user.banned, "type": user.type}
    return Reply({"success": True, "data": data})


def _drop_user(visit: Visit, user_id: int) -> Reply:
    visit.require_admin()
    if visit.machine.directory.user(user_id) is None:
        raise WhaleRefusal(404, NOT_FOUND, known=False)
    if visit.transaction.of_users({user_id}):
        raise MechanismError("a container refers to the user")
    visit.machine.directory.remove_user(user_id)
    return Reply({"success": True})


def _change_challenge(visit: Visit, challenge_id: int) -> Reply:
    visit.require_admin()
    directory = visit.machine.directory
    if directory.challenge(challenge_id) is None:
        raise WhaleRefusal(404, NOT_FOUND, known=False)
    directory.change_challenge(challenge_id, **_changes(CHALLENGE_FIELDS))
    challenge = directory.challenge(challenge_id)
    assert challenge is not None  # noqa: S101  # as above
    data = {"id": challenge.id, "name": challenge.name, "state": challenge.state}
    return Reply({"success": True, "data": data})


def _drop_challenge(visit: Visit, challenge_id: int) -> Reply:
    visit.require_admin()
    if visit.machine.directory.challenge(challenge_id) is None:
        raise WhaleRefusal(404, NOT_FOUND, known=False)
    for record in visit.transaction.everything():
        if record.challenge_id == challenge_id:
            visit.machine.control.clean(visit.transaction, record)
    visit.machine.directory.remove_challenge(challenge_id)
    return Reply({"success": True})


def _changes(known: Mapping[str, type]) -> dict[str, object]:
    """The fields of the body the fake knows; CTFd ignores or stores the rest, the fake ignores."""
    body = request.get_json(silent=True)
    wanted = body if isinstance(body, dict) else {}
    for name, kind in known.items():
        if name in wanted and not isinstance(wanted[name], kind):
            raise WhaleRefusal(400, f"{name}: must be {kind.__name__}", known=False)
    return {name: wanted[name] for name in known if name in wanted}


def _whole(text: str | None, default: int) -> int:
    try:
        return default if text is None else int(text)
    except ValueError:
        return default
