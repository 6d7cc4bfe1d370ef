"""Nobody but the demo's own page turns anything, and nothing secret leaves it."""

from __future__ import annotations

import logging
import re
import threading
from typing import Any

import pytest
import requests
from demo.conftest import Served
from demo.visitor import Visitor

from conformance.spec.web import serving
from whale_ready.demo import cast
from whale_ready.demo.app import demo_app
from whale_ready.demo.backends import LOOPBACK, running

COOKIE_JAR = 1
CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("/demo/dial", {"action": "set", "share": "100"}),
    ("/demo/whale", {"up": False}),
    ("/demo/player", {"user_id": 3}),
    ("/api/v1/container/start", {"challenge_id": COOKIE_JAR}),
]


def test_no_page_of_another_site_turns_anything(served: Served, visitor: Visitor) -> None:
    elsewhere = f"http://{LOOPBACK}:1"
    for path, body in CHANGES:
        for headers in (
            {"CSRF_Token": ""},
            {"CSRF_Token": "0" * 32},
            {"Origin": elsewhere},
            {"Origin": "null"},
        ):
            answer = visitor.post(path, body, **headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed"), path
        assert visitor.post(path, body, Host="evil.test").status_code == 403
        # A form of another site can send this without asking beforehand.
        assert visitor.post(path, body, Content_Type="text/plain").status_code == 415
        stranger = requests.post(f"{served.url}{path}", json=body, timeout=30)
        assert (stranger.status_code, stranger.json()["code"]) == (401, "login_required"), path
    assert served.demo.store.load().position == cast.BEGIN
    assert served.demo.whale.up
    assert visitor.state()["instances"] == []
    for path, body in CHANGES:  # from its own page each of them does something
        answer = visitor.post(path, body, Origin=served.url)
        assert answer.status_code in (200, 201), answer.text
        visitor.csrf = (answer.json()["data"] or {}).get("csrf", visitor.csrf)


def test_a_name_of_another_site_that_leads_here_shows_nothing(visitor: Visitor) -> None:
    for name in ("evil.test", "localhost.evil.test", "127.0.0.1.evil.test"):
        for path in ("/", "/demo/state"):
            answer = visitor.get(path, Host=name)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    port = visitor.url.rpartition(":")[2]
    for name in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        assert visitor.get("/", Host=name).status_code == 200, name


WRONG: list[tuple[str, Any, str]] = [
    ("dial", {"action": "set", "share": "101"}, "write a share from 0% to 100%"),
    ("dial", {"action": "explode"}, "press one of the buttons"),
    ("dial", {"action": "challenge", "challenge_id": 7, "flag": "?"}, "choose on, off"),
    ("whale", {"up": "yes"}, "up must be true or false"),
    ("player", {"user_id": 99}, "there is no player 99"),
    ("player", {}, "user_id is missing"),
    ("player", "{", "no JSON"),
]


def test_what_is_wrong_is_named_and_changes_nothing(served: Served, visitor: Visitor) -> None:
    for path, body, said in WRONG:
        answer = visitor.post(f"/demo/{path}", body)
        assert answer.status_code == 400
        assert said in answer.json()["message"]
        assert set(answer.json()) == {"success", "message", "data", "code", "retry_after"}
    assert served.demo.store.load().position == cast.BEGIN
    assert served.demo.whale.up


def test_only_its_own_scripts_run_and_only_here(visitor: Visitor) -> None:
    policies = [visitor.get("/").headers["Content-Security-Policy"] for _ in range(2)]
    assert policies[0] != policies[1]
    assert "unsafe" not in policies[0]
    assert policies[0].startswith("default-src 'none'; script-src 'nonce-")
    assert "connect-src 'self'" in policies[0]
    assert "frame-ancestors 'none'" in policies[0]
    addresses = set(re.findall(r"https?://[^\s\"'`<]+", visitor.front.text))
    assert addresses == {"http://${shown}/"}, "nothing is loaded from anywhere"


def test_no_flag_and_no_token_is_on_the_page_or_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = {user_id: f"ctfd_{user_id:064x}" for user_id in cast.PLAYERS}
    monkeypatch.setattr(cast, "made_up_tokens", lambda: tokens)
    caplog.set_level(logging.DEBUG)
    with running() as demo, serving(demo_app(demo, LOOPBACK)) as (host, port):
        visitor = Visitor(f"http://{host}:{port}")
        on_cre = visitor.start(COOKIE_JAR)
        visitor.play(3)
        on_whale = visitor.start(cast.PILOT)
        assert (on_cre["backend"], on_whale["backend"]) == ("cre", "whale")
        name = f"{on_whale['host']}:{on_whale['ports'][0]}"
        gateway = demo.settings.whale_probe_gateway
        there = requests.get(f"{gateway}/cgi-bin/flag", headers={"Host": name}, timeout=30)
        flags = [demo.hybrid.recorded_flag(1, COOKIE_JAR, 1), there.text.strip()]
        assert all(flag and flag.startswith("flag{") for flag in flags)
        visitor.post("/demo/whale", {"up": False})
        visitor.post("/api/v1/container/extend", {"challenge_id": cast.PILOT})
        shown = [visitor.get(path).text for path in ("/", "/demo/state")]
        shown += [str(visitor.get("/").headers), repr(demo), caplog.text]
        visitor.close()
    assert '"backend": "whale"' in shown[1]
    for secret in (*tokens.values(), *flags):
        assert all(str(secret) not in text for text in shown)


def test_nothing_is_left_in_the_process() -> None:
    before = set(threading.enumerate())
    with running() as demo, serving(demo_app(demo, LOOPBACK)) as (host, port):
        assert demo.hybrid.cleanup_worker.running
        visitor = Visitor(f"http://{host}:{port}")
        address = "{host}:{ports[0]}".format(**visitor.start(COOKIE_JAR))
        visitor.post("/demo/whale", {"up": False})
        visitor.close()
    left = {each for each in threading.enumerate() if each not in before}
    assert left == set()
    for gone in (address, f"{host}:{port}", demo.whale_url.removeprefix("http://")):
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://{gone}/", timeout=5)
