"""What is taken, and what is refused before any backend is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, abort
from support.web_site import JSON, NONCE, Reply, Site, site_app, site_of
from werkzeug.exceptions import HTTPException, TooManyRequests

from conformance.harnesses.cre import MemoryWorld
from engines.contract import LARGEST_ID, Code
from engines.web import KEYS, Caller, Operation, WebCode, WebRefusal
from engines.web.inputs import LARGEST_BODY

CHANGES = ("start", "extend", "stop")
NO_IDS: tuple[Any, ...] = (
    *(True, False, None, 0, -1, 1.0, 1.5, 1e3, "1", "", "abc", "1 OR 1=1", [], [1], {}, {"a": 1}),
    LARGEST_ID + 1,
)
PLAIN = {"Content-Type": JSON, "CSRF-Token": NONCE}


def refused(reply: Reply, status: int, code: WebCode | Code) -> None:
    assert (reply.status, reply.body["code"]) == (status, code.value), reply.text
    assert tuple(reply.body) == KEYS
    assert reply.body["success"] is False
    assert reply.body["data"] is None
    assert reply.headers["Content-Type"] == JSON


def nothing_happened(world: MemoryWorld) -> None:
    assert not world.running()
    assert not world.events(), "a backend was asked"


@pytest.mark.parametrize("action", CHANGES)
@pytest.mark.parametrize("name", ["challenge_id", "chal_id", "id"])
def test_what_is_no_id_is_refused_by_name(
    site: Site, cre_world: MemoryWorld, action: str, name: str
) -> None:
    for bad in NO_IDS:
        reply = site.post("alice", action, {name: bad})
        refused(reply, 400, WebCode.BAD_REQUEST)
        assert name in reply.body["message"].split()
        assert "whole number" in reply.body["message"]
    nothing_happened(cre_world)


@pytest.mark.parametrize(
    "query", ["", "0", "-1", "+1", "01", "1.0", "1e0", "true", "abc", "%D9%A1", str(LARGEST_ID + 1)]
)
def test_what_is_no_id_in_a_query(site: Site, query: str) -> None:
    refused(site.get("alice", f"status?challenge_id={query}"), 400, WebCode.BAD_REQUEST)


def test_no_id_at_all(site: Site) -> None:
    for reply in (site.post("alice", "start", {}), site.get("alice", "status")):
        refused(reply, 400, WebCode.BAD_REQUEST)
        assert "challenge_id is missing" in reply.body["message"]


@pytest.mark.parametrize("name", ["challenge_id", "chal_id", "id"])
def test_the_aliases(site: Site, name: str) -> None:
    assert site.post("alice", "start", {name: 1}).status == 201
    assert site.get("alice", f"status?{name}=1").body["data"]["challenge_id"] == 1
    assert site.post("alice", "extend", {name: 1, "challenge_id": 1}).status == 200
    assert site.post("alice", "stop", {name: 1, "id": 1}).status == 200


@pytest.mark.parametrize(
    "body",
    [
        '{"challenge_id": 1, "id": 2}',
        '{"chal_id": 1, "id": 2}',
        '{"challenge_id": 1, "challenge_id": 2}',
        '{"challenge_id": 1, "id": "1"}',
    ],
)
def test_names_that_disagree_are_refused(site: Site, cre_world: MemoryWorld, body: str) -> None:
    refused(site.ask("POST", "start", "alice", body, PLAIN), 400, WebCode.BAD_REQUEST)
    nothing_happened(cre_world)


def test_queries_that_disagree_are_refused(site: Site) -> None:
    for query in ("challenge_id=1&id=2", "challenge_id=1&challenge_id=2"):
        refused(site.get("alice", f"status?{query}"), 400, WebCode.BAD_REQUEST)


def test_other_members_are_not_looked_at(site: Site) -> None:
    body = {"challenge_id": 1, "nonce": "x", "auto_cleanup": True, "__proto__": {}}
    assert site.post("alice", "start", body).status == 201


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b'{"challenge_id": 1',
        b"[1]",
        b"1",
        b"null",
        b'"challenge_id"',
        b"\xff\xfe",
        b"[" * 4000,
        b'{"a": ' * 500 + b"1" + b"}" * 500,
        b'{"challenge_id": ' + b"1" * 4000 + b"}",
        b'{"challenge_id": NaN}',
    ],
    ids=range(12),
)
def test_what_is_no_json_object(site: Site, cre_world: MemoryWorld, body: bytes) -> None:
    refused(site.ask("POST", "start", "alice", body, PLAIN), 400, WebCode.BAD_REQUEST)
    nothing_happened(cre_world)


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "*/*"]
)
def test_json_only(site: Site, cre_world: MemoryWorld, kind: str | None) -> None:
    headers = {"CSRF-Token": NONCE, **({} if kind is None else {"Content-Type": kind})}
    for action in CHANGES:
        reply = site.ask("POST", action, "alice", b'{"challenge_id": 1}', headers)
        refused(reply, 415, WebCode.NOT_JSON)
        assert "Content-Type" in reply.body["message"]
    nothing_happened(cre_world)


def test_json_with_a_character_set(site: Site) -> None:
    headers = {"CSRF-Token": NONCE, "Content-Type": "Application/JSON; charset=utf-8"}
    assert site.ask("POST", "start", "alice", b'{"challenge_id": 1}', headers).status == 201


def test_oversized_bodies(site: Site, cre_world: MemoryWorld) -> None:
    body = json.dumps({"challenge_id": 1, "more": "x" * 10_000}).encode()
    refused(site.ask("POST", "start", "alice", body, PLAIN), 413, WebCode.TOO_LARGE)
    nothing_happened(cre_world)


def test_oversized_bodies_in_chunks(site: Site, cre_world: MemoryWorld) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"challenge_id": 1, "more": "'
        yield b"x" * 10_000
        yield b'"}'

    refused(site.ask("POST", "start", "alice", chunks(), PLAIN), 413, WebCode.TOO_LARGE)
    nothing_happened(cre_world)


@pytest.mark.parametrize(
    "sent", [lambda body: body, lambda body: iter([body])], ids=["one", "chunks"]
)
def test_the_largest_body(site: Site, sent: Callable[[bytes], Any]) -> None:
    body = b'{"challenge_id": 1}'.ljust(LARGEST_BODY)
    refused(site.ask("POST", "start", "alice", sent(body + b" "), PLAIN), 413, WebCode.TOO_LARGE)
    assert site.ask("POST", "start", "alice", sent(body), PLAIN).status == 201


def test_a_small_body_in_chunks(site: Site) -> None:
    reply = site.ask("POST", "start", "alice", iter([b'{"challenge_id"', b": 1}"]), PLAIN)
    assert reply.status == 201


@pytest.mark.parametrize("action", CHANGES)
def test_who_is_not_logged_in_is_told_to(site: Site, cre_world: MemoryWorld, action: str) -> None:
    for name in (None, "stranger", ""):
        reply = site.post(name, action, {"challenge_id": 1})
        refused(reply, 401, WebCode.LOGIN_REQUIRED)
        assert "WWW-Authenticate" in reply.headers
    # Before anything else is said about the request.
    refused(site.ask("POST", action, None, b"x" * 9000), 401, WebCode.LOGIN_REQUIRED)
    refused(site.get(None, "status?challenge_id=abc"), 401, WebCode.LOGIN_REQUIRED)
    nothing_happened(cre_world)


@pytest.mark.parametrize("action", [*CHANGES, "admin/stop", "admin/extend"])
@pytest.mark.parametrize("nonce", [None, "", "wrong", NONCE.upper()])
def test_a_cookie_needs_the_csrf_token(
    site: Site, cre_world: MemoryWorld, action: str, nonce: str | None
) -> None:
    headers = {"Content-Type": JSON, **({} if nonce is None else {"CSRF-Token": nonce})}
    body = json.dumps({"challenge_id": 1, "user_id": 11, "CSRF-Token": NONCE, "nonce": NONCE})
    reply = site.ask("POST", f"{action}?nonce={NONCE}", "admin", body, headers)
    refused(reply, 403, WebCode.CSRF_FAILED)
    nothing_happened(cre_world)


def test_an_access_token_needs_none(site: Site) -> None:
    headers = {"Content-Type": JSON, "Authorization": "Token alice"}
    assert site.ask("POST", "start", None, b'{"challenge_id": 1}', headers).status == 201


@pytest.mark.parametrize("action", CHANGES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
def test_changes_are_posts(site: Site, cre_world: MemoryWorld, action: str, method: str) -> None:
    reply = site.ask(method, action, "alice", None, {"CSRF-Token": NONCE})
    assert reply.status == 405
    assert reply.headers["Allow"] == "POST"
    if method != "HEAD":
        refused(reply, 405, WebCode.METHOD_NOT_ALLOWED)
    nothing_happened(cre_world)


def test_a_status_is_a_get(site: Site) -> None:
    reply = site.post("alice", "status?challenge_id=1", {})
    refused(reply, 405, WebCode.METHOD_NOT_ALLOWED)
    assert "GET" in reply.headers["Allow"]


@pytest.mark.parametrize("path", ["nothing", "start/", "start/1", "admin", "admin/", "", "a//b"])
def test_what_is_no_endpoint_is_answered_alike(site: Site, path: str) -> None:
    for reply in (site.get("alice", path), site.post("alice", path, {})):
        refused(reply, 404, WebCode.NO_SUCH_ENDPOINT)


def test_beside_the_endpoints_the_site_answers_for_itself(site: Site) -> None:
    for path in ("/nothing", "/api/v1/container", "/api/v1/containers/start"):
        reply = site.get("alice", path)
        assert reply.status == 404
        assert "the site's own page" in reply.text


def test_no_other_method_is_answered_for_us(site: Site) -> None:
    for method in ("OPTIONS", "PUT"):
        reply = site.ask(method, "start", "alice", b"", PLAIN)
        refused(reply, 405, WebCode.METHOD_NOT_ALLOWED)
        assert reply.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("status", "answered", "code"),
    [
        (400, 400, WebCode.BAD_REQUEST),
        (401, 401, WebCode.LOGIN_REQUIRED),
        (403, 403, WebCode.FORBIDDEN),
        (404, 404, WebCode.NO_SUCH_ENDPOINT),
        (405, 405, WebCode.METHOD_NOT_ALLOWED),
        (413, 413, WebCode.TOO_LARGE),
        (415, 415, WebCode.NOT_JSON),
        (418, 400, WebCode.BAD_REQUEST),
        (429, 429, Code.RATE_LIMITED),
        (500, 500, Code.INTERNAL),
        (502, 500, Code.INTERNAL),
        (503, 503, Code.UNAVAILABLE),
    ],
)
def test_what_the_site_refuses_has_the_same_keys(
    cre_world: MemoryWorld, status: int, answered: int, code: WebCode | Code
) -> None:
    app = site_app(lambda: cre_world.backend)
    app.before_request(lambda: abort(status))
    with site_of(app) as site:
        refused(site.post("alice", "start", {"challenge_id": 1}), answered, code)
    nothing_happened(cre_world)


def test_so_has_what_it_refuses_in_its_own_way(cre_world: MemoryWorld) -> None:
    class PageExpired(HTTPException):
        code = 419

    def refuse() -> None:
        raise PageExpired

    app = site_app(lambda: cre_world.backend)
    app.before_request(refuse)
    with site_of(app) as site:
        refused(site.post("alice", "start", {"challenge_id": 1}), 400, WebCode.BAD_REQUEST)


def test_when_the_site_says_to_come_back_is_passed_on(cre_world: MemoryWorld) -> None:
    def limit() -> None:
        raise TooManyRequests(retry_after=7)

    app = site_app(lambda: cre_world.backend)
    app.before_request(limit)
    with site_of(app) as site:
        reply = site.post("alice", "start", {"challenge_id": 1})
    refused(reply, 429, Code.RATE_LIMITED)
    assert (reply.headers["Retry-After"], reply.body["retry_after"]) == ("7", 7)


def test_a_smaller_limit_of_the_site_counts(cre_world: MemoryWorld) -> None:
    app: Flask = site_app(lambda: cre_world.backend)
    app.config["MAX_CONTENT_LENGTH"] = 10
    with site_of(app) as site:
        refused(site.post("alice", "start", {"challenge_id": 1}), 413, WebCode.TOO_LARGE)


class Closed:
    """A contest that is over: what runs may be looked at and stopped, and no more."""

    def refusal(self, caller: Caller, challenge_id: int, wish: Operation) -> WebRefusal | None:
        if wish in (Operation.STOP, Operation.STATUS):
            return None
        return WebRefusal(WebCode.CONTEST_CLOSED, "The contest is over")


def test_the_gate_decides_before_the_backend(cre_world: MemoryWorld) -> None:
    with site_of(site_app(lambda: cre_world.backend, gate=Closed())) as site:
        for action in ("start", "extend"):
            reply = site.post("alice", action, {"challenge_id": 1})
            refused(reply, 403, WebCode.CONTEST_CLOSED)
            assert reply.body["message"] == "The contest is over"
        nothing_happened(cre_world)
        assert site.get("alice", "status?challenge_id=1").status == 200
        assert site.post("alice", "stop", {"challenge_id": 1}).status == 404
