"""The demo's application: the endpoints as they are, and few routes for the page around them."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from flask import Blueprint, Flask, Response, request
from sqlalchemy.exc import SQLAlchemyError

from engines.contract import Code
from engines.ctfd import rollout_changes as turning
from engines.errors import BackendUnavailable
from engines.web import WebCode, WebRefusal, answers, container_blueprint, inputs
from engines.web.answers import HttpAnswer, Refused
from engines.web.callers import Authorizer
from whale_ready.demo.backends import WHO, Demo
from whale_ready.demo.cast import PLAYERS, DemoPlayer
from whale_ready.demo.logins import BrowserLogins, host_is_ours
from whale_ready.demo.page import content_security_policy, page
from whale_ready.demo.picture import Picture

PREFIX = "/demo"
FIRST = next(iter(PLAYERS.values()))


def demo_app(demo: Demo, host: str) -> Flask:
    """The application.

    Args:
        host: what it is bound to; asked for by another name, it refuses.
    """
    app = Flask(__name__, static_folder=None)
    app.secret_key = secrets.token_bytes(32)
    # A browser sends the cookies of one host to all of its ports: two demos must not share one.
    app.config.update(SESSION_COOKIE_NAME=f"whale_ready_demo_{secrets.token_hex(4)}")
    app.config.update(SESSION_COOKIE_SAMESITE="Strict")
    logins = BrowserLogins()
    app.register_blueprint(container_blueprint(lambda: demo.hybrid, logins))
    app.register_blueprint(_Routes(demo, logins).blueprint())

    @app.before_request
    def known_host() -> Response | None:
        if host_is_ours(request, host):
            return None
        message = "Ask for this page by the address that whale-ready demo printed"
        return answers.refused(WebRefusal(WebCode.FORBIDDEN, message)).response()

    @app.after_request
    def for_this_page_only(response: Response) -> Response:
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.get("/")
    def front() -> Response:
        player = logins.player() or FIRST
        csrf = logins.nonce() or logins.log_in(player)
        nonce = secrets.token_urlsafe(16)
        response = Response(page(demo, player, csrf, nonce), mimetype="text/html")
        response.headers["Content-Security-Policy"] = content_security_policy(nonce)
        return response

    return app


class _Routes:
    """What the page asks for besides the endpoints; answers have the endpoints' five keys."""

    def __init__(self, demo: Demo, logins: BrowserLogins) -> None:
        self._demo = demo
        self._logins = logins
        self._door = Authorizer(logins)
        self._picture = Picture(demo)

    def blueprint(self) -> Blueprint:
        found = Blueprint("demo", __name__, url_prefix=PREFIX)
        views: tuple[tuple[str, str, Callable[[], HttpAnswer]], ...] = (
            ("GET", "state", self.state),
            ("POST", "player", self.player),
            ("POST", "dial", self.dial),
            ("POST", "whale", self.whale),
        )
        for method, name, view in views:
            found.add_url_rule(
                f"/{name}", endpoint=name, view_func=_answering(view), methods=[method]
            )
        return found

    def state(self) -> HttpAnswer:
        """What the organiser sees."""
        player = self._known(self._door.player(request).user_id)
        return answers.ok("as it stands", self._picture.of(player))

    def player(self) -> HttpAnswer:
        """Play as another one from now on."""
        self._door.player_who_changes(request)
        player = self._known(inputs.required(inputs.members(request), "user_id"))
        csrf = self._logins.log_in(player)
        return answers.ok(f"You play as {player.name} of the {player.team}", {"csrf": csrf})

    def dial(self) -> HttpAnswer:
        """Turn the dial, as the admin's page of the CTFd plugin does."""
        self._door.player_who_changes(request)
        form = {name: str(value) for name, value in inputs.members(request).items()}
        return answers.ok(turning.turn(self._demo.store, WHO, form))

    def whale(self) -> HttpAnswer:
        """Have Whale fail, or bring it back."""
        self._door.player_who_changes(request)
        up = inputs.members(request).get("up")
        if not isinstance(up, bool):
            raise ValueError("up must be true or false")
        self._demo.whale.turn(up)
        return answers.ok("Whale answers again" if up else "Whale refuses every connection now")

    def _known(self, user_id: int) -> DemoPlayer:
        if user_id not in PLAYERS:
            raise ValueError(f"there is no player {user_id}; choose one of the list")
        return PLAYERS[user_id]


def _answering(view: Callable[[], HttpAnswer]) -> Callable[[], Response]:
    """The view's answer as a response, and what it refuses too."""

    def answer() -> Response:
        try:
            return view().response()
        except Refused as error:
            return answers.refused(error.refusal).response()
        except ValueError as error:
            return answers.refused(WebRefusal(WebCode.BAD_REQUEST, str(error))).response()
        except (BackendUnavailable, SQLAlchemyError):
            message = "The demo's database cannot be asked now"
            return answers.refused(WebRefusal(Code.UNAVAILABLE, message)).response()

    return answer
