"""The endpoints over a backend under test, served on a real socket, and a browser for its players.

Every answer is checked for its shape, whatever was asked. What the backend does wrong behind the
endpoints shows as an answer that a scenario does not expect, or as none.
"""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Flask, Request
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from conformance.harness import Player
from conformance.spec.shape import STATUS_TYPES, RuleBroken, check_message, check_status
from conformance.spec.watch import WatchedBackend
from engines.bulk_stop import Chosen, InstanceSelection
from engines.contract import LARGEST_ID, ContainerBackend, InstanceStatus
from engines.errors import BackendUnavailable
from engines.web import KEYS, PREFIX, Caller, container_blueprint
from engines.web.overview import HistoryPage, HistoryQuery, LiveInstance, Overview

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SHAPE_RULE = "HTTP-001"
CSRF_HEADER = "CSRF-Token"
ADMIN = LARGEST_ID
"""An admin's user id, which no player has."""
_POLL_SECONDS = 0.01
LOOPBACK = "127.0.0.1"
SHOWN_BYTES = 200
"""Of a body, in a trace."""


@dataclass(frozen=True)
class WebAnswer:
    """An answer whose shape is as it must be."""

    status: int
    success: bool
    message: str
    data: dict[str, Any] | None
    code: str
    retry_after: int | None
    headers: Mapping[str, str]


class Logins:
    """Who is logged in: a session cookie per player, with a CSRF token of its own."""

    def __init__(self) -> None:
        self._sessions: dict[str, Caller] = {}
        self._nonces: dict[str, str] = {}

    def log_in(self, player: Player, *, as_admin: bool = False) -> dict[str, str]:
        """The headers of a player's browser, or of an admin's."""
        session, nonce = secrets.token_hex(16), secrets.token_hex(16)
        self._sessions[session] = Caller(player.user_id, player.team_id, as_admin)
        self._nonces[session] = nonce
        return {"Cookie": f"session={session}", CSRF_HEADER: nonce}

    def who(self, request: Request) -> Caller | None:
        return self._sessions.get(request.cookies.get("session", ""))

    def csrf_ok(self, request: Request) -> bool:
        nonce = self._nonces.get(request.cookies.get("session", ""))
        return nonce is not None and request.headers.get(CSRF_HEADER) == nonce


class Web:
    """The endpoints, asked as players' browsers ask. May be used from many threads."""

    def __init__(self, address: tuple[str, int], logins: Logins, watched: WatchedBackend) -> None:
        self._address = address
        self._logins = logins
        self._watched = watched

    def start(self, player: Player, challenge: int) -> WebAnswer:
        return self.post(player, "start", {"challenge_id": challenge})

    def extend(self, player: Player, challenge: int) -> WebAnswer:
        return self.post(player, "extend", {"challenge_id": challenge})

    def stop(self, player: Player, challenge: int) -> WebAnswer:
        return self.post(player, "stop", {"challenge_id": challenge})

    def status(self, player: Player, challenge: int) -> WebAnswer:
        return self._ask(player, "GET", f"status?challenge_id={challenge}", None, {})

    def post(
        self, player: Player, path: str, body: object, headers: Mapping[str, str] | None = None
    ) -> WebAnswer:
        """Ask for a change with any body, bytes as they are; ``path`` may have a query."""
        return self._ask(player, "POST", path, body, headers or {})

    def log_in(self, player: Player) -> dict[str, str]:
        """The headers of another browser of the player's, for :meth:`ask`."""
        return self._logins.log_in(player)

    def log_in_admin(self) -> dict[str, str]:
        """The headers of an admin's browser, for :meth:`ask`."""
        return self._logins.log_in(Player(ADMIN), as_admin=True)

    def ask(
        self, method: str, path: str, body: object, headers: Mapping[str, str], who: str
    ) -> WebAnswer:
        """Send any request, bytes as they are; ``who`` is for the trace."""
        return self._send(method, path, body, headers, who)

    def listed(self, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
        """What an admin is shown: the data of an answer that is no instance's."""
        return self._data("HTTP-031", "GET", path, None, headers)

    def ordered(
        self, rule: str, path: str, body: object, headers: Mapping[str, str]
    ) -> dict[str, Any]:
        """What has become of an admin's order: the same, where ``rule`` demands one."""
        return self._data(rule, "POST", path, json.dumps(body).encode(), headers)

    def _data(
        self, rule: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> dict[str, Any]:
        text = f"{method} {path} {'' if body is None else body.decode()} by an admin"
        everything = {"Content-Type": "application/json", **headers}
        with self._watched.underway(text):
            status, _, raw = self._exchange(method, path, body, everything)
        self._watched.answered(f"{text} -> {status} {raw.strip()}")
        self._watched.check_secrets(raw)
        data = json.loads(raw)["data"] if status == HTTPStatus.OK else None
        if not isinstance(data, dict):
            raise RuleBroken(rule, f"{text} is answered {status}, without what is to be told")
        return data

    def _ask(
        self, player: Player, method: str, path: str, body: object, headers: Mapping[str, str]
    ) -> WebAnswer:
        everything = {**headers, **self._logins.log_in(player)}
        return self._send(method, path, body, everything, f"user {player.user_id}")

    def _send(
        self, method: str, path: str, body: object, headers: Mapping[str, str], who: str
    ) -> WebAnswer:
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        shown = "" if sent is None else f" {sent[:SHOWN_BYTES].decode(errors='replace')}"
        text = f"{method} {path}{shown} by {who}"
        everything = {"Content-Type": "application/json", **headers}
        try:
            with self._watched.underway(text):
                status, told, raw = self._exchange(method, path, sent, everything)
        except (OSError, http.client.HTTPException) as error:
            self._watched.answered(f"{text} got no answer: {type(error).__name__}")
            raise RuleBroken(SHAPE_RULE, f"{method} {path} was not answered") from error
        self._watched.answered(f"{text} -> {status} {raw.strip()}")
        self._watched.check_secrets(raw)
        return _checked(status, told, raw)

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], str]:
        connection = http.client.HTTPConnection(*self._address)
        try:
            chunked = "Transfer-Encoding" in headers
            target = f"{PREFIX}/{path}"
            connection.request(method, target, body, dict(headers), encode_chunked=chunked)
            with connection.getresponse() as response:
                raw = response.read().decode("utf-8", "replace")
                return response.status, dict(response.getheaders()), raw
        finally:
            connection.close()


class Passing:
    """Stands between the endpoints and the backend under test, and passes everything on.

    The endpoints are to be shown something that has to be brought about right there.
    """

    def __init__(self, tested: ContainerBackend) -> None:
        self._tested = tested

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tested, name)


class EndsOnSolve(Passing):
    """An instance ends when its challenge is solved."""

    def ends_on_solve(self, challenge_id: int) -> bool:
        return True


class GoesOnAfterSolves(Passing):
    """An instance goes on when its challenge is solved."""

    def ends_on_solve(self, challenge_id: int) -> bool:
        return False


class NotSeenAfterwards(Passing):
    """Nobody can look at an instance."""

    def get_instance_status(self, *_args: Any, **_named: Any) -> InstanceStatus | None:
        raise BackendUnavailable("what the backend stands on is out of reach since the call")


class _Nothing:
    """What admins see where the harness does not tell."""

    def live(self) -> list[LiveInstance]:
        return []

    def history(self, query: HistoryQuery) -> HistoryPage:
        return HistoryPage([], None)

    def chosen(self, selection: InstanceSelection) -> list[Chosen]:
        return []


@contextmanager
def served(
    backend: ContainerBackend, watched: WatchedBackend, overview: Overview | None
) -> Iterator[Web]:
    """Serve the endpoints over ``backend`` on loopback; ``watched`` takes note of the calls.

    Without an ``overview`` admins see empty lists.
    """
    logins = Logins()
    app = Flask(__name__)
    seen = _Nothing() if overview is None else overview
    app.register_blueprint(container_blueprint(lambda: backend, logins, overview=seen))
    with serving(app) as address:
        yield Web(address, logins, watched)


@contextmanager
def serving(app: Flask, host: str = LOOPBACK, port: int = 0) -> Iterator[tuple[str, int]]:
    """Serve an application, on any free port for ``port`` 0; gives host and port.

    Raises:
        OSError: it cannot listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Bound here, for Werkzeug would end the process where it cannot.
    with socket.create_server((host, port), family=family) as listener:
        server = make_server(
            host,
            listener.getsockname()[1],
            _contained(app),
            threaded=True,
            request_handler=_QuietHandler,
            fd=listener.fileno(),
        )
    thread = threading.Thread(target=_run, args=(server,), name="endpoints", daemon=True)
    thread.start()
    try:
        yield host, server.port
    finally:
        server.shutdown()
        thread.join()


def _contained(app: WSGIApplication) -> WSGIApplication:
    """A backend that would end the run ends its own request, with what is no answer of ours."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return app(environ, start_response)
        except BaseException as error:  # noqa: BLE001 - SystemExit too; on a thread it ends nothing
            start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
            return [type(error).__name__.encode()]

    return answer


class _QuietHandler(WSGIRequestHandler):
    """Writes no line per request: the trace has them."""

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - Werkzeug's name
        pass


def _run(server: BaseWSGIServer) -> None:
    server.serve_forever(poll_interval=_POLL_SECONDS)


def _checked(status: int, headers: Mapping[str, str], raw: str) -> WebAnswer:
    """The answer, when it has the shape of every answer."""
    if headers.get("Content-Type", "").partition(";")[0] != "application/json":
        raise RuleBroken(SHAPE_RULE, f"answered {status}, but not with JSON")
    try:
        body = json.loads(raw)
    except ValueError:
        raise RuleBroken(SHAPE_RULE, f"answered {status} with what is no JSON") from None
    if not isinstance(body, dict) or set(body) != set(KEYS):
        raise RuleBroken(SHAPE_RULE, f"an answer has the keys {', '.join(KEYS)}, not {raw.strip()}")
    if "no-store" not in headers.get("Cache-Control", ""):
        raise RuleBroken(SHAPE_RULE, f"answered {status}, and a cache on the way may keep it")
    answer = WebAnswer(status=status, headers=headers, **body)
    _check_types(answer)
    _check_data(answer)
    return answer


def _check_types(answer: WebAnswer) -> None:
    if answer.success is not (answer.status < 300):
        said = answer.success
        raise RuleBroken(SHAPE_RULE, f"answered {answer.status}, but success is {said!r}")
    if type(answer.message) is not str or type(answer.code) is not str or not answer.code:
        raise RuleBroken(SHAPE_RULE, "message and code are text")
    check_message(answer.message)
    when, header = answer.retry_after, answer.headers.get("Retry-After")
    if when is not None and (type(when) is not int or when < 1):
        raise RuleBroken(SHAPE_RULE, f"retry_after is {when!r}, not whole seconds or null")
    if header != (None if when is None else str(when)):
        raise RuleBroken(SHAPE_RULE, f"retry_after is {when!r}, but Retry-After {header!r}")


def _check_data(answer: WebAnswer) -> None:
    if answer.data is None:
        return
    if not answer.success:
        raise RuleBroken(SHAPE_RULE, f"a refusal carries data: {answer.data!r}")
    check_status(answer.data)
    more = sorted(set(answer.data) - set(STATUS_TYPES))
    if more:
        raise RuleBroken(SHAPE_RULE, f"an instance has keys of no contract: {', '.join(more)}")
