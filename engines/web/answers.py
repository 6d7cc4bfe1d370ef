"""What the endpoints answer: five keys, always the same, and one table of HTTP statuses."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from flask import Response

from engines.contract import ActionResult, Code, InstanceStatus, StartResult
from engines.errors import EngineError
from engines.front import RETRY_OUTAGE_SECONDS

KEYS = ("success", "message", "data", "code", "retry_after")
"""Of every answer, whatever was asked and whatever became of it."""


class WebCode(str, Enum):
    """What the endpoints say beside a backend's own codes."""

    BAD_REQUEST = "bad_request"
    LOGIN_REQUIRED = "login_required"
    FORBIDDEN = "forbidden"
    """This caller may not: no admin, no team, banned."""
    CSRF_FAILED = "csrf_failed"
    CONTEST_CLOSED = "contest_closed"
    """Not started yet, paused or over."""
    NO_SUCH_ENDPOINT = "no_such_endpoint"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    # Of an instance on record whose backend cannot be asked:
    LAST_KNOWN = "last_known"
    """A status, shown as it is on record."""
    OUT_OF_REACH = "out_of_reach"
    """Nothing can be done with it now; or what became of a call is not known yet."""


AnyCode = Code | WebCode

STATUSES: Mapping[AnyCode, int] = {
    Code.OK: 200,  # a start that made the instance: 201
    Code.ALREADY_RUNNING: 200,
    Code.LIMIT_REACHED: 409,
    Code.CAPACITY: 503,
    Code.CHALLENGE_UNAVAILABLE: 404,
    Code.IMAGE_MISSING: 503,
    Code.START_FAILED: 503,
    Code.NOT_READY: 503,
    Code.PORT_UNAVAILABLE: 503,
    Code.BUSY: 409,
    Code.RATE_LIMITED: 429,
    Code.EXTENSION_LIMIT: 409,
    Code.NOT_FOUND: 404,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 403,
    Code.INTERNAL: 500,
    WebCode.BAD_REQUEST: 400,
    WebCode.LOGIN_REQUIRED: 401,
    WebCode.FORBIDDEN: 403,
    WebCode.CSRF_FAILED: 403,
    WebCode.CONTEST_CLOSED: 403,
    WebCode.NO_SUCH_ENDPOINT: 404,
    WebCode.METHOD_NOT_ALLOWED: 405,
    WebCode.TOO_LARGE: 413,
    WebCode.NOT_JSON: 415,
    WebCode.LAST_KNOWN: 200,
    WebCode.OUT_OF_REACH: 409,
}
"""The HTTP status of every code; docs/endpoints.md says why each."""

CREATED = 201

RETRY_SECONDS: Mapping[AnyCode, float] = {
    Code.BUSY: 1.0,
    Code.RATE_LIMITED: 60.0,
    Code.UNAVAILABLE: RETRY_OUTAGE_SECONDS,
    Code.NOT_READY: RETRY_OUTAGE_SECONDS,
    Code.PORT_UNAVAILABLE: 30.0,
    Code.CAPACITY: 30.0,
    WebCode.LAST_KNOWN: RETRY_OUTAGE_SECONDS,
    WebCode.OUT_OF_REACH: RETRY_OUTAGE_SECONDS,
}
"""Codes of what may work later, and after how long where the backend does not say.

Not of a challenge that is set up wrongly: only an organiser ends that.
"""

_SUCCESSES = frozenset({Code.OK, Code.ALREADY_RUNNING, WebCode.LAST_KNOWN})
_INSTANCE_KEYS = tuple(InstanceStatus.__annotations__)


@dataclass(frozen=True)
class WebRefusal:
    """Why a request is refused.

    Args:
        message: for a player; carries no secret and no HTML.
        retry_after: seconds after which the same request may succeed.
    """

    code: AnyCode
    message: str
    retry_after: float | None = None
    headers: Mapping[str, str] | None = None


class Refused(EngineError):
    """A request is refused; caught by the blueprint, which answers it."""

    def __init__(
        self, code: AnyCode, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.refusal = WebRefusal(code, message, headers=headers)


@dataclass(frozen=True)
class HttpAnswer:
    """One answer, whole. ``data`` is JSON."""

    code: AnyCode
    message: str
    data: Any = None
    retry_after: int | None = None
    status: int = 200
    headers: Mapping[str, str] | None = None

    def body(self) -> dict[str, Any]:
        """What is sent: exactly :data:`KEYS`."""
        return {
            "success": self.code in _SUCCESSES,
            "message": self.message,
            "data": self.data,
            "code": self.code.value,
            "retry_after": self.retry_after,
        }

    def response(self) -> Response:
        """The answer as Flask sends it; nobody on the way keeps a copy."""
        response = Response(json.dumps(self.body()) + "\n", self.status, self.headers)
        response.mimetype = "application/json"
        response.headers["Cache-Control"] = "no-store"
        if self.retry_after is not None:
            response.headers["Retry-After"] = str(self.retry_after)
        return response


def ok(message: str, data: Any = None) -> HttpAnswer:
    """What was asked for."""
    return HttpAnswer(Code.OK, message, data)


def last_known(data: Any) -> HttpAnswer:
    """An instance as it is on record, while its backend cannot be asked."""
    message = "This is what was last known; its server cannot be reached just now"
    return HttpAnswer(WebCode.LAST_KNOWN, message, data, _wait(WebCode.LAST_KNOWN, None))


def unavailable(code: AnyCode = Code.UNAVAILABLE) -> HttpAnswer:
    """The backend cannot be asked: nobody knows what runs."""
    message = "The challenge servers cannot be reached; please try again shortly"
    return refused(WebRefusal(code, message))


def refused(refusal: WebRefusal) -> HttpAnswer:
    """A refusal as it is answered."""
    wait = _wait(refusal.code, refusal.retry_after)
    status = STATUSES[refusal.code]
    return HttpAnswer(refusal.code, refusal.message, None, wait, status, refusal.headers)


def started(result: StartResult, location: str) -> HttpAnswer:
    """A start's result; ``location`` is where the new instance's status is."""
    if not result.ok:
        return refused(WebRefusal(result.code, result.message, result.retry_after))
    data = instance(result.instance)
    if result.code is not Code.OK:
        return HttpAnswer(result.code, result.message, data, status=STATUSES[result.code])
    return HttpAnswer(Code.OK, result.message, data, status=CREATED, headers={"Location": location})


def done(result: ActionResult, data: Any = None) -> HttpAnswer:
    """The result of an extend or a stop."""
    if not result.ok:
        return refused(WebRefusal(result.code, result.message, result.retry_after))
    return HttpAnswer(result.code, result.message, data, status=STATUSES[result.code])


def instance(status: Mapping[str, Any] | InstanceStatus) -> dict[str, Any]:
    """The contract's keys of a live instance and no other, whatever else a backend adds."""
    told: Mapping[str, Any] = dict(status)
    return {key: told[key] for key in _INSTANCE_KEYS}


def _wait(code: AnyCode, told: float | None) -> int | None:
    """Whole seconds, rounded up: who comes back a moment early is refused again."""
    seconds = RETRY_SECONDS.get(code) if told is None else told
    return None if seconds is None else max(1, math.ceil(seconds))
