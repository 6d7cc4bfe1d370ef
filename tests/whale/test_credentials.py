"""Proof of identity in front of a Whale that checks it: tokens, logins, sessions, and their end."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
import sqlalchemy as sa

from engines.clock import Clock
from engines.contract import Code
from engines.errors import WhaleFault
from engines.settings import Settings
from engines.whale import (
    BrowserSession,
    Credentials,
    CtfdTokens,
    RequestSession,
    StaticTokens,
    WhaleAPIManager,
)
from engines.whale.client import LoginPage, WhaleClient
from engines.whale.credentials import CredentialsFile
from engines.whale.login import Login, TokenMaker
from fake_whale import FakeServer, FakeWhale, User, VirtualEpochClock, WhaleChallenge, WhaleWorld

ALICE, BOB = 2, 3
TOKENS = {ALICE: "ctfd_" + 64 * "a", BOB: "ctfd_" + 64 * "b"}
PASSWORD = "correct horse"  # made up
WORLD = WhaleWorld(
    users=[
        User(1, "admin", type="admin", password="admin"),  # made up
        User(ALICE, "alice", token=TOKENS[ALICE], password=PASSWORD),
        User(BOB, "bob", token=TOKENS[BOB], password=PASSWORD),
    ],
    challenges=[
        WhaleChallenge(1, "First", image="chal:1"),
        WhaleChallenge(2, "Second", image="chal:1"),
    ],
    images=frozenset({"chal:1"}),
)
Make = Callable[..., AbstractContextManager[WhaleAPIManager]]


@pytest.fixture
def fake() -> Iterator[FakeWhale]:
    with FakeWhale(WORLD, clock=VirtualEpochClock()) as made:
        yield made


@pytest.fixture
def server(fake: FakeWhale) -> Iterator[FakeServer]:
    with fake.serve() as made:
        yield made


class FakesClock(Clock):
    def __init__(self, fake: FakeWhale) -> None:
        self._fake = fake

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._fake.clock.time(), timezone.utc)


@pytest.fixture
def adapter(fake: FakeWhale, server: FakeServer, tmp_path: Path) -> Make:
    @contextmanager
    def make(credentials: Credentials | None = None, **more: Any) -> Iterator[WhaleAPIManager]:
        settings = Settings(
            whale_api_url=server.url,
            whale_probe=False,
            whale_look_again_seconds=0.01,
            database_url=f"sqlite:///{tmp_path / 'state.db'}",
            **more,
        )
        manager = WhaleAPIManager(settings, credentials=credentials, clock=FakesClock(fake))
        try:
            yield manager
        finally:
            manager.close()

    return make


def credentials_file(folder: Path, text: str) -> Path:
    path = folder / "whale.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def revoke(server: FakeServer, token: str) -> None:
    """As a player does on CTFd's settings page."""
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
    listed = requests.get(f"{server.url}/api/v1/tokens", headers=headers, timeout=5).json()["data"]
    for row in listed:
        path = f"{server.url}/api/v1/tokens/{row['id']}"
        assert requests.delete(path, headers=headers, timeout=5).status_code == 200


def test_a_revoked_token_is_looked_up_again_once(
    adapter: Make, server: FakeServer, fake: FakeWhale, tmp_path: Path
) -> None:
    path = credentials_file(tmp_path, f'[tokens]\n"{ALICE}" = "{TOKENS[ALICE]}"\n')
    with adapter(whale_tokens_file=path) as manager:
        assert manager.start_instance(ALICE, 1).ok
        revoke(server, TOKENS[ALICE])
        calls = len(fake.journal())
        assert manager.stop_instance(ALICE, 1).code is Code.UNAUTHENTICATED
        assert len(fake.journal()) == calls + 1, "the file has no other token to try"
        # An organiser writes a new one into the file: no restart is needed.
        credentials_file(tmp_path, f'[tokens]\n"{ALICE}" = "{new_token(server)}"\n')
        assert manager.stop_instance(ALICE, 1).ok
    assert fake.state()["services"] == []


def new_token(server: FakeServer) -> str:
    """Alice makes another token in her browser."""
    browser = logged_in(server, "alice")
    answer = browser.post(
        f"{server.url}/api/v1/tokens",
        json={"expiration": "2100-01-01"},
        headers={"CSRF-Token": nonce_of(browser, server)},
        timeout=5,
    )
    return str(answer.json()["data"]["value"])


def logged_in(server: FakeServer, name: str) -> requests.Session:
    browser = requests.Session()
    form = browser.get(f"{server.url}/login", timeout=5).text
    found = re.search(r'name="nonce"[^>]*value="([0-9a-f]{64})"', form)
    assert found is not None
    data = {"name": name, "password": PASSWORD, "nonce": found[1]}
    answer = browser.post(f"{server.url}/login", data=data, allow_redirects=False, timeout=5)
    assert answer.status_code == 302
    return browser


def nonce_of(browser: requests.Session, server: FakeServer) -> str:
    page = browser.get(f"{server.url}/user", timeout=5).text
    found = re.search(r"'csrfNonce': \"([0-9a-f]{64})\"", page)
    assert found is not None
    return found[1]


def test_a_token_that_expires_is_an_end_too(adapter: Make, fake: FakeWhale, tmp_path: Path) -> None:
    login = f'[logins]\n"{BOB}" = {{ name = "bob", password = "{PASSWORD}" }}\n'
    with adapter(whale_tokens_file=credentials_file(tmp_path, login)) as manager:
        assert manager.start_instance(BOB, 1).ok
        assert manager.stop_instance(BOB, 1).ok
        fake.clock.advance(40 * 86_400)  # CTFd's tokens live for thirty days
        assert manager.start_instance(BOB, 1).ok


def test_a_login_makes_one_token_and_meets_no_window_of_a_minute(
    adapter: Make, fake: FakeWhale, tmp_path: Path
) -> None:
    login = f'[logins]\n"{BOB}" = {{ name = "bob", password = "{PASSWORD}" }}\n'
    with adapter(whale_tokens_file=credentials_file(tmp_path, login)) as manager:
        for _ in range(3):
            assert manager.start_instance(BOB, 1).ok
            assert manager.extend_instance(BOB, 1).ok
            assert manager.stop_instance(BOB, 1).ok
    logins = [e for e in fake.journal() if (e.get("method"), e.get("path")) == ("POST", "/login")]
    assert len(logins) == 1


def test_a_login_is_of_no_use_where_nobody_may_log_in(tmp_path: Path) -> None:
    login = f'[logins]\n"{BOB}" = {{ name = "bob", password = "{PASSWORD}" }}\n'
    with pytest.raises(WhaleFault) as caught:
        CredentialsFile(credentials_file(tmp_path, login)).headers(BOB)
    assert caught.value.code is Code.UNAUTHENTICATED


@pytest.mark.parametrize("made", [{"success": True, "data": {"value": 7}}, {"data": None}, [7], 7])
@responses.activate
def test_a_login_page_or_token_that_is_not_ctfds_is_none(made: object) -> None:
    base = "http://whale.example.org"
    responses.get(f"{base}/login", body="<html>", headers={"Set-Cookie": "session=x"})
    responses.post(f"{base}/api/v1/tokens", json=made)
    client = WhaleClient(base, call_seconds=5)
    maker = TokenMaker(client, lambda: date(2026, 12, 1))
    for call in (lambda: maker.log_in(Login(ALICE, "alice", PASSWORD)), lambda: maker._token({})):
        with pytest.raises(WhaleFault) as caught:
            call()
        assert caught.value.code is Code.UNAVAILABLE
    client.close()


@pytest.mark.parametrize("part", ["name", "password"])
def test_a_wrong_login_is_unauthenticated(adapter: Make, tmp_path: Path, part: str) -> None:
    right = {"name": "bob", "password": PASSWORD, part: "wrong"}
    text = f'[logins]\n"{BOB}" = {{ name = "{right["name"]}", password = "{right["password"]}" }}\n'
    with adapter(whale_tokens_file=credentials_file(tmp_path, text)) as manager:
        result = manager.start_instance(BOB, 1)
    assert (result.code, result.definite) == (Code.UNAUTHENTICATED, True)


def test_the_players_own_session_works_for_the_player_alone(
    adapter: Make, server: FakeServer, fake: FakeWhale
) -> None:
    browser = logged_in(server, "alice")
    nonce = nonce_of(browser, server)
    session = BrowserSession(ALICE, browser.cookies["session"], nonce)
    with adapter(RequestSession(lambda: session)) as manager:
        assert manager.start_instance(ALICE, 1).ok
        assert manager.start_instance(BOB, 1).code is Code.UNAUTHENTICATED
        refused = manager.stop_instance(ALICE, 1)
        assert (refused.code, refused.retry_after) == (Code.RATE_LIMITED, 60.0)
        assert manager.get_instance_status(ALICE, 1) is not None
        fake.clock.advance(61)
        assert manager.stop_instance(ALICE, 1).ok
    assert nonce not in repr(session)
    assert browser.cookies["session"] not in repr(session)


def test_outside_a_request_there_is_no_session(adapter: Make) -> None:
    with adapter(RequestSession(lambda: None)) as manager:
        assert manager.start_instance(ALICE, 1).code is Code.UNAUTHENTICATED


@pytest.fixture
def ctfd_database(tmp_path: Path) -> Iterator[sa.engine.Engine]:
    """CTFd's two tables that matter, as CTFd 3.8 has them."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'ctfd.db'}", future=True)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE users (id INTEGER PRIMARY KEY)"))
        connection.execute(
            sa.text(
                "CREATE TABLE tokens (id INTEGER PRIMARY KEY, type VARCHAR(32), user_id INTEGER, "
                "created DATETIME, expiration DATETIME, description TEXT, "
                "value VARCHAR(128) UNIQUE)"
            )
        )
        users = [{"id": ALICE}, {"id": BOB}]
        connection.execute(sa.text("INSERT INTO users VALUES (:id)"), users)
    yield engine
    engine.dispose()


def rows(engine: sa.engine.Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(sa.text("SELECT user_id, type, value FROM tokens")))


def add_token(engine: sa.engine.Engine, value: str, expires: datetime) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO tokens (type, user_id, value, expiration) VALUES ('user', :u, :v, :e)"
            ),
            {"u": ALICE, "v": value, "e": expires.strftime("%Y-%m-%d %H:%M:%S.%f")},
        )


def test_a_token_from_ctfds_own_table(
    adapter: Make, ctfd_database: sa.engine.Engine, fake: FakeWhale
) -> None:
    now = FakesClock(fake).now()
    add_token(ctfd_database, "ctfd_over", now - timedelta(days=1))
    add_token(ctfd_database, "ctfd_nearly_over", now + timedelta(minutes=1))
    add_token(ctfd_database, TOKENS[ALICE], now + timedelta(days=1))
    with adapter(CtfdTokens(ctfd_database, FakesClock(fake))) as manager:
        assert manager.start_instance(ALICE, 1).ok
    assert len(rows(ctfd_database)) == 3


def test_those_with_a_token_that_lasts_are_known(
    ctfd_database: sa.engine.Engine, fake: FakeWhale
) -> None:
    now = FakesClock(fake).now()
    tokens = CtfdTokens(ctfd_database, FakesClock(fake))
    add_token(ctfd_database, "ctfd_nearly_over", now + timedelta(minutes=1))
    assert (tokens.holders(), tokens.existing(ALICE)) == ([], None)
    add_token(ctfd_database, "ctfd_shorter", now + timedelta(days=1))
    add_token(ctfd_database, "ctfd_longer", now + timedelta(days=2))
    assert (tokens.holders(), tokens.existing(ALICE)) == ([ALICE], "ctfd_longer")


def test_who_has_no_token_in_ctfds_table_gets_one(
    ctfd_database: sa.engine.Engine, fake: FakeWhale
) -> None:
    tokens = CtfdTokens(ctfd_database, FakesClock(fake))
    first = tokens.headers(BOB)
    ((user_id, kind, value),) = rows(ctfd_database)
    assert (user_id, kind, first["Authorization"]) == (BOB, "user", f"Token {value}")
    assert re.fullmatch("ctfd_[0-9a-f]{64}", value)
    assert tokens.headers(BOB) == first
    assert tokens.refresh(BOB) is True  # Whale refused it: another one, once
    assert tokens.headers(BOB) != first
    assert value not in repr(tokens)


def test_a_refused_token_of_ctfds_table_ends_as_unauthenticated(
    adapter: Make, ctfd_database: sa.engine.Engine, fake: FakeWhale
) -> None:
    """The table is another CTFd's: what it holds, and what is added to it, opens nothing here."""
    with adapter(CtfdTokens(ctfd_database, FakesClock(fake))) as manager:
        assert manager.start_instance(ALICE, 1).code is Code.UNAUTHENTICATED
        assert len(fake.journal()) == 2
        assert manager.start_instance(99, 1).code is Code.UNAUTHENTICATED
        assert len(fake.journal()) == 2


def test_a_database_that_is_gone_is_no_missing_access(
    adapter: Make, tmp_path: Path, fake: FakeWhale, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    empty = f"sqlite:///{tmp_path / 'empty.db'}"
    with adapter(whale_ctfd_database_url=empty) as manager:
        assert manager.start_instance(ALICE, 1).code is Code.UNAVAILABLE
    assert "SELECT" not in caplog.text


def test_no_password_cookie_or_nonce_is_written_anywhere(
    adapter: Make, server: FakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    login = f'[logins]\n"{BOB}" = {{ name = "bob", password = "{PASSWORD}" }}\n'
    seen: list[str] = []
    with adapter(whale_tokens_file=credentials_file(tmp_path, login)) as manager:
        manager.start_instance(BOB, 1)
        seen.append(repr(vars(manager)) + repr(vars(manager._api)) + repr(manager.audit.events()))
        server.close()
        seen.append(repr(manager.stop_instance(BOB, 1)))
    seen.append(caplog.text)
    seen.extend(
        path.read_bytes().decode("latin-1")
        for path in tmp_path.iterdir()
        if path.name.startswith("state.db")
    )
    for text in seen:
        assert PASSWORD not in text
        assert "ctfd_" not in text
        assert re.search("[0-9a-f]{64}", text) is None


def test_two_users_never_share_a_session(
    adapter: Make, fake: FakeWhale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whale answers every token call with a session cookie; kept, it would act as somebody else."""
    with adapter(StaticTokens(TOKENS)) as manager:
        for _ in range(2):
            for user in (ALICE, BOB):
                assert manager.start_instance(user, 1).ok
            assert {s["user_id"] for s in fake.state()["services"]} == {ALICE, BOB}
            for user in (ALICE, BOB):
                status = manager.get_instance_status(user, 1)
                assert status is not None
                (own,) = (s for s in fake.state()["services"] if s["user_id"] == user)
                assert status["container_id"] == own["uuid"]
                assert manager.extend_instance(user, 1).ok
            for user in (ALICE, BOB):
                assert manager.stop_instance(user, 1).ok
        client = manager._api._client
        with requests.Session() as shared:  # a jar that is shared

            def send(method: str, path: str, headers: dict[str, str], *_: object) -> LoginPage:
                found = shared.request(method, client._base_url + path, headers=headers, timeout=5)
                kind = found.headers["Content-Type"]
                return LoginPage(found.status_code, kind, found.content, {})

            monkeypatch.setattr(client, "_send", send)
            codes = [manager.start_instance(user, 1).code for user in (ALICE, BOB, ALICE)]
            codes += [manager.stop_instance(user, 1).code for user in (BOB, ALICE)]
        assert set(codes) != {Code.OK, Code.ALREADY_RUNNING}, "this test cannot see a shared jar"
