"""Plays the actors of a recorded session against any Whale over HTTP."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import urlsplit

import requests

from ..whale.errors import FakeWhaleError
from ..whale.world import User, WhaleWorld
from .recording import Ask, Auth, Csrf, Placeholders, RecordedAnswer

WHALE_PATH = "/api/v1/plugins/ctfd-whale/container"
TIMEOUT_SECONDS = 60.0
_FORM_NONCE = re.compile(r'name="nonce"[^>]*value="([0-9a-f]{64})"')
_PAGE_NONCE = re.compile(r"'csrfNonce': \"([0-9a-f]{64})\"")


def new_session() -> requests.Session:
    """A session that takes nothing from the environment: no proxy, and no netrc over our token."""
    session = requests.Session()
    session.trust_env = False
    return session


class TooManyLogins(FakeWhaleError):
    """CTFd takes ten logins in five seconds from one address; wait and try again."""


class Browser:
    """A logged-in browser session: cookies, and the nonce its pages carry."""

    def __init__(self, base_url: str, user: User) -> None:
        self.session = new_session()
        form = self.session.get(f"{base_url}/login", timeout=TIMEOUT_SECONDS)
        fields = {
            "name": user.name,
            "password": user.password,
            "nonce": _found(_FORM_NONCE, form.text, "the login form's nonce"),
        }
        answer = self.session.post(
            f"{base_url}/login", data=fields, allow_redirects=False, timeout=TIMEOUT_SECONDS
        )
        if answer.status_code == 429:
            raise TooManyLogins(f"{user.name} cannot log in: too many logins in a few seconds")
        if answer.status_code != 302:
            raise FakeWhaleError(
                f"{user.name} cannot log in (status {answer.status_code}); "
                "check the password in the world file"
            )
        page = self.session.get(f"{base_url}/user", timeout=TIMEOUT_SECONDS)
        self.nonce = _found(_PAGE_NONCE, page.text, "the page's csrfNonce")


class Actors:
    """All actors of one session, with what they keep between their steps."""

    def __init__(self, base_url: str, world: WhaleWorld) -> None:
        self._base_url = base_url.rstrip("/")
        self._users = {user.name: user for user in world.users}
        self._browsers: dict[tuple[str, int], Browser] = {}
        self._jars: dict[str, requests.Session] = {}
        self._plain = new_session()
        self._placeholders = Placeholders()

    def close(self) -> None:
        """Hang up."""
        for session in (
            self._plain,
            *self._jars.values(),
            *(browser.session for browser in self._browsers.values()),
        ):
            session.close()

    def prepare(self, ask: Ask) -> None:
        """Log the actor in where the step needs it, before the step's own time begins."""
        if ask.auth is Auth.SESSION:
            self._browser(ask)

    def play(self, ask: Ask) -> RecordedAnswer:
        """Do one step, without its wait; uuids and ports become placeholders."""
        session = self._session(ask)
        if session is self._plain:
            session.cookies.clear()
        began = time.monotonic()
        response = session.request(
            ask.method,
            self._base_url + WHALE_PATH,
            params=None if ask.challenge_id is None else {"challenge_id": ask.challenge_id},
            headers=self._headers(ask),
            data="{}" if ask.json and ask.method != "GET" else None,
            allow_redirects=False,
            timeout=TIMEOUT_SECONDS * 5,
        )
        return self._answer(response, time.monotonic() - began)

    def _session(self, ask: Ask) -> requests.Session:
        if ask.auth is Auth.SESSION:
            return self._browser(ask).session
        if ask.auth is Auth.TOKEN_WITH_JAR:
            return self._jars.setdefault(ask.actor, new_session())
        return self._plain

    def _browser(self, ask: Ask) -> Browser:
        key = (ask.actor, ask.login)
        if key not in self._browsers:
            self._browsers[key] = Browser(self._base_url, self._user(ask.actor))
        return self._browsers[key]

    def _headers(self, ask: Ask) -> dict[str, str]:
        headers: dict[str, str] = {}
        if ask.json:
            headers["Content-Type"] = "application/json"
        if ask.auth in (Auth.TOKEN, Auth.TOKEN_WITH_JAR):
            headers["Authorization"] = f"Token {self._user(ask.actor).token}"
        if ask.auth is Auth.SESSION and ask.method != "GET" and ask.csrf is not Csrf.MISSING:
            right = ask.csrf is Csrf.OK
            headers["CSRF-Token"] = self._browser(ask).nonce if right else "0" * 64
        return headers

    def _user(self, name: str) -> User:
        try:
            return self._users[name]
        except KeyError:
            raise FakeWhaleError(f"actor {name!r} is not a user of the world") from None

    def _answer(self, response: requests.Response, took: float) -> RecordedAnswer:
        content_type = response.headers.get("Content-Type", "").partition(";")[0] or None
        body: Any = None
        if content_type == "application/json":
            body = self._placeholders.apply(response.json())
        location = response.headers.get("Location")
        if location and location.startswith(self._base_url):
            parts = urlsplit(location)
            location = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return RecordedAnswer(response.status_code, content_type, location, body, took)


def _found(pattern: re.Pattern[str], text: str, what: str) -> str:
    match = pattern.search(text)
    if match is None:
        raise FakeWhaleError(f"{what} was not found: is this a CTFd?")
    return match.group(1)
