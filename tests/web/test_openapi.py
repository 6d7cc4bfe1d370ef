"""The OpenAPI document says what the endpoints do: Schemathesis finds no undeclared answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.web_site import NONCE, Site, site_app

from conformance.harnesses.cre import MemoryWorld
from engines.contract import Code
from engines.web import PREFIX, STATUSES, DatabaseOverview, WebCode, document

CHECKS: list[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
RECORDED = Path(__file__).parent / "data" / "openapi.json"
"""Without its version; ``PYTHONPATH=tests python tests/web/test_openapi.py`` writes it anew."""
CALLERS = {
    "anonymous": {},
    "player": {"Cookie": "session=alice", "CSRF-Token": NONCE},
    "admin": {"Cookie": "session=admin", "CSRF-Token": NONCE},
}


def written(*, admin: bool) -> dict[str, Any]:
    found: dict[str, Any] = document(admin=admin)
    found["info"].pop("version")
    return found


def test_the_document_changes_on_purpose_only() -> None:
    """Clients are made from it."""
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert json.loads(json.dumps(written(admin=True))) == recorded
    everybodys = {path: each for path, each in recorded["paths"].items() if "/admin/" not in path}
    assert json.loads(json.dumps(written(admin=False))) == {**recorded, "paths": everybodys}


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("caller", CALLERS)
def test_only_declared_answers(site: Site, caller: str, mode: GenerationMode) -> None:
    """As the document says, and as it says not."""
    schema = schemathesis.openapi.from_url(f"{site.url}{PREFIX}/openapi.json")
    tried = 0
    for operation in schema.get_all_operations():
        api = operation.ok()
        if mode is GenerationMode.NEGATIVE and not (api.body or api.query):
            continue  # nothing that could be wrong
        tried += 1

        @settings(
            max_examples=12,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=api.as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case) -> None:
            case.call_and_validate(headers=CALLERS[caller], checks=CHECKS)

        check()
    # All but the document itself, which Schemathesis does not ask for again.
    assert tried == (10 if mode is GenerationMode.POSITIVE else 9)


def test_the_life_of_an_instance_is_as_declared(site: Site) -> None:
    """What random ids do not meet: a live instance, its limit, another player's."""
    schema = schemathesis.openapi.from_url(f"{site.url}{PREFIX}/openapi.json")
    met: set[int] = set()

    def call(caller: str, method: str, path: str, body: object = None, **query: int) -> None:
        given = {} if body is None else {"body": body, "media_type": "application/json"}
        case = schema[PREFIX + path][method].Case(query=query, **given)
        response = case.call_and_validate(headers=CALLERS[caller], checks=CHECKS)
        met.add(response.status_code)

    one = {"challenge_id": 1}
    order = {**one, "user_id": 11}
    call("player", "POST", "/start", one)
    call("player", "POST", "/start", one)
    call("player", "POST", "/start", {"challenge_id": 2})
    call("player", "GET", "/status", challenge_id=1)
    for _ in range(3):
        call("player", "POST", "/extend", one)
        call("admin", "POST", "/admin/extend", order)
    call("admin", "GET", "/admin/instances")
    call("admin", "GET", "/admin/history", limit=2)
    call("player", "POST", "/stop", one)
    call("admin", "POST", "/admin/stop", order)
    assert met == {200, 201, 404, 409}


def test_the_document_is_served_as_json(site: Site) -> None:
    served = site.get(None, "openapi.json")
    assert served.headers["Content-Type"] == "application/json"
    assert served.body == document()


def test_the_document_names_every_endpoint(cre_world: MemoryWorld) -> None:
    overview = DatabaseOverview(cre_world._database)
    app: Flask = site_app(lambda: cre_world.backend, overview=overview)
    served = {
        (rule.rule, method.lower())
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(PREFIX)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {
        (path, method) for path, operations in document()["paths"].items() for method in operations
    }
    assert described == served


def test_every_code_is_declared_under_its_status() -> None:
    declared: dict[str, set[str]] = {}
    for operations in document()["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                schema = answer["content"]["application/json"]["schema"]
                for code in schema.get("properties", {}).get("code", {}).get("enum", ()):
                    declared.setdefault(code, set()).add(status)
    expected = {code.value: {str(status)} for code, status in STATUSES.items()}
    expected[Code.OK.value] = {"200", "201"}
    # Of no operation: there is none, or it has another method.
    for code in (WebCode.NO_SUCH_ENDPOINT, WebCode.METHOD_NOT_ALLOWED):
        del expected[code.value]
    assert declared == expected


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(written(admin=True), indent=1) + "\n", encoding="utf-8")
