"""Whale's answers, read: every text here stands in docs/whale-wire.md."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engines.contract import Code
from engines.errors import SettingsError, WhaleFault
from engines.whale.access import Access, parse_access
from engines.whale.api import _no_such_route
from engines.whale.client import MAX_DEPTH, WhaleAnswer, parsed
from engines.whale.dialects import (
    DIALECTS,
    CtfdWhale,
    Dialect,
    Documented,
    Legacy,
    dialect_named,
)
from engines.whale.wire import Another, Look, Nothing, RunningContainer

UUID = "0f5c1a2e-6a0b-4b3c-8d4e-5f6071829304"
LINK = f'<a target="_blank" href="http://{UUID}.127.0.0.1.nip.io:8080/">Link to the Challenge</a>'


def answer(
    body: Any, status: int = 200, *, method: str = "GET", kind: str = "application/json"
) -> WhaleAnswer:
    return WhaleAnswer(method, "/container?challenge_id=1", status, kind, body, 12)


def refused(message: str, status: int = 403, **more: Any) -> WhaleAnswer:
    return answer({"success": False, "message": message}, status, **more)


@pytest.mark.parametrize(
    ("text", "access"),
    [
        (LINK, Access("http", f"{UUID}.127.0.0.1.nip.io", 8080)),
        ("nc 127.0.0.1 10093", Access("tcp", "127.0.0.1", 10093)),
        (
            f'from pwn import *<br>remote("{UUID}.127.0.0.1.nip.io", 1443, ssl=True).interactive()',
            Access("tls", f"{UUID}.127.0.0.1.nip.io", 1443),
        ),
        ('remote("pwn.example.org", 1337)', Access("tcp", "pwn.example.org", 1337)),
        (
            f'<a href="http://{UUID}.ctf.example.org/">x</a>',
            Access("http", f"{UUID}.ctf.example.org", 80),
        ),
        (f'<a href="http://{UUID}.:8080/">x</a>', Access("http", f"{UUID}.", 8080)),
        ("<a href='https://A.example.org'>x</a>", Access("https", "a.example.org", 443)),
        ('<b><a title="&lt;" href="http://a.b:1/">', Access("http", "a.b", 1)),
        # Forks: web1n, and sites' own templates (docs/whale-wire.md, "Forks").
        (f"http://{UUID}.ctf.example.org:8080", Access("http", f"{UUID}.ctf.example.org", 8080)),
        (f" https://{UUID}.ctf.example.org/ ", Access("https", f"{UUID}.ctf.example.org", 443)),
        ("127.0.0.1:10093", Access("tcp", "127.0.0.1", 10093)),
        ("[ssl] pwn.example.org 443", Access("tls", "pwn.example.org", 443)),
        ("[SSL] pwn.example.org:443", Access("tls", "pwn.example.org", 443)),
        ("pwn.example.org 10093", Access("tcp", "pwn.example.org", 10093)),
        ("tcp://pwn.example.org:10093", Access("tcp", "pwn.example.org", 10093)),
        ("<code>nc pwn.example.org 10093</code>", Access("tcp", "pwn.example.org", 10093)),
        ("<pre>$ nc -nv 127.0.0.1 10093</pre>\n", Access("tcp", "127.0.0.1", 10093)),
        ("ncat --ssl pwn.example.org 443", Access("tls", "pwn.example.org", 443)),
        (
            "openssl s_client -quiet -connect pwn.example.org:443",
            Access("tls", "pwn.example.org", 443),
        ),
        ("ssh -p 10022 ctf@pwn.example.org", Access("tcp", "pwn.example.org", 10022)),
        ("ssh ctf@pwn.example.org -p 10022", Access("tcp", "pwn.example.org", 10022)),
        ("Open http://a.b:1/", Access("http", "a.b", 1)),
        ("<b>http://a.b:1/</b>", Access("http", "a.b", 1)),
        ("telnet [::1] 10093", Access("tcp", "[::1]", 10093)),
        ('<a href="http://a.b:1/">x</a><![x[', Access("http", "a.b", 1)),
    ],
)
def test_an_address_is_read(text: str, access: Access) -> None:
    assert parse_access(text) == access


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        "",
        "nc 127.0.0.1 0",
        "nc 127.0.0.1 65536",
        "nc -e/bin/sh 80",
        "nc 127.0.0.1 80; rm -rf /",
        '<a href="javascript:alert(1)">x</a>',
        '<a href="file:///etc/passwd">x</a>',
        '<a href="http://user:pass@a.b/">x</a>',
        '<a href="http://a.b:99999/">x</a>',
        '<a href="http://a b/">x</a>',
        '<a href="http:///x">x</a>',
        '<a href="http://[::1/">x</a>',
        "<a>x</a>",
        '<a href="http://a.b/">' + "x" * 5000,
    ],
)
def test_what_is_no_address_is_none(text: Any) -> None:
    assert parse_access(text) is None


def test_a_running_container() -> None:
    data = {"lan_domain": f"2-{UUID}", "user_access": LINK, "remaining_time": 3600}
    assert CtfdWhale().look(answer({"success": True, "data": data})) == RunningContainer(
        UUID, Access("http", f"{UUID}.127.0.0.1.nip.io", 8080), 3600
    )


@pytest.mark.parametrize(
    ("shown", "identity"),
    [
        (LINK, UUID),
        (f"http://{UUID}.ctf.example.org", UUID),
        ("nc 10.0.0.9 10093", "10.0.0.9:10093"),
        ('<a href="http://web-7.ctf.example.org/">x</a>', "web-7.ctf.example.org:80"),
    ],
)
def test_a_container_without_lan_domain_is_known_by_its_address(shown: str, identity: str) -> None:
    """Om-Arora: docs/whale-wire.md, "Forks"."""
    found = CtfdWhale().look(
        answer({"success": True, "data": {"user_access": shown, "remaining_time": 60}})
    )
    assert isinstance(found, RunningContainer)
    assert found.uuid == identity


def test_remaining_time_may_be_negative() -> None:
    data = {"lan_domain": f"2-{UUID}", "user_access": "nc a 1", "remaining_time": -9}
    found = CtfdWhale().look(answer({"success": True, "data": data}))
    assert isinstance(found, RunningContainer)
    assert found.remaining_seconds == -9


def test_no_container() -> None:
    assert CtfdWhale().look(answer({"success": True, "data": {}})) == Nothing()


@pytest.mark.parametrize(
    ("category", "name", "expected"),
    [("web", "Chal http", 1), ("web-1", "a-9", 7), ("x", '">-3">evil</a>)', 12), ("é", "<b>", 2)],
)
def test_another_challenges_container_is_known_by_the_id_at_the_links_end(
    category: str, name: str, expected: int
) -> None:
    link = f'<a target="_blank" href="/challenges#{category}-{name}-{expected}">{name}</a>'
    text = f"Container already started but not from this challenge ({link})"
    assert CtfdWhale().look(refused(text)) == Another(expected)


def test_another_challenges_container_without_a_readable_link() -> None:
    text = "Container already started but not from this challenge (<a>x</a>)"
    assert CtfdWhale().look(refused(text)) == Another(None)


@pytest.mark.parametrize("around", ["（Chal http）", " (Chal http)"], ids=["full-width", "ascii"])
def test_another_challenges_container_without_a_link_in_older_generations(around: str) -> None:
    """JBNRZ, TaiwanSecurityClub, 0RAYS, huangzheng2016: docs/whale-wire.md, "Forks"."""
    text = f"Container started but not from this challenge{around}"
    assert CtfdWhale().look(refused(text)) == Another(None)
    with pytest.raises(WhaleFault) as caught:
        CtfdWhale().written(refused(text, method="PATCH"))
    assert (caught.value.code, caught.value.definite) == (Code.NOT_FOUND, True)


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Frequency limit, You should wait at least 45 seconds.", 45.0),
        ("Frequency limit, You should wait at least 2 min.", 120.0),
        ("Request too fast, please wait 30s", 30.0),
        ("Too many requests", 10.0),
        ("Please wait 5 minutes before the next start", 300.0),
        ("Slow down! 99999 minutes", 3600.0),
        ("操作过于频繁，请等待 20 秒", 20.0),
        ("You have been rate-limited, Please wait for 30 seconds.", 30.0),
        ("Try again in 15 seconds", 15.0),
        ("Throttled: retry after 25", 25.0),
        ("Please wait 500 ms", 1.0),
        ("Cooldown: 1 hour", 3600.0),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_a_rate_limit_in_any_words_is_one(method: str, message: str, seconds: float) -> None:
    read = CtfdWhale().look if method == "GET" else CtfdWhale().written
    for status in (200, 403, 429):
        with pytest.raises(WhaleFault) as caught:
            read(refused(message, status, method=method))
        fault = caught.value
        assert (fault.code, fault.retry_after, fault.definite) == (
            Code.RATE_LIMITED,
            seconds,
            True,
        )


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("POST", Code.START_FAILED),
        ("PATCH", Code.UNAVAILABLE),
        ("DELETE", Code.UNAVAILABLE),
    ],
)
def test_a_refusal_in_unknown_words_is_done_and_needs_one_look(method: str, code: Code) -> None:
    """``Docker Creation Error`` before April 2026, and whatever a fork says."""
    with pytest.raises(WhaleFault) as caught:
        CtfdWhale().written(refused("Docker Creation Error", method=method))
    fault = caught.value
    assert (fault.code, fault.definite, fault.pending) == (code, False, False)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("You can only have up to 1 containers running simultaneously.", Code.LIMIT_REACHED),
        ("At most 2 per team", Code.LIMIT_REACHED),
        ("Max instance count reached", Code.CAPACITY),
        ("Too many containers", Code.CAPACITY),
        ("The server is full", Code.CAPACITY),
        ("Container already exists", Code.START_FAILED),
    ],
)
def test_a_limit_in_other_words_is_one(message: str, code: Code) -> None:
    with pytest.raises(WhaleFault) as caught:
        CtfdWhale().written(refused(message, method="POST"))
    fault = caught.value
    assert (fault.code, fault.definite, fault.pending) == (code, False, False)


@pytest.mark.parametrize("status", [200, 400, 403, 404, 409, 422])
@pytest.mark.parametrize("said", [{}, {"message": None}, {"message": ["odd"]}, {"message": "?"}])
def test_a_refusal_without_words_is_done_too(status: int, said: dict[str, Any]) -> None:
    with pytest.raises(WhaleFault) as caught:
        CtfdWhale().written(answer({"success": False, **said}, status, method="POST"))
    fault = caught.value
    assert (fault.code, fault.definite, fault.pending) == (Code.START_FAILED, False, False)


@pytest.mark.parametrize("status", [400, 404, 405, 413])
def test_after_a_4xx_of_something_in_front_nobody_is_at_work(status: int) -> None:
    with pytest.raises(WhaleFault) as caught:
        CtfdWhale().written(answer(None, status, method="POST", kind="text/html"))
    assert (caught.value.definite, caught.value.pending) == (False, False)


def test_a_429_is_a_rate_limit_whatever_it_says() -> None:
    for body, kind in ((None, "text/html"), ({"success": False}, "application/json")):
        with pytest.raises(WhaleFault) as caught:
            CtfdWhale().written(answer(body, 429, method="POST", kind=kind))
        assert (caught.value.code, caught.value.definite) == (Code.RATE_LIMITED, True)


F403 = {
    "message": "You don't have the permission to access the requested resource. It is either "
    "read-protected or not readable by the server."
}


@pytest.mark.parametrize(
    ("given", "code", "retry_after"),
    [
        (refused("challenge not visible"), Code.CHALLENGE_UNAVAILABLE, None),
        (refused("no such challenge", 404), Code.CHALLENGE_UNAVAILABLE, None),
        (refused("No such container"), Code.NOT_FOUND, None),
        (refused("Instance not found."), Code.NOT_FOUND, None),
        (refused("Invalid container", 200), Code.NOT_FOUND, None),
        (refused("Max renewal count exceed."), Code.EXTENSION_LIMIT, None),
        (refused("Max container count exceed."), Code.CAPACITY, 10.0),
        (refused("Container creation failed"), Code.START_FAILED, None),
        (
            refused("Failed when destroying instance, please contact admin!"),
            Code.UNAVAILABLE,
            10.0,
        ),
        (refused("Request Too Fast!"), Code.RATE_LIMITED, 10.0),
        (
            refused("Frequency limit, You should wait at least 1 min."),
            Code.RATE_LIMITED,
            60.0,
        ),
        (answer(F403, 403), Code.UNAUTHENTICATED, None),
        (answer({"message": "Your access token is invalid"}, 401), Code.UNAUTHENTICATED, None),
        (answer(None, 302, kind="text/html"), Code.UNAUTHENTICATED, None),
        (answer(None, 403, kind="text/html"), Code.UNAUTHENTICATED, None),
        (answer(None, 403, kind="text/plain"), Code.UNAVAILABLE, 10.0),
        (answer({"message": "Internal Server Error"}, 500), Code.UNAVAILABLE, 10.0),
        (answer(None, 500, kind="text/html"), Code.UNAVAILABLE, 10.0),
        (answer(None, 502, kind="text/html"), Code.UNAVAILABLE, 10.0),
        (answer(None), Code.UNAVAILABLE, 10.0),
        (answer([]), Code.UNAVAILABLE, 10.0),
        (answer({"success": "true"}), Code.UNAVAILABLE, 10.0),
        (answer({"success": True}, kind="text/html"), Code.UNAVAILABLE, 10.0),
    ],
)
def test_a_refusal_is_told_by_its_code(
    given: WhaleAnswer, code: Code, retry_after: float | None
) -> None:
    for read in (CtfdWhale().look, CtfdWhale().written):
        with pytest.raises(WhaleFault) as caught:
            read(given)
        assert (caught.value.code, caught.value.retry_after) == (code, retry_after)
        assert "<" not in caught.value.message


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"lan_domain": f"2-{UUID}"},
        {"lan_domain": f"2-{UUID}", "user_access": LINK, "remaining_time": "3600"},
        {"lan_domain": f"2-{UUID}", "user_access": LINK, "remaining_time": True},
        {"lan_domain": f"2-{UUID}", "user_access": "soon", "remaining_time": 60},
        {"lan_domain": UUID.replace("-", ""), "user_access": LINK, "remaining_time": 60},
        {"lan_domain": "2-<b>", "user_access": LINK, "remaining_time": 60},
    ],
)
def test_a_container_that_cannot_be_understood_is_not_none(data: Any) -> None:
    with pytest.raises(WhaleFault) as caught:
        CtfdWhale().look(answer({"success": True, "data": data}))
    assert caught.value.code is Code.UNAVAILABLE


@pytest.mark.parametrize("message", ["Container created", "Container Renewed", "destroyed"])
def test_a_write_that_was_done(message: str) -> None:
    CtfdWhale().written(answer({"success": True, "message": message}, method="POST"))


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_an_unreadable_answer_to_a_write_leaves_the_outcome_open(method: str) -> None:
    with pytest.raises(WhaleFault) as caught:
        CtfdWhale().written(answer(None, 502, method=method, kind="text/html"))
    assert caught.value.definite is False


def test_an_unknown_dialect_names_the_setting() -> None:
    with pytest.raises(SettingsError, match="WHALE_DIALECT: 'klingon'"):
        dialect_named("klingon")


# The dialects nobody has measured.

DOCUMENTED = {"uuid": UUID, "subdomain": f"{UUID}.ctf.example.org", "remaining_time": 450}
LEGACY_HTTP = {
    "success": True,
    "type": "http",
    "domain": f"{UUID}.ctf.example.org:8080",
    "remaining_time": 450,
    "lan_domain": f"2-{UUID}",
}
LEGACY_DIRECT = {**LEGACY_HTTP, "type": "redirect", "ip": "10.0.0.9", "port": 10093}


def told(body: Any, status: int = 200, *, method: str = "GET") -> WhaleAnswer:
    """As the legacy plugin sends its JSON."""
    return answer(body, status, method=method, kind="text/html")


@pytest.mark.parametrize(
    ("data", "access"),
    [
        (DOCUMENTED, Access("http", f"{UUID}.ctf.example.org", 80)),
        ({**DOCUMENTED, "port": 10093}, Access("tcp", f"{UUID}.ctf.example.org", 10093)),
    ],
)
def test_documented_running(data: dict[str, Any], access: Access) -> None:
    found = Documented().look(answer({"success": True, "message": "x", "data": data}))
    assert found == RunningContainer(UUID, access, 450)


@pytest.mark.parametrize(
    "change",
    [
        {"uuid": None},
        {"uuid": "<b>"},
        {"uuid": 7},
        {"subdomain": "a b"},
        {"subdomain": "http://a.b"},
        {"subdomain": ["a"]},
        {"port": 0},
        {"port": "10093"},
        {"port": True},
        {"remaining_time": None},
        {"remaining_time": 4.5},
    ],
)
def test_documented_that_cannot_be_understood(change: dict[str, Any]) -> None:
    with pytest.raises(WhaleFault) as caught:
        Documented().look(answer({"success": True, "data": {**DOCUMENTED, **change}}))
    assert caught.value.code is Code.UNAVAILABLE


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"success": True}, Nothing()),
        ({}, Another(None)),
        (LEGACY_HTTP, RunningContainer(UUID, Access("http", f"{UUID}.ctf.example.org", 8080), 450)),
        (
            {**LEGACY_HTTP, "domain": f"{UUID}.ctf.example.org"},
            RunningContainer(UUID, Access("http", f"{UUID}.ctf.example.org", 80), 450),
        ),
        (LEGACY_DIRECT, RunningContainer(UUID, Access("tcp", "10.0.0.9", 10093), 450)),
    ],
)
def test_legacy_looks(body: dict[str, Any], found: Look) -> None:
    assert Legacy().look(told(body)) == found


@pytest.mark.parametrize(
    "body",
    [
        {**LEGACY_HTTP, "domain": "a.b:http"},
        {**LEGACY_HTTP, "domain": "a.b:99999"},
        {**LEGACY_HTTP, "domain": "javascript:alert(1)"},
        {**LEGACY_HTTP, "domain": None},
        {**LEGACY_HTTP, "lan_domain": "2"},
        {**LEGACY_HTTP, "remaining_time": "450"},
        {**LEGACY_DIRECT, "ip": "<b>"},
        {**LEGACY_DIRECT, "port": None},
        {"success": True, "type": "http"},
        {"success": "true"},
        {"success": False, "msg": ["?"]},
    ],
)
def test_legacy_that_cannot_be_understood(body: dict[str, Any]) -> None:
    with pytest.raises(WhaleFault) as caught:
        Legacy().look(told(body))
    assert caught.value.code is Code.UNAVAILABLE


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (told(None, 404), Code.CHALLENGE_UNAVAILABLE),
        (told(None, 302), Code.UNAUTHENTICATED),
        (told(None, 403), Code.UNAUTHENTICATED),
        (told(None, 500), Code.UNAVAILABLE),
        (told({"success": False, "msg": "Max renewal times exceed."}), Code.EXTENSION_LIMIT),
        (told({"success": False, "msg": "Request Too Fast!"}), Code.RATE_LIMITED),
        (told({"success": False, "msg": "Instance not found."}), Code.NOT_FOUND),
        (
            told(
                {
                    "success": False,
                    "msg": "Failed when launch instance, please contact with the admin.",
                }
            ),
            Code.START_FAILED,
        ),
    ],
)
def test_a_legacy_refusal_is_told_by_its_code(given: WhaleAnswer, code: Code) -> None:
    with pytest.raises(WhaleFault) as caught:
        Legacy().written(replace(given, method="POST"))
    assert caught.value.code is code


@pytest.mark.parametrize("status", [200, 502, 503, 504])
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_page_from_something_in_front_leaves_a_write_pending(
    dialect: Dialect, status: int
) -> None:
    with pytest.raises(WhaleFault) as caught:
        dialect.written(answer(None, status, method="POST", kind="text/html"))
    assert (caught.value.definite, caught.value.pending) == (False, True)


@pytest.mark.parametrize("message", ["Max container count exceed.", "?"])
@pytest.mark.parametrize("status", [500, 502])
def test_words_in_a_5xx_are_not_believed(status: int, message: str) -> None:
    with pytest.raises(WhaleFault) as caught:
        CtfdWhale().written(refused(message, status, method="POST"))
    assert (caught.value.code, caught.value.definite) == (Code.UNAVAILABLE, False)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_after_a_500_nobody_is_at_work_any_more(dialect: Dialect) -> None:
    with pytest.raises(WhaleFault) as caught:
        dialect.written(answer(None, 500, method="POST", kind="text/html"))
    assert (caught.value.definite, caught.value.pending) == (False, False)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("remaining", [10**12, -(10**12), 10**30, 1e999, True, "5", None])
def test_a_time_that_no_instance_has_is_not_believed(dialect: Dialect, remaining: object) -> None:
    found = {
        "lan_domain": f"1-{UUID}",
        "uuid": UUID,
        "subdomain": "a.b",
        "user_access": LINK,
        "type": "http",
        "domain": "a.b:1",
        "remaining_time": remaining,
    }
    kind = "text/html" if dialect.name == "legacy" else "application/json"
    with pytest.raises(WhaleFault) as caught:
        dialect.look(answer({"success": True, "data": found, **found}, kind=kind))
    assert caught.value.code is Code.UNAVAILABLE


@pytest.mark.parametrize(
    "text", [b"[" * 900_000, b'{"a":' * 900 + b"1" + b"}" * 900, b"9" * 5000, b"\xff\xfe", b"\x00"]
)
def test_what_is_no_json_of_whales_is_none(text: bytes) -> None:
    assert parsed(text) is None


@pytest.mark.parametrize(("before", "after"), [("[", "]"), ('{"a":', "}")])
def test_a_body_is_read_down_to_the_deepest_level_allowed(before: str, after: str) -> None:
    deep, too_deep = (
        f"{before * levels}1{after * levels}".encode() for levels in (MAX_DEPTH, MAX_DEPTH + 1)
    )
    assert parsed(deep) is not None
    assert parsed(too_deep) is None


def test_what_whale_sends_is_parsed_as_it_is() -> None:
    assert parsed(b'{"success": true, "data": {"a": [1, "\\u00e4"]}}') == {
        "success": True,
        "data": {"a": [1, "\u00e4"]},
    }


@pytest.mark.parametrize(
    ("given", "no_route"),
    [
        (answer({"message": "The requested URL was not found on the server."}, 404), True),
        (answer(None, 404, kind="text/html"), True),
        (answer({"success": False, "message": "Challenge not found"}, 404), False),
        (answer({"message": "Forbidden"}, 403), False),
    ],
)
def test_a_route_that_is_not_there_is_no_missing_challenge(
    given: WhaleAnswer, no_route: bool
) -> None:
    assert _no_such_route(given) is no_route


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_what_an_unknown_refusal_says_is_quoted_nowhere(method: str) -> None:
    said = "ctfd_" + "0f" * 20 + " <script>alert(1)</script>\x1b[2J flag{0123456789abcdef}"
    with pytest.raises(WhaleFault) as caught:
        CtfdWhale().written(refused(said, method=method))
    fault = caught.value
    told = f"{fault} {fault.message} {fault.said!r} {fault!r}"
    assert not any(part in told for part in said.split())
