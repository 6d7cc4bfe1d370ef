"""The Flask application: the order of checks every request passes, and how errors are shown."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from email.utils import formatdate
from typing import Any

from flask import Flask, Request, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from ..whale.clock import Cancelled
from ..whale.errors import MechanismError, WhaleRefusal
from ..whale.faults import WhaleFaultKind
from ..whale.journal import CurrentRequest, working_on
from ..whale.machine import Machine
from ..whale.sessions import COOKIE_NAME
from ..whale.visit import NOT_FOUND, Asked, Banned, LoginRedirect, Visit
from . import pages

_log = logging.getLogger("fake_whale")

EVENT_STREAM = "text/event-stream"
JSON = "application/json"
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True)
class Reply:
    """What a view answers with; ``body`` is JSON unless it is text."""

    body: object
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] | None = None

    def response(self) -> Response:
        """As Flask sends it. JSON ends in a newline, as flask-restx writes it."""
        text = self.body if isinstance(self.body, str) else json.dumps(self.body) + "\n"
        response = Response(text, self.status, content_type=self.content_type)
        for name, value in (self.headers or {}).items():
            response.headers[name] = value
        return response


View = Callable[..., Reply]
Renderer = Callable[[WhaleRefusal], Reply]


SHOWN_QUERY = ("challenge_id", "user_id", "page", "per_page")
"""The part of a query that is journaled: the rest might hold a secret."""
CATCH_ALL = "/<path:route>"


def failure(status: int, message: str, *, known: bool = True) -> Reply:
    """Whale's way to refuse: with ``success`` false, unless CTFd itself refused."""
    body: dict[str, Any] = {"success": False, "message": message} if known else {"message": message}
    return Reply(body, status)


def as_restx(refusal: WhaleRefusal) -> Reply:
    """A refusal as the ctfd-whale dialect shows it."""
    return failure(refusal.status, refusal.message, known=refusal.known)


def as_page(refusal: WhaleRefusal) -> Reply:
    """A refusal as CTFd's HTML pages show it."""
    return Reply(pages.error(refusal.status, refusal.message), refusal.status, HTML)


class WhaleSite:
    """A Flask app whose views get a :class:`Visit` that has passed CTFd's checks."""

    def __init__(self, machine: Callable[[], Machine]) -> None:
        self._machine = machine
        self.flask = Flask("fake_whale", static_folder=None)
        self._renderers: dict[str, Renderer] = {}
        self.flask.register_error_handler(HTTPException, self._not_found)
        self.flask.after_request(self._dated)

    def route(
        self,
        path: str,
        views: Mapping[str, View],
        render: Renderer,
        *,
        checked: bool = True,
    ) -> None:
        """Serve ``path``: one view per method. ``checked=False`` skips CTFd's checks."""
        endpoint = f"{len(self._renderers)}:{path}"
        self._renderers[endpoint] = render
        by_method = {method.upper(): view for method, view in views.items()}
        if "GET" in by_method:
            by_method["HEAD"] = by_method["GET"]

        allowed = ", ".join(sorted({*by_method, "OPTIONS"}))

        def options(_visit: object, **_arguments: str) -> Reply:
            return Reply("", 200, HTML, {"Allow": allowed})

        def serve(**arguments: str) -> Response:
            view = by_method[request.method] if request.method != "OPTIONS" else options
            if not checked:
                return view(self._machine(), **arguments).response()
            return self._serve_checked(view, render, arguments)

        methods = [m for m in by_method if m != "HEAD"] + ["OPTIONS"]
        self.flask.add_url_rule(
            path, endpoint, serve, methods=methods, provide_automatic_options=False
        )

    def note_unmatched(self) -> None:
        """Write into the journal what the running request may have meant."""
        self._machine().journal.note(
            "unmatched", method=request.method, path=request.path, nearest=self._nearest()
        )

    def _dated(self, response: Response) -> Response:
        """The time of day on Whale's own clock, as every answer of a server tells it."""
        with contextlib.suppress(ValueError, OverflowError, OSError):  # beyond the calendar
            response.headers["Date"] = formatdate(self._machine().clock.time(), usegmt=True)
        return response

    def _serve_checked(
        self, view: View, render: Renderer, arguments: Mapping[str, str]
    ) -> Response:
        machine = self._machine()
        running = _running()
        asked = _asked(running)
        token = asked.authorization if asked.is_json else None
        call = CurrentRequest(asked.method, asked.path, machine.caller(token, asked.cookie))
        started = machine.clock.time()
        with working_on(call):
            if not machine.faults.empty:
                machine.events()
            if not machine.redis.absent and machine.faults.fire(WhaleFaultKind.REDIS_DOWN):
                reply = Reply(pages.error(500, "An Internal Server Error has occurred"), 500, HTML)
                response = reply.response()
            else:
                response = _visit(Visit(machine, asked), view, render, arguments)
        machine.journal.note(
            "call",
            method=call.method,
            path=call.path,
            query={name: running.args[name] for name in SHOWN_QUERY if name in running.args},
            user=call.user,
            status=response.status_code,
            took=round(machine.clock.time() - started, 3),
            faults=call.faults,
        )
        return response

    def _not_found(self, error: HTTPException) -> Response:
        """No view: CTFd's checks run all the same, and PUT is 404, not 405."""
        if not isinstance(error, (MethodNotAllowed, NotFound)):
            return Reply(
                pages.error(error.code or 500, str(error)), error.code or 500, HTML
            ).response()
        render = self._renderer_of_other_method(error) or as_page

        response = self._serve_checked(_nothing, render, {})
        self.note_unmatched()
        return response

    def _nearest(self) -> list[str]:
        """Routes that look like what was asked for, best first."""
        routes = {
            f"{method} {rule.rule}"
            for rule in self.flask.url_map.iter_rules()
            for method in rule.methods or ()
            if method not in ("HEAD", "OPTIONS") and rule.rule != CATCH_ALL
        }
        asked = f"{request.method} {request.path}"
        return get_close_matches(asked, sorted(routes), n=3, cutoff=0.5)

    def _renderer_of_other_method(self, error: HTTPException) -> Renderer | None:
        if not isinstance(error, MethodNotAllowed) or not error.valid_methods:
            return None
        adapter = self.flask.url_map.bind("")
        endpoint, _ = adapter.match(request.path, method=next(iter(error.valid_methods)))
        return self._renderers.get(str(endpoint))


def _visit(visit: Visit, view: View, render: Renderer, arguments: Mapping[str, str]) -> Response:
    try:
        reply = _answer(visit, view, render, arguments)
    except Cancelled:
        _log.info("a call was cut short by a reset")
        return failure(503, "the fake was reset", known=False).response()
    response = reply.response()
    cookie = visit.machine.sessions.save(visit.session)
    if cookie == "":
        response.delete_cookie(COOKIE_NAME, path="/")
    elif cookie is not None:
        cookie_line = f"{COOKIE_NAME}={cookie}; HttpOnly; Path=/; SameSite=Lax"
        response.headers.add("Set-Cookie", cookie_line)
    return response


def _answer(visit: Visit, view: View, render: Renderer, arguments: Mapping[str, str]) -> Reply:
    try:
        visit.check_ban()
        visit.check_token()
        if view is not _nothing:
            visit.check_csrf()
        return view(visit, **arguments)
    except Banned as banned:
        return Reply(pages.error(403, str(banned)), 403, HTML)
    except LoginRedirect as away:
        if away.aborted and render is as_restx:
            return Reply({"message": "Found"}, 302, headers={"Location": away.location})
        return redirect(away.location)
    except WhaleRefusal as refusal:
        return render(refusal)
    except MechanismError as error:
        _log.info("answering 500: %s", error)
        return render(WhaleRefusal(500, "Internal Server Error", known=False))


def _running() -> Request:
    """The request itself, not Flask's proxy for it."""
    proxy: Any = request
    real: Request = proxy._get_current_object()
    return real


def _nothing(_visit: Visit) -> Reply:
    """Where there is no view CTFd gives up before its CSRF check."""
    raise WhaleRefusal(404, NOT_FOUND, known=False)


def redirect(location: str) -> Reply:
    """302, with the page Werkzeug sends along."""
    return Reply(pages.redirecting(location), 302, HTML, {"Location": location})


def _asked(asked: Request) -> Asked:
    """What the checks look at; read from the environment, as this runs for every call."""
    environ = asked.environ
    method = asked.method
    accept = environ.get("HTTP_ACCEPT", "")
    cookies = environ.get("HTTP_COOKIE")
    return Asked(
        method=method,
        path=asked.path,
        full_path=f"{asked.path}?{asked.query_string.decode('latin-1')}",
        is_json=asked.is_json,
        event_stream=EVENT_STREAM in accept and asked.accept_mimetypes.best == EVENT_STREAM,
        authorization=environ.get("HTTP_AUTHORIZATION"),
        csrf_header=environ.get("HTTP_CSRF_TOKEN"),
        form_nonce=None if method in ("GET", "HEAD") else asked.form.get("nonce"),
        cookie=asked.cookies.get(COOKIE_NAME) if cookies else None,
    )
