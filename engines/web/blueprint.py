"""The endpoints as a Flask blueprint; it needs no CTFd."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, default_exceptions

from engines.contract import Code
from engines.errors import BackendUnavailable
from engines.reasons import reason
from engines.web import answers, openapi
from engines.web.admin import AdminEndpoints
from engines.web.answers import AnyCode, HttpAnswer, Refused, WebCode, WebRefusal
from engines.web.callers import Authorizer, Gate, Identity, OpenGate
from engines.web.calls import PREFIX
from engines.web.overview import Overview
from engines.web.players import BackendProvider, PlayerEndpoints

log = logging.getLogger(__name__)

_HTTP_CODES: dict[int, tuple[AnyCode, str]] = {
    401: (WebCode.LOGIN_REQUIRED, "Please log in first"),
    403: (WebCode.FORBIDDEN, "You may not do this; reload the page and try again"),
    404: (WebCode.NO_SUCH_ENDPOINT, f"There is no such endpoint; see {PREFIX}/openapi.json"),
    405: (WebCode.METHOD_NOT_ALLOWED, "This endpoint has another method"),
    413: (WebCode.TOO_LARGE, "The request is too large"),
    415: (WebCode.NOT_JSON, "Send the body as JSON, with the header Content-Type application/json"),
    429: (Code.RATE_LIMITED, "Too many requests; please wait a moment"),
    503: (Code.UNAVAILABLE, "The site cannot do this now; please try again shortly"),
}
"""What the application, Flask or Werkzeug refuse, in our words; others are 400 or 500."""


def container_blueprint(
    backend: BackendProvider,
    identity: Identity,
    *,
    gate: Gate | None = None,
    overview: Overview | None = None,
) -> Blueprint:
    """The endpoints below :data:`PREFIX`.

    Args:
        backend: asked for the backend at each request.
        identity: who is asking.
        gate: what players may do now; without one, all that the backend lets them.
        overview: what admins see; without one there are no admin endpoints.
    """
    door = Authorizer(identity)
    players = PlayerEndpoints(backend, door, gate or OpenGate())
    blueprint = Blueprint("whale_ready_container", __name__, url_prefix=PREFIX)
    _add(blueprint, "POST", "/start", players.start)
    _add(blueprint, "POST", "/extend", players.extend)
    _add(blueprint, "POST", "/stop", players.stop)
    _add(blueprint, "GET", "/status", players.status)
    if overview is not None:
        admin = AdminEndpoints(backend, door, overview)
        _add(blueprint, "GET", "/admin/instances", admin.instances)
        _add(blueprint, "GET", "/admin/history", admin.history)
        _add(blueprint, "POST", "/admin/stop", admin.stop)
        _add(blueprint, "POST", "/admin/extend", admin.extend)
        _add(blueprint, "POST", "/admin/stop-all", admin.stop_all)
        _add(blueprint, "POST", "/admin/solved", admin.solved)
    text = openapi.as_json(admin=overview is not None)
    _add_view(
        blueprint, "GET", "/openapi.json", lambda: Response(text, mimetype="application/json")
    )
    _answer_errors(blueprint)
    return blueprint


def _add(blueprint: Blueprint, method: str, path: str, answer: Callable[[], HttpAnswer]) -> None:
    _add_view(blueprint, method, path, lambda: answer().response())


def _add_view(blueprint: Blueprint, method: str, path: str, view: Callable[[], Response]) -> None:
    blueprint.add_url_rule(
        path,
        endpoint=path.strip("/").replace("/", "_").replace(".", "_").replace("-", "_"),
        view_func=view,
        methods=[method],
        provide_automatic_options=False,
    )


def _answer_errors(blueprint: Blueprint) -> None:
    blueprint.register_error_handler(Refused, _refused)
    blueprint.register_error_handler(BackendUnavailable, _unavailable)
    blueprint.register_error_handler(Exception, _failed)
    # Each by its number: an application's own page for 403, say, would come before ours otherwise.
    for status in default_exceptions:
        blueprint.register_error_handler(status, _http_error)
    blueprint.register_error_handler(HTTPException, _http_error)
    blueprint.before_app_request(_unrouted)


def _unrouted() -> Response | None:
    """What no endpoint takes, below our prefix: such requests belong to no blueprint."""
    error = request.routing_exception
    if error is None or not request.path.startswith(f"{PREFIX}/"):
        return None
    if isinstance(error, MethodNotAllowed):
        return _http_error(error)
    code, message = _HTTP_CODES[404]
    return answers.refused(WebRefusal(code, message)).response()


def _refused(error: Refused) -> Response:
    return answers.refused(error.refusal).response()


def _unavailable(error: BackendUnavailable) -> Response:
    log.warning("%s: the backend cannot be asked: %s", request.path, error)
    return answers.unavailable().response()


def _failed(error: Exception) -> Response:
    log.error("%s failed: %s", request.path, reason(error))
    message = "Something went wrong on our side; please tell an organiser"
    return answers.refused(WebRefusal(Code.INTERNAL, message)).response()


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status not in _HTTP_CODES and status >= 500:
        return _failed(error)
    fallback = (WebCode.BAD_REQUEST, "The request cannot be understood")
    code, message = _HTTP_CODES.get(status, fallback)
    headers: dict[str, str] = {}
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return answers.refused(WebRefusal(code, message, _told(error), headers)).response()


def _told(error: HTTPException) -> float | None:
    """When the application says to come back, where it says so in seconds."""
    when = getattr(error, "retry_after", None)
    return float(when) if isinstance(when, (int, float)) else None
