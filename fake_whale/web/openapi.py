"""The OpenAPI document of what the fake serves: Whale in the chosen dialect, and ``/_fake/``."""

from __future__ import annotations

from typing import Any

from .dialect import FakeDialect

PATHS = {
    FakeDialect.CTFD_WHALE: "/api/v1/plugins/ctfd-whale/container",
    FakeDialect.DOCUMENTED: "/ctfd-whale-user/container",
    FakeDialect.LEGACY: "/plugins/ctfd-whale/container",
}
ADMIN_PATH = "/api/v1/plugins/ctfd-whale/admin/container"
_INTERNAL = "Internal Server Error: a setting or a parameter Whale cannot read, or a faulty part"


def document(dialect: FakeDialect) -> dict[str, Any]:
    """OpenAPI 3.0, as plain data."""
    return {
        "openapi": "3.0.3",
        "info": {"title": f"fake Whale ({dialect.value})", "version": "1"},
        "paths": {
            PATHS[dialect]: _container(),
            **({ADMIN_PATH: _admin()} if dialect is FakeDialect.CTFD_WHALE else {}),
            "/api/v1/users/me": {"get": _operation(["200", "302", "401", "403"])},
            "/healthcheck": {"get": _operation(["200", "500"])},
            **_control(),
        },
        "components": {
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "Authorization"},
            }
        },
    }


def _container() -> dict[str, Any]:
    codes = ["200", "302", "400", "401", "403", "404", "500"]
    query = {"name": "challenge_id", "in": "query", "schema": {"type": "string"}}
    return {
        method: {**_operation(codes), "parameters": [query], "security": [{"token": []}]}
        for method in ("get", "post", "patch", "delete")
    }


def _admin() -> dict[str, Any]:
    codes = ["200", "302", "401", "403", "404", "500"]
    user = {"name": "user_id", "in": "query", "schema": {"type": "string"}}
    numbers = [
        {"name": name, "in": "query", "schema": {"type": "integer"}}
        for name in ("page", "per_page")
    ]
    security: dict[str, Any] = {"security": [{"token": []}]}
    return {
        "get": {**_operation(codes), "parameters": numbers, **security},
        "patch": {**_operation(codes), "parameters": [user], **security},
        "delete": {**_operation(codes), "parameters": [user], **security},
    }


def _control() -> dict[str, Any]:
    refused = ["400", "401", "403", "415"]
    seconds = {"type": "object", "required": ["seconds"], "properties": {"seconds": _number()}}
    faults = {
        "type": "object",
        "required": ["faults"],
        "properties": {"faults": {"type": "array", "items": {"type": "object"}}},
    }
    settings = {"type": "object", "additionalProperties": {"type": "string"}}
    return {
        "/_fake/health": {"get": _operation(["200", *refused])},
        "/_fake/reset": {"post": _operation(["200", *refused])},
        "/_fake/state": {"get": _operation(["200", *refused])},
        "/_fake/config": {
            "get": _operation(["200", *refused]),
            "patch": {**_operation(["200", *refused]), **_body(settings)},
        },
        "/_fake/clock/advance": {
            "post": {**_operation(["200", "409", *refused]), **_body(seconds)},
        },
        "/_fake/journal": {"get": _operation(["200", *refused])},
        "/_fake/faults": {
            "get": _operation(["200", *refused]),
            "post": {**_operation(["201", *refused]), **_body({"type": "object"})},
            "put": {**_operation(["200", *refused]), **_body(faults)},
            "delete": _operation(["200", *refused]),
        },
        "/_fake/openapi.json": {"get": _operation(["200", *refused])},
    }


def _operation(codes: list[str]) -> dict[str, Any]:

    return {
        "responses": {
            code: {"description": _INTERNAL if code == "500" else "as Whale's wire protocol has it"}
            for code in codes
        }
    }


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _number() -> dict[str, Any]:
    return {"type": "number", "minimum": 0, "maximum": 86_400}
