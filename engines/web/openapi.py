"""The OpenAPI document of the endpoints; served at ``openapi.json`` below them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from engines import __version__
from engines.contract import LARGEST_ID, Code
from engines.web.answers import CREATED, KEYS, RETRY_SECONDS, STATUSES, AnyCode, WebCode
from engines.web.calls import PREFIX
from engines.web.inputs import CHALLENGE_NAMES
from engines.web.overview import LARGEST_PAGE

Json = dict[str, Any]

_WEB_ALWAYS = (WebCode.LOGIN_REQUIRED, WebCode.FORBIDDEN, Code.UNAVAILABLE, Code.INTERNAL)
_WEB_BODY = (WebCode.BAD_REQUEST, WebCode.CSRF_FAILED, WebCode.TOO_LARGE, WebCode.NOT_JSON)
_ANY_CALL = (
    *(Code.OK, Code.CHALLENGE_UNAVAILABLE, Code.BUSY, Code.RATE_LIMITED, Code.UNAUTHENTICATED),
    *(WebCode.CONTEST_CLOSED, WebCode.OUT_OF_REACH),
)
_START = (frozenset(Code) - {Code.NOT_FOUND, Code.EXTENSION_LIMIT}) | {WebCode.OUT_OF_REACH}
_EXTEND = (*_ANY_CALL, Code.NOT_FOUND, Code.EXTENSION_LIMIT)
_STOP = (*_ANY_CALL, Code.NOT_FOUND)

_ID: Json = {"type": "integer", "minimum": 1, "maximum": LARGEST_ID}
_TEAM: Json = {"type": ["integer", "null"], "minimum": 1, "maximum": LARGEST_ID}
_TEXT: Json = {"type": "string"}
_TIME: Json = {"type": "string", "format": "date-time"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_PORTS: Json = {"type": "array", "items": _TEXT}
_NOTHING: Json = {"type": "null"}


def document(*, admin: bool = True) -> Json:
    """OpenAPI 3.1, as plain data. ``admin``: with the endpoints of admins."""
    paths = {
        "/start": {"post": _change("Start an instance", "start", _START, _CHALLENGE)},
        "/extend": {"post": _change("Give it more time", "extend", _EXTEND, _CHALLENGE)},
        "/stop": {"post": _change("Stop it", "stop", _STOP, _CHALLENGE)},
        "/status": {"get": _status()},
        "/openapi.json": {"get": _itself()},
    }
    if admin:
        paths |= {
            "/admin/instances": {"get": _list("Every live instance", "instances", [])},
            "/admin/history": {"get": _list("The audit log", "history", _history_parameters())},
            "/admin/stop": {"post": _change("Stop a player's", "admin_stop", _STOP, _ORDER)},
            "/admin/extend": {
                "post": _change("Extend a player's", "admin_extend", _EXTEND, _ORDER)
            },
            "/admin/stop-all": {
                "post": _change("End many, for some seconds", "admin_stop_all", (Code.OK,), _MANY)
            },
            "/admin/solved": {
                "post": _change(
                    "Tell that a player has solved a challenge", "admin_solved", _STOP, _ORDER
                )
            },
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "whale-ready: challenge containers", "version": __version__},
        "paths": {PREFIX + path: operations for path, operations in paths.items()},
        "components": {
            "schemas": {
                "Instance": _INSTANCE,
                "LiveInstance": _LIVE_INSTANCE,
                "Event": _EVENT,
            },
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "session"},
                "csrf": {"type": "apiKey", "in": "header", "name": "CSRF-Token"},
            },
        },
    }


def as_json(*, admin: bool = True) -> str:
    """The document as it is served."""
    return json.dumps(document(admin=admin), indent=1) + "\n"


def _object(properties: Json) -> Json:
    """An object with exactly these members."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


_INSTANCE = _object(
    {
        "active": {"const": True},
        "container_id": _TEXT,
        "challenge_id": _ID,
        "host": _TEXT,
        "ports": _PORTS,
        "started_at": _TIME,
        "expires_at": _TIME,
        "remaining_seconds": _COUNT,
        "extension_count": _COUNT,
        "max_extensions": _COUNT,
        "backend": _TEXT,
    }
)
_LIVE_INSTANCE = _object(
    {
        "backend": _TEXT,
        "user_id": _ID,
        "team_id": _TEAM,
        "challenge_id": _ID,
        "state": _TEXT,
        "container_id": _TEXT,
        "host": _TEXT,
        "ports": _PORTS,
        "started_at": _TIME,
        "expires_at": _TIME,
        "remaining_seconds": _COUNT,
        "extension_count": _COUNT,
    }
)
_EVENT = _object(
    {
        "id": _ID,
        "at": _TIME,
        "backend": _TEXT,
        "user_id": _ID,
        "team_id": _TEAM,
        "challenge_id": _ID,
        "action": _TEXT,
        "code": _TEXT,
        "duration_ms": _COUNT,
        "times": {"type": "integer", "minimum": 1, "description": "Equal refusals it tells of"},
        "last_at": {**_TIME, "type": ["string", "null"], "description": "Of the last of them"},
        "metadata": {
            "type": "object",
            "description": "What differs by action. actor: the admin who did it for the player",
            "properties": {
                "actor": _ID,
                "actor_name": _TEXT,
                "reason": {**_TEXT, "description": "Why, for organisers"},
                "output": {**_PORTS, "description": "What the instance's programs printed last"},
                "left": {**_PORTS, "description": "What could not be removed, and who keeps it"},
            },
        },
    }
)
_CHALLENGE: Json = {
    "type": "object",
    "properties": dict.fromkeys(CHALLENGE_NAMES, _ID),
    "anyOf": [{"required": [name]} for name in CHALLENGE_NAMES],
}
_ORDER: Json = {
    **_CHALLENGE,
    "required": ["user_id"],
    "properties": {**_CHALLENGE["properties"], "user_id": _ID, "team_id": _TEAM},
}


_NAMED: Json = {
    "anyOf": [{"required": [name]} for name in (*CHALLENGE_NAMES, "user_id", "team_id")]
}
_MANY: Json = {
    "type": "object",
    "description": "All that fits each of the ids; or, with all and no id, all there are",
    "properties": {
        **_CHALLENGE["properties"],
        "user_id": _ID,
        "team_id": _ID,
        "all": {"const": True},
    },
    "oneOf": [{"required": ["all"]}, _NAMED],
}


def _instance_or_null() -> Json:
    return {"oneOf": [{"$ref": "#/components/schemas/Instance"}, _NOTHING]}


def _data(operation: str) -> Json:
    """``data`` of what went well."""
    if operation in ("stop", "admin_stop"):
        return _NOTHING
    if operation == "admin_solved":
        return _object({"ended": {"type": "boolean"}})
    if operation == "admin_stop_all":
        failed = {"user_id": _ID, "challenge_id": _ID, "team_id": _TEAM, "code": _TEXT}
        many = {"type": "array", "items": _object(failed)}
        return _object({"ended": _COUNT, "failed": many, "left": _COUNT})
    if operation == "instances":
        return _object({"instances": _many("LiveInstance")})
    if operation == "history":
        next_before = {**_ID, "type": ["integer", "null"]}
        return _object({"events": _many("Event"), "next_before": next_before})
    return _instance_or_null()


def _many(schema: str) -> Json:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{schema}"}}


def _answers(operation: str, codes: Iterable[AnyCode]) -> Json:
    """The answers of one operation, by status: the codes that have it, and what they carry."""
    by_status: dict[int, list[AnyCode]] = {}
    for code in sorted(set(codes), key=lambda each: each.value):
        status = STATUSES[code]
        if code is Code.OK and operation == "start":
            status = CREATED
        by_status.setdefault(status, []).append(code)
    return {
        str(status): _answer(status, by_status[status], operation) for status in sorted(by_status)
    }


def _answer(status: int, codes: list[AnyCode], operation: str) -> Json:
    good = status < 300
    properties: Json = {
        "success": {"const": good},
        "message": _TEXT,
        "data": _data(operation) if good else _NOTHING,
        "code": {"enum": [code.value for code in codes]},
        "retry_after": {"type": ["integer", "null"], "minimum": 1},
    }
    schema = _object({key: properties[key] for key in KEYS})
    headers: Json = {}
    if any(code in RETRY_SECONDS for code in codes):
        headers["Retry-After"] = {
            "description": "Whole seconds; the same as retry_after",
            "schema": {"type": "integer", "minimum": 1},
            "required": all(code in RETRY_SECONDS for code in codes),
        }
    if status == CREATED:
        headers["Location"] = {"schema": _TEXT, "required": True}
    return {
        "description": ", ".join(code.value for code in codes),
        "headers": headers,
        "content": {"application/json": {"schema": schema}},
    }


def _change(summary: str, operation: str, codes: Iterable[AnyCode], body: Json) -> Json:
    return {
        "summary": summary,
        "operationId": operation,
        "security": [{"session": [], "csrf": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": _answers(operation, (*codes, *_WEB_ALWAYS, *_WEB_BODY)),
    }


def _status() -> Json:
    codes = (
        *(Code.OK, WebCode.LAST_KNOWN, WebCode.OUT_OF_REACH, Code.CHALLENGE_UNAVAILABLE),
        *(WebCode.CONTEST_CLOSED, WebCode.BAD_REQUEST),
    )
    return {
        "summary": "The live instance, or null",
        "operationId": "status",
        "security": [{"session": []}],
        "parameters": [_parameter(name, _ID) for name in CHALLENGE_NAMES],
        "responses": _answers("status", (*codes, *_WEB_ALWAYS)),
    }


def _list(summary: str, operation: str, parameters: list[Json]) -> Json:
    codes = (Code.OK, *_WEB_ALWAYS, *((WebCode.BAD_REQUEST,) if parameters else ()))
    return {
        "summary": summary,
        "operationId": operation,
        "security": [{"session": []}],
        "parameters": parameters,
        "responses": _answers(operation, codes),
    }


def _history_parameters() -> list[Json]:
    limit = _parameter("limit", {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE})
    return [limit, *(_parameter(name, _ID) for name in _HISTORY_IDS)]


_HISTORY_IDS = ("before", "user_id", "team_id", "challenge_id")


def _parameter(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "schema": schema}


def _itself() -> Json:
    return {
        "summary": "This document",
        "operationId": "openapi",
        "responses": {
            "200": {
                "description": "OpenAPI 3.1",
                "content": {"application/json": {"schema": {"type": "object"}}},
            }
        },
    }
