"""Single recorded exchanges in context, cookies included, where the context can be rebuilt.

Between exchanges the recorder sometimes cleared locks, emptied the world or changed settings; what
it did is told by the step's text, and done here by the same hints.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from fake_whale import FakeWhale, VirtualEpochClock, WhaleWorld
from fake_whale.sessions.actors import Browser
from fake_whale.sessions.recording import Placeholders

TRACES = Path(__file__).parent / "data" / "whale-golden-traces.jsonl"
SECRET_HEADERS = ("Authorization", "Cookie", "CSRF-Token")


def traces(scenario: str) -> list[dict[str, Any]]:
    lines = TRACES.read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["scenario"] == scenario]


class Stage:
    """Plays the traces of one scenario."""

    def __init__(self, fake: FakeWhale, url: str) -> None:
        self.fake = fake
        self.url = url
        self.users = {user.name: user for user in fake.world.users}
        self.began = fake.clock.time()
        self.browsers: dict[str, Browser] = {}
        self.wanted, self.got = Placeholders(), Placeholders()

    def prepare(self, trace: dict[str, Any]) -> None:
        """What the recorder did before this exchange."""
        step = trace["step"]
        self.fake.lift_faults()
        if "frpc 500" in step:
            self.fake.inject({"kind": "frpc_error"})
        if found := re.match(r"(\{.*?\}): POST http", step):
            self.fake.patch_config(ast.literal_eval(found.group(1)))
        if found := re.search(r"router_type=(\w+)", step):
            self.fake.patch_config({"router_type": found.group(1)})
        if "right after" not in step:
            self.fake.machine.redis.locks.clear()
        self.fake.clock.advance(max(0.0, self.began + trace["at"] - self.fake.clock.time()))

    def exchange(self, trace: dict[str, Any]) -> tuple[Any, Any]:
        """What was recorded and what the fake answers, comparable."""
        session, headers = self._identity(trace)
        kept = {k: v for k, v in trace["request_headers"].items() if k not in SECRET_HEADERS}
        response = session.request(
            trace["method"],
            self.url + trace["path"] + (f"?{trace['query']}" if trace["query"] else ""),
            headers={**kept, **headers},
            allow_redirects=False,
            timeout=10,
        )
        kind = response.headers["Content-Type"]
        is_json = kind == "application/json" and response.content
        recorded = (
            trace["status"],
            trace["content_type"],
            trace["location"],
            trace["set_cookie"],
            self._comparable(self.wanted, trace["body"]) if is_json else None,
        )
        answered = (
            response.status_code,
            kind,
            response.headers.get("Location"),
            "Set-Cookie" in response.headers,
            self._comparable(self.got, response.json()) if is_json else None,
        )
        return recorded, answered

    def _identity(self, trace: dict[str, Any]) -> tuple[requests.Session, dict[str, str]]:
        user = self.users.get(trace["user"])
        if trace["auth"] == "token" and user is not None:
            return requests.Session(), {"Authorization": f"Token {user.token}"}
        if trace["auth"] == "session" and user is not None:
            if user.name not in self.browsers:
                self.browsers[user.name] = Browser(self.url, user)
            browser = self.browsers[user.name]
            wants_csrf = "CSRF-Token" in trace["request_headers"]
            return browser.session, {"CSRF-Token": browser.nonce} if wants_csrf else {}
        return requests.Session(), {}

    @staticmethod
    def _comparable(names: Placeholders, body: Any) -> Any:
        text = json.dumps(names.apply(body))
        # A sub-domain made of a part of the uuid is as random as the uuid itself.
        return re.sub(r"http://2-[0-9a-f]{8}\.", "http://2-<part>.", text)


@pytest.fixture
def stage(world: WhaleWorld) -> Iterator[Stage]:
    with FakeWhale(world, clock=VirtualEpochClock()) as fake, fake.serve() as server:
        yield Stage(fake, server.url)


def playable(trace: dict[str, Any]) -> bool:
    """Not a call that needs a secret we do not have, a CTFd we do not imitate or its temp user."""
    named = "Authorization" in trace["request_headers"] and trace["auth"] == "none"
    temporary = "temp user" in trace["step"] or "deleted user" in trace["step"]
    # In this scenario sessions are lost and passwords changed between the exchanges.
    tampered = trace["scenario"] == "01-auth" and trace["auth"] != "none"
    elsewhere = trace["path"].startswith("/api/v1/users")
    return not (named or temporary or tampered or elsewhere)


@pytest.mark.parametrize(
    ("scenario", "least"),
    [("01-auth", 15), ("02-params", 120), ("06-user_access", 35), ("07-admin", 50)],
)
def test_the_fake_answers_as_recorded(stage: Stage, scenario: str, least: int) -> None:
    played = 0
    for trace in filter(playable, traces(scenario)):
        stage.prepare(trace)
        recorded, answered = stage.exchange(trace)
        assert answered == recorded, trace["step"]
        played += 1
    assert played >= least
