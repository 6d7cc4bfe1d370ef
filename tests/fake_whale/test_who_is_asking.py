"""Cookies, tokens and CSRF: docs/whale-wire.md, "Who is asking"."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import requests

from fake_whale import FakeServer, FakeWhale, WhaleWorld
from fake_whale.sessions.actors import Browser
from fake_whale.testing import PATH, WhalePlayer, said, tokens
from fake_whale.whale.visit import FORBIDDEN

JSON = {"Content-Type": "application/json"}
LOGIN = "/login?next=%2Fapi%2Fv1%2Fplugins%2Fctfd-whale%2Fcontainer%3Fchallenge_id%3D1"
TOO_SOON = (403, "Frequency limit, You should wait at least 1 min.")

Players = Callable[[str], WhalePlayer]


@pytest.fixture
def url(server: FakeServer) -> str:
    return f"{server.url}{PATH}?challenge_id=1"


@pytest.fixture
def browser(server: FakeServer, world: WhaleWorld) -> Callable[[str], Browser]:
    users = {user.name: user for user in world.users}
    return lambda name: Browser(server.url, users[name])


def bare(method: str, url: str, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.request(method, url, headers=named, allow_redirects=False, timeout=10)


def by_cookie(browser: Browser, method: str, url: str, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return browser.session.request(method, url, headers=named, allow_redirects=False, timeout=10)


def write(browser: Browser, method: str, url: str) -> requests.Response:
    """A cookie write as Whale's own page does it."""
    return by_cookie(browser, method, url, CSRF_Token=browser.nonce, **JSON)


def test_anonymous_reads(url: str) -> None:
    assert said(bare("GET", url, **JSON)) == (403, FORBIDDEN)
    assert "success" not in bare("GET", url, **JSON).json()
    assert said(bare("GET", url, Accept="text/event-stream")) == (403, FORBIDDEN)
    away = bare("GET", url, Accept="application/json")
    assert (away.status_code, away.headers["Location"]) == (302, LOGIN)
    assert away.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
@pytest.mark.parametrize("headers", [JSON, {}])
def test_anonymous_writes(url: str, method: str, headers: dict[str, str]) -> None:
    assert said(bare(method, url, **headers)) == (403, FORBIDDEN)


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_a_token_without_json_goes_to_the_login_page(
    url: str, world: WhaleWorld, method: str
) -> None:
    for token in (tokens(world)["alice"], "ctfd_bad"):
        away = bare(method, url, Authorization=f"Token {token}")
        assert (away.status_code, away.headers["Location"]) == (302, LOGIN)


@pytest.mark.parametrize(
    ("header", "status", "message"),
    [
        ("Token ctfd_bad", 401, "Your access token is invalid"),
        ("garbage", 401, "Invalid authorization header"),
        ("", 403, FORBIDDEN),
    ],
)
def test_bad_tokens(url: str, header: str, status: int, message: str) -> None:
    assert said(bare("GET", url, Authorization=header, **JSON)) == (status, message)


def test_an_expired_token(url: str, browser: Callable[[str], Browser], server: FakeServer) -> None:
    alice = browser("alice")
    made = alice.session.post(
        f"{server.url}/api/v1/tokens",
        json={"expiration": "2020-01-01", "description": "old"},
        headers={"CSRF-Token": alice.nonce},
        timeout=10,
    )
    header = f"Token {made.json()['data']['value']}"
    answer = bare("POST", url, Authorization=header, **JSON)
    assert said(answer) == (401, "Your access token has expired")


@pytest.mark.parametrize("scheme", ["Bearer", "token", "Token"])
@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "application/vnd.api+json"]
)
def test_what_is_accepted(url: str, world: WhaleWorld, scheme: str, kind: str) -> None:
    header = f"{scheme} {tokens(world)['alice']}"
    answer = bare("GET", url, Authorization=header, Content_Type=kind)
    assert answer.json() == {"success": True, "data": {}}
    assert "session=" in answer.headers["Set-Cookie"]


def test_cookie_writes_need_the_csrf_token(url: str, browser: Callable[[str], Browser]) -> None:
    alice = browser("alice")
    assert by_cookie(alice, "GET", url).status_code == 200
    refused = (403, FORBIDDEN)
    assert said(by_cookie(alice, "POST", url, **JSON)) == refused
    assert said(by_cookie(alice, "POST", url, CSRF_Token="0" * 64, **JSON)) == refused
    assert said(by_cookie(alice, "POST", url, CSRF_Token=alice.nonce)) == refused
    form = alice.session.post(url, data={"nonce": alice.nonce}, timeout=10)
    assert said(form) == (200, "Container created")


def test_the_window_is_the_sessions(
    url: str, browser: Callable[[str], Browser], player: Players, fake: FakeWhale
) -> None:
    first, second = browser("alice"), browser("alice")
    assert said(write(first, "POST", url)) == (200, "Container created")
    assert said(write(first, "PATCH", url)) == TOO_SOON
    fake.clock.advance(11)
    assert said(write(second, "PATCH", url)) == (200, "Container Renewed")
    assert said(player("alice").delete()) == (200, "Container destroyed")
    fake.clock.advance(50)
    assert said(write(first, "POST", url)) == (200, "Container created")


def test_the_window_opens_though_the_call_fails(
    url: str, browser: Callable[[str], Browser], fake: FakeWhale
) -> None:
    alice = browser("alice")
    assert said(write(alice, "DELETE", url)) == (403, "No such container")
    fake.clock.advance(11)
    assert said(write(alice, "POST", url)) == TOO_SOON
    fake.clock.advance(49.5)  # the refusal has not prolonged it, but has left a lock
    assert said(write(alice, "POST", url)) == (200, "Container created")


def test_admins_have_no_window_and_no_lock(url: str, browser: Callable[[str], Browser]) -> None:
    admin = browser("admin")
    calls = ["POST", "POST", "PATCH", "DELETE", "DELETE", "POST"]
    codes = [write(admin, method, url).status_code for method in calls]
    assert codes == [200, 200, 200, 200, 403, 200]


def test_a_token_with_a_jar_becomes_a_session(url: str, world: WhaleWorld) -> None:
    with requests.Session() as jar:
        jar.headers.update({"Authorization": f"Token {tokens(world)['alice']}", **JSON})
        assert said(jar.post(url, timeout=10)) == (200, "Container created")
        assert said(jar.patch(url, timeout=10)) == TOO_SOON


def test_a_cookie_becomes_the_tokens_session(
    url: str, browser: Callable[[str], Browser], world: WhaleWorld, server: FakeServer
) -> None:
    alice = browser("alice")
    by_cookie(alice, "GET", url, Authorization=f"Token {tokens(world)['bob']}", **JSON)
    me = by_cookie(alice, "GET", f"{server.url}/api/v1/users/me", **JSON)
    assert me.json()["data"]["name"] == "bob"


def test_a_junk_authorization_header_bypasses_csrf(
    url: str, browser: Callable[[str], Browser]
) -> None:
    answer = by_cookie(browser("alice"), "POST", url, Authorization="junk")
    assert said(answer) == (200, "Container created")


def test_lost_and_forged_sessions(
    url: str, browser: Callable[[str], Browser], fake: FakeWhale
) -> None:
    alice = browser("alice")
    fake.inject({"kind": "redis_flushed"})
    assert said(by_cookie(alice, "GET", url, **JSON)) == (403, FORBIDDEN)
    assert by_cookie(alice, "GET", url).status_code == 302
    assert said(write(alice, "POST", url)) == (403, FORBIDDEN)
    forged = bare("GET", url, Cookie="session=0f0f.forged", **JSON)
    assert said(forged) == (403, FORBIDDEN)


def as_admin(player: Players, path: str, **changes: object) -> None:
    admin = player("admin")
    headers = {"Authorization": f"Token {admin.token}", **JSON}
    answer = requests.patch(admin.url + path, json=changes, headers=headers, timeout=10)
    assert answer.status_code == 200, answer.text


def test_a_changed_password_ends_the_session(
    url: str, browser: Callable[[str], Browser], player: Players
) -> None:
    alice = browser("alice")
    as_admin(player, "/api/v1/users/2", password="new")
    answer = by_cookie(alice, "GET", url, **JSON)
    assert answer.status_code == 401
    assert answer.json()["message"].startswith("The server could not verify")


def test_a_ban_hits_cookies_but_not_tokens(
    url: str, browser: Callable[[str], Browser], player: Players
) -> None:
    alice = browser("alice")
    as_admin(player, "/api/v1/users/2", banned=True)
    answer = by_cookie(alice, "GET", url, **JSON)
    assert answer.status_code == 403
    assert answer.headers["Content-Type"].startswith("text/html")
    assert said(player("alice").post()) == (200, "Container created")


def test_what_is_not_there(url: str, server: FakeServer, fake: FakeWhale) -> None:
    put = bare("PUT", url, **JSON)
    assert (put.status_code, put.headers["Content-Type"]) == (404, "application/json")
    slash = bare("GET", f"{server.url}{PATH}/", **JSON)
    assert slash.status_code == 404
    assert slash.headers["Content-Type"].startswith("text/html")
    lost = [entry for entry in fake.journal() if entry["kind"] == "unmatched"]
    assert f"GET {PATH}" in lost[1]["nearest"]


def test_the_login_page(server: FakeServer, world: WhaleWorld) -> None:
    form = requests.get(f"{server.url}/login", timeout=10)
    nonces = re.findall(r'name="nonce"[^>]*value="([0-9a-f]{64})"', form.text)
    assert nonces == re.findall(r"'csrfNonce': \"([0-9a-f]{64})\"", form.text)
    wrong = requests.post(
        f"{server.url}/login",
        data={"name": "alice", "password": "wrong", "nonce": nonces[0]},
        cookies=form.cookies,
        timeout=10,
    )
    assert wrong.status_code == 200
    assert 'name="nonce"' in wrong.text


def test_ten_logins_in_five_seconds(server: FakeServer, fake: FakeWhale) -> None:
    with requests.Session() as session:
        form = session.get(f"{server.url}/login", timeout=10)
        nonce = re.findall(r"'csrfNonce': \"([0-9a-f]{64})\"", form.text)[0]
        data = {"name": "alice", "password": "wrong", "nonce": nonce}
        codes = [
            session.post(f"{server.url}/login", data=data, timeout=10).status_code
            for _ in range(11)
        ]
        assert codes == [200] * 10 + [429]
        fake.clock.advance(5)
        assert session.post(f"{server.url}/login", data=data, timeout=10).status_code == 200


def test_nothing_secret_is_in_the_journal_or_the_repr(
    url: str, world: WhaleWorld, browser: Callable[[str], Browser], player: Players, fake: FakeWhale
) -> None:
    alice = browser("alice")
    player("bob").post()
    write(alice, "POST", url)
    shown = f"{fake.journal()} {world!r} {fake.machine.database.rows()!r} {player('bob')!r}"
    secrets = [*tokens(world).values(), alice.nonce, "alice-password"]
    secrets += [record["flag"] for record in fake.state()["records"]]
    secrets += [cookie.value or "" for cookie in alice.session.cookies]
    assert not [secret for secret in secrets if secret in shown]
