"""Recorded sessions: what was asked of a Whale, when, and what it answered.

One JSON object a line, ``{"id", "config"?, "steps": [...]}``; a session begins in an empty world
with ``config`` laid over its settings. A step's fields are those of :class:`Ask` and
:class:`RecordedAnswer`; uuids stand as ``<uuid-1>``, ``<uuid-2>`` in order of appearance, direct
ports as ``<port>``. Everything is checked on reading, so that a broken file says where it is
broken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from ..whale.errors import FakeWhaleError

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_DIRECT_PORT = re.compile(r"^(nc \S* )\d+$")


class Auth(str, Enum):
    """How an actor shows who it is."""

    NONE = "none"
    TOKEN = "token"  # noqa: S105  # the name of a way to log in
    SESSION = "session"
    TOKEN_WITH_JAR = "token+jar"  # noqa: S105  # as above


class Csrf(str, Enum):
    """What a session write shows as CSRF token."""

    OK = "ok"
    MISSING = "missing"
    WRONG = "wrong"


@dataclass(frozen=True)
class Ask:
    """What one step asks, and ``wait`` seconds after the answer before it."""

    wait: float
    actor: str
    auth: Auth
    login: int
    method: str
    challenge_id: str | None
    json: bool
    csrf: Csrf


@dataclass(frozen=True)
class RecordedAnswer:
    """What came back, with uuids and ports as placeholders; ``took`` in seconds."""

    status: int
    content_type: str | None
    location: str | None
    body: Any
    took: float = 0.0


@dataclass(frozen=True)
class RecordedStep:
    """One exchange."""

    ask: Ask
    answer: RecordedAnswer


@dataclass(frozen=True)
class RecordedSession:
    """A run of steps that begins in an empty world with ``config`` laid over its settings."""

    id: str
    config: Mapping[str, str]
    steps: tuple[RecordedStep, ...]

    def as_json(self) -> str:
        """One line of a sessions file."""
        rows = [
            {
                "wait": step.ask.wait,
                "took": round(step.answer.took, 2),
                "actor": step.ask.actor,
                "auth": step.ask.auth.value,
                "login": step.ask.login,
                "method": step.ask.method,
                "challenge_id": step.ask.challenge_id,
                "json": step.ask.json,
                "csrf": step.ask.csrf.value,
                "status": step.answer.status,
                "content_type": step.answer.content_type,
                "location": step.answer.location,
                "body": step.answer.body,
            }
            for step in self.steps
        ]
        line: dict[str, Any] = {"id": self.id}
        if self.config:
            line["config"] = dict(self.config)
        return json.dumps({**line, "steps": rows})


class Placeholders:
    """Puts ``<uuid-1>``, ``<uuid-2>`` … for uuids in order of appearance, ``<port>`` for ports."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def apply(self, value: Any) -> Any:
        """``value`` (parsed JSON) with placeholders."""
        if isinstance(value, dict):
            return {key: self.apply(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.apply(item) for item in value]
        if isinstance(value, str):
            return _DIRECT_PORT.sub(r"\1<port>", _UUID.sub(self._name, value))
        return value

    def _name(self, found: re.Match[str]) -> str:
        return self._names.setdefault(found.group(), f"<uuid-{len(self._names) + 1}>")


def read_sessions(path: str | Path) -> list[RecordedSession]:
    """All sessions of a file; raises :class:`FakeWhaleError` naming line and field."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise FakeWhaleError(f"sessions file {path}: {error.strerror or error}") from error
    return parse_sessions(lines, str(path))


def parse_sessions(lines: Iterable[str], where: str) -> list[RecordedSession]:
    """Sessions from lines of JSON; raises :class:`FakeWhaleError`."""
    sessions = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            sessions.append(_session(line, f"{where}:{number}"))
    return sessions


def _session(line: str, where: str) -> RecordedSession:
    try:
        data = json.loads(line)
    except ValueError as error:
        raise FakeWhaleError(f"{where}: not JSON ({error})") from error
    if not isinstance(data, dict) or not isinstance(data.get("id"), str):
        raise FakeWhaleError(f"{where}: must be a JSON object with a text 'id'")
    steps = data.get("steps")
    if not isinstance(steps, list):
        raise FakeWhaleError(f"{where}.steps: must be a list")
    config = data.get("config") or {}
    if not isinstance(config, dict):
        raise FakeWhaleError(f"{where}.config: must be a JSON object")
    return RecordedSession(
        data["id"],
        {str(key): str(value) for key, value in config.items()},
        tuple(_step(step, f"{where}.steps[{index}]") for index, step in enumerate(steps)),
    )


def _step(data: Any, where: str) -> RecordedStep:
    if not isinstance(data, dict):
        raise FakeWhaleError(f"{where}: must be a JSON object")
    missing = [name for name in ("wait", "actor", "auth", "method", "status") if name not in data]
    if missing:
        raise FakeWhaleError(f"{where}.{missing[0]}: missing")
    challenge_id = data.get("challenge_id")
    try:
        ask = Ask(
            wait=float(data["wait"]),
            actor=str(data["actor"]),
            auth=Auth(data["auth"]),
            login=int(data.get("login") or 1),
            method=str(data["method"]),
            challenge_id=None if challenge_id is None else str(challenge_id),
            json=bool(data.get("json", True)),
            csrf=Csrf(data.get("csrf") or "ok"),
        )
        answer = RecordedAnswer(
            status=int(data["status"]),
            content_type=data.get("content_type"),
            location=data.get("location"),
            body=data.get("body"),
            took=float(data.get("took") or 0.0),
        )
    except (TypeError, ValueError) as error:
        raise FakeWhaleError(f"{where}: {error}") from error
    return RecordedStep(ask, answer)
