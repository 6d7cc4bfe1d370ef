"""CTFd itself, as far as a client of Whale needs it: logging in, pages, who am I, tokens."""

from __future__ import annotations

from datetime import datetime, timezone

from flask import request
from werkzeug.exceptions import BadRequest

from ..whale.directory import MAIL_DOMAIN, Token
from ..whale.errors import WhaleRefusal
from ..whale.sessions import SessionView
from ..whale.visit import NOT_FOUND, Visit
from . import pages
from .app import CATCH_ALL, HTML, Reply, WhaleSite, as_page, as_restx, redirect

LOGIN_LIMIT = 10
LOGIN_INTERVAL_SECONDS = 5.0
_WITHOUT_VALUE = ("expiration", "id", "description", "type", "created")
"""What CTFd shows of a token once it has been made."""


def register(site: WhaleSite) -> None:
    """Add the routes, and the one that catches every other page."""
    site.route("/healthcheck", {"GET": _healthcheck}, as_page)
    site.route("/login", {"GET": _login_form, "POST": _login}, as_page)
    site.route("/logout", {"GET": _logout}, as_page)
    site.route("/", {"GET": _page}, as_page)
    site.route("/user", {"GET": _private_page}, as_page)
    site.route("/settings", {"GET": _private_page}, as_page)
    site.route("/challenges", {"GET": _private_page}, as_page)
    site.route("/api/v1/users/me", {"GET": _me}, as_restx)
    site.route("/api/v1/tokens", {"GET": _tokens, "POST": _new_token}, as_restx)
    site.route("/api/v1/tokens/<token_id>", {"GET": _one_token, "DELETE": _drop_token}, as_restx)
    site.route("/api/v1/challenges", {"GET": _challenges}, as_restx)
    site.route("/api/v1/challenges/attempt", {"POST": _attempt}, as_restx)

    def no_such_page(_visit: Visit, route: str) -> Reply:
        del route  # the path as a whole is in the journal
        site.note_unmatched()
        raise WhaleRefusal(404, NOT_FOUND, known=False)

    site.route(CATCH_ALL, {"GET": no_such_page}, as_page)


def _healthcheck(_visit: Visit) -> Reply:
    return Reply("OK", 200, HTML)


def _nonce(session: SessionView) -> str:
    return str(session.get("nonce") or "")


def _login_form(visit: Visit) -> Reply:
    return Reply(pages.login(_nonce(visit.session)), 200, HTML)


def _login(visit: Visit) -> Reply:
    machine = visit.machine
    key = f"rl:{request.remote_addr}:auth.login"
    if not machine.redis.count(key, LOGIN_LIMIT, LOGIN_INTERVAL_SECONDS):
        message = f"Too many requests. Limit is {LOGIN_LIMIT} requests in 5 seconds"
        return Reply({"code": 429, "message": message}, 429)
    name = request.form.get("name")
    password = request.form.get("password")
    if name is None or password is None:
        raise WhaleRefusal(400, BadRequest.description or "Bad Request", known=False)
    user = machine.directory.user_named(name)
    if user is None or not machine.directory.password_fits(user, password):
        complaint = "Your username or password is incorrect"
        return Reply(pages.login(_nonce(visit.session), name, complaint), 200, HTML)
    machine.sessions.renew_id(visit.session)
    visit.session.log_in(user.id, machine.directory.password_hash(user.id))
    target = request.args.get("next", "")
    safe = target.startswith("/") and not target.startswith("//") and "\\" not in target
    return redirect(target if safe else "/challenges")


def _logout(visit: Visit) -> Reply:
    visit.session.clear()
    return redirect("/")


def _page(visit: Visit) -> Reply:
    return Reply(pages.plain("CTFd", _nonce(visit.session)), 200, HTML)


def _private_page(visit: Visit) -> Reply:
    visit.require_login()
    visit.user()
    return Reply(pages.plain("CTFd", _nonce(visit.session)), 200, HTML)


def _me(visit: Visit) -> Reply:
    visit.require_login()
    user = visit.user()
    data: dict[str, object] = {
        "website": None,
        "email": f"{user.name}@{MAIL_DOMAIN}",
        "affiliation": None,
        "oauth_id": None,
        "fields": [],
        "id": user.id,
        "name": user.name,
        "language": None,
        "bracket_id": None,
        "team_id": user.team_id,
        "country": None,
        "place": None,
        "score": 0,
    }
    return Reply({"success": True, "data": data})


def _tokens(visit: Visit) -> Reply:
    visit.require_login()
    user = visit.user()
    rows = [
        {"id": token.id, "type": "user", "expiration": _iso(token.expires_at)}
        for token in visit.machine.directory.tokens_of(user.id)
    ]
    return Reply({"success": True, "data": rows})


def _new_token(visit: Visit) -> Reply:
    visit.require_login()
    wanted = request.get_json(silent=True)
    if wanted is None:
        raise WhaleRefusal(400, BadRequest.description or "Bad Request", known=False)
    if not isinstance(wanted, dict):
        raise WhaleRefusal(500, "Internal Server Error", known=False)
    user = visit.user()
    token = visit.machine.directory.add_token(
        user.id, _expiration(wanted.get("expiration")), _text(wanted.get("description"))
    )
    return Reply({"success": True, "data": _shown(token)})


def _one_token(visit: Visit, token_id: str) -> Reply:
    visit.require_login()
    for token in visit.machine.directory.tokens_of(visit.user().id):
        if str(token.id) == token_id:
            shown = _shown(token)
            return Reply({"success": True, "data": {key: shown[key] for key in _WITHOUT_VALUE}})
    raise WhaleRefusal(404, NOT_FOUND, known=False)


def _drop_token(visit: Visit, token_id: str) -> Reply:
    visit.require_login()
    owner = None if visit.is_admin else visit.user().id
    number = int(token_id) if token_id.isascii() and token_id.isdigit() else 0
    if not visit.machine.directory.remove_token(number, owner):
        raise WhaleRefusal(404, NOT_FOUND, known=False)
    return Reply({"success": True})


def _challenges(visit: Visit) -> Reply:
    """What the caller may see; read in CTFd's source, and but for these fields as it is there."""
    visit.require_login()
    shown = [
        challenge
        for challenge in visit.machine.directory.challenges()
        if challenge.state == "visible"
    ]
    rows = [
        {
            "id": challenge.id,
            "type": challenge.type,
            "name": challenge.name,
            "category": challenge.category,
        }
        for challenge in shown
    ]
    return Reply({"success": True, "data": rows})


def _attempt(visit: Visit) -> Reply:
    """Submit a flag: right is only what the caller's own first record holds."""
    visit.require_login()
    body = request.get_json(silent=True)
    wanted = body if isinstance(body, dict) else {}
    user = visit.user()
    try:
        challenge_id = int(wanted.get("challenge_id") or 0)
    except (TypeError, ValueError):
        challenge_id = 0
    if visit.machine.directory.challenge(challenge_id) is None:
        raise WhaleRefusal(404, NOT_FOUND, known=False)
    mine = [
        record
        for record in visit.transaction.everything()
        if record.user_id == user.id and record.challenge_id == challenge_id
    ]
    if not mine:
        verdict = "incorrect", "Please solve it during the container is running"
    elif mine[0].flag == str(wanted.get("submission", "")).strip():
        verdict = "correct", "Correct"
    else:
        verdict = "incorrect", "Incorrect"
    return Reply({"success": True, "data": {"status": verdict[0], "message": verdict[1]}})


def _shown(token: Token) -> dict[str, object]:
    return {
        "expiration": _iso(token.expires_at),
        "id": token.id,
        "value": token.value,
        "description": token.description,
        "type": "user",
        "created": _iso(token.created_at),
        "user_id": token.user_id,
    }


def _expiration(value: object) -> float | None:
    if not value:
        return None
    try:
        day = datetime.strptime(str(value), "%Y-%m-%d").replace(tzinfo=timezone.utc)
    except ValueError as error:
        raise WhaleRefusal(500, "Internal Server Error", known=False) from error
    return day.timestamp()


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _iso(moment: float | None) -> str | None:
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, timezone.utc).isoformat()
