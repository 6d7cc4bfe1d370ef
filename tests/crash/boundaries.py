"""The boundaries of an operation: the moments before and after each effect outside the process.

An effect is a database transaction, a request to the Docker engine or a program that is run. They
are found where they leave the process, so the list follows the code under test by itself. Every
request that changes something has a third boundary, between its being sent and its answer.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import docker
import sqlalchemy as sa
from urllib3.connection import HTTPConnection


@dataclass(frozen=True)
class Boundary:
    """A moment of an operation."""

    name: str
    address: str = ""
    """Of a request that is under way, with its method and whatever it names: what Docker may still
    be at work on, as ``POST containers/create wr-…``."""


class Boundaries:
    """Notes the boundaries of this process, and kills it at the one numbered ``kill_at``.

    Args:
        kill_at: counted from 0; None kills nowhere.
        last_words: called just before the kill.
    """

    def __init__(self, kill_at: int | None, last_words: Callable[[Boundary], None]) -> None:
        self.passed: list[Boundary] = []
        self._kill_at = kill_at
        self._last_words = last_words
        self._lock = threading.Lock()
        self._thread = threading.local()

    def reach(self, name: str, address: str = "") -> None:
        """A boundary; does not return when it is the last."""
        with self._lock:
            self.passed.append(Boundary(name, address))
            if len(self.passed) - 1 == self._kill_at:
                self._last_words(self.passed[-1])
                os.kill(os.getpid(), signal.SIGKILL)

    def watch_database(self, engine: sa.engine.Engine) -> None:
        """Begin, commit and committed of every transaction."""
        commit = engine.dialect.do_commit

        def begin(_connection: Any) -> None:
            self._thread.changes = []
            self.reach("transaction: not begun")

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if found := re.match(r"(INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)", statement):
                self._thread.changes.append(" ".join(found.groups()))

        def do_commit(connection: Any) -> None:
            what = ", ".join(self._thread.changes) or "read"
            self.reach(f"{what}: not committed")
            commit(connection)
            self.reach(f"{what}: committed")

        sa.event.listen(engine, "begin", begin)
        sa.event.listen(engine, "before_cursor_execute", note)
        engine.dialect.do_commit = do_commit  # type: ignore[assignment,method-assign] # no event is after

    def watch_docker(self, client: docker.DockerClient) -> None:
        """Every request of this client: not sent, sent, answered."""
        session: Any = client.api
        send, answer = session.send, HTTPConnection.getresponse

        def watched_send(request: Any, **options: Any) -> Any:
            if _path(request) == "_ping":
                return send(request, **options)  # the pulse's, where a request takes long
            name = f"{request.method} {re.sub(r'[0-9a-f]{64}', '*', _path(request))}"
            self.reach(f"{name}: not sent")
            self._thread.asked = (name, _address(request)) if request.method != "GET" else None
            answered = send(request, **options)
            self.reach(f"{name}: answered")
            return answered

        def watched_answer(connection: HTTPConnection) -> Any:
            asked = getattr(self._thread, "asked", None)
            if asked is not None:
                self._thread.asked = None
                self.reach(f"{asked[0]}: sent", asked[1])
            return answer(connection)

        session.send = watched_send
        HTTPConnection.getresponse = watched_answer  # type: ignore[assignment,method-assign] # a child's

    def watch_programs(self) -> None:
        """Every program that is run, before it is."""

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "subprocess.Popen":
                self.reach(f"run {arguments[0]}")

        sys.addaudithook(hook)


def _path(request: Any) -> str:
    """Without the version in front."""
    return str(urlsplit(request.url).path).partition("/v1.")[2].partition("/")[2]


def _address(request: Any) -> str:
    named = parse_qs(urlsplit(request.url).query).get("name", [""])[0]
    if not named and request.body:
        named = json.loads(request.body).get("Name", "")
    return f"{request.method} {_path(request)} {named}"
