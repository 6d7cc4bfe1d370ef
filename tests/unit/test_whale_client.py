"""The HTTP client: what it sends, what it keeps, and how it fails."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import requests
import responses

from engines.contract import Code
from engines.errors import WhaleFault
from engines.whale.client import BACK_OFF_SECONDS, MAX_BODY_BYTES, WhaleAnswer, WhaleClient

BASE = "http://whale.example.org"
TOKEN = {"Authorization": "Token ctfd_secret"}


@contextmanager
def client_for(
    base: str = BASE,
    *,
    seconds: float = 5,
    observer: Callable[[WhaleAnswer], None] | None = None,
) -> Iterator[WhaleClient]:
    client = WhaleClient(base, call_seconds=seconds, observer=observer)
    try:
        yield client
    finally:
        client.close()


@responses.activate
def test_every_request_declares_json_and_carries_no_cookie_of_an_earlier_answer() -> None:
    responses.get(f"{BASE}/c", json={"success": True}, headers={"Set-Cookie": "session=alice"})
    with client_for() as client:
        client.call("GET", "/c", TOKEN)
        client.call("GET", "/c", {})
    first, second = (call.request.headers for call in responses.calls)
    assert first["Content-Type"] == second["Content-Type"] == "application/json"
    assert first["Authorization"] == "Token ctfd_secret"
    assert "Cookie" not in second
    assert "Authorization" not in second


@responses.activate
def test_an_address_may_end_in_a_slash() -> None:
    responses.get(f"{BASE}/c", json={"success": True})
    with client_for(f"{BASE}/") as client:
        assert client.call("GET", "/c", TOKEN).status == 200


@responses.activate
def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    responses.get(f"{BASE}/c", status=302, headers={"Location": f"{BASE}/login"})
    login = responses.get(f"{BASE}/login", body="<html>")
    with client_for() as client:
        assert client.call("GET", "/c", TOKEN).status == 302
    assert login.call_count == 0


@responses.activate
def test_the_observer_sees_the_answer_and_no_header() -> None:
    seen: list[WhaleAnswer] = []
    responses.get(
        f"{BASE}/c", json={"a": 1}, status=403, content_type="application/json; charset=utf-8"
    )
    with client_for(observer=seen.append) as client:
        answer = client.call("GET", "/c", TOKEN)
    assert seen == [answer]
    assert (answer.status, answer.content_type, answer.body) == (403, "application/json", {"a": 1})
    assert "ctfd_secret" not in repr(seen)


@responses.activate
@pytest.mark.parametrize("body", [b"<html>", b"", b"\xff\xfe", b'{"a": '])
def test_a_body_that_is_no_json_is_none(body: bytes) -> None:
    responses.get(f"{BASE}/c", body=body)
    with client_for() as client:
        assert client.call("GET", "/c", TOKEN).body is None


@responses.activate
@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"success": False, "message": "wait " * 200_000}),
        json.dumps({"a": [{"b" * 9: "x" * 4097}]}),
        "[" * 900_000,
        '{"data": ' * 100_000,
        json.dumps([[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]),
    ],
    ids=["a long message", "a long text inside", "brackets", "objects", "a list too deep"],
)
def test_a_body_beyond_all_bounds_is_none(body: str) -> None:
    """A megabyte of "wait " kept the words of rate limits busy for hours."""
    responses.get(f"{BASE}/c", body=body)
    with client_for() as client:
        assert client.call("GET", "/c", TOKEN).body is None


def test_cookies_are_read_and_never_complained_of() -> None:
    """A cookie jar writes a traceback to stderr about the second; a warning is an error here."""
    head = (
        "Set-Cookie: session=abc; Path=/; HttpOnly\r\n"
        f"Set-Cookie: a=b; max-age={'9' * 400}\r\nSet-Cookie: nothing\r\n"
        "Content-Type: application/json; charset\r\n"
    )
    with hanging(_answering(head, b"{}")) as server, client_for(server.url) as client:
        page = client.page("GET", "/login", {})
    assert page.cookies == {"session": "abc", "a": "b"}
    assert page.content_type == "application/json"


@responses.activate
def test_an_endless_body_is_cut_off() -> None:
    responses.get(f"{BASE}/c", body=b"x" * (MAX_BODY_BYTES + 1))
    with client_for() as client, pytest.raises(WhaleFault) as caught:
        client.call("GET", "/c", TOKEN)
    assert caught.value.code is Code.UNAVAILABLE


@responses.activate
def test_a_fault_never_quotes_the_request() -> None:
    responses.get(f"{BASE}/c", body=requests.exceptions.InvalidHeader("Token ctfd_secret"))
    with client_for() as client, pytest.raises(WhaleFault) as caught:
        client.call("GET", "/c", TOKEN)
    assert "ctfd_secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_refused_connection_is_definite_for_a_write() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with client_for(f"http://127.0.0.1:{port}") as client, pytest.raises(WhaleFault) as caught:
        client.call("POST", "/c", TOKEN)
    assert (caught.value.code, caught.value.definite) == (Code.UNAVAILABLE, True)


class Hanging:
    """A server that reads a request and then does as told; counts the requests it saw."""

    def __init__(self, reply: Callable[[socket.socket], None]) -> None:
        self._reply = reply
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests = 0
        self.released = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                if connection.recv(65536):
                    self.requests += 1
                    self._reply(connection)

    def close(self) -> None:
        self.released.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@contextmanager
def hanging(reply: Callable[[socket.socket], None]) -> Iterator[Hanging]:
    server = Hanging(reply)
    try:
        yield server
    finally:
        server.close()


def test_a_write_whose_connection_breaks_is_sent_once_and_its_outcome_is_open() -> None:
    with hanging(lambda connection: None) as server, client_for(server.url) as client:
        with pytest.raises(WhaleFault) as caught:
            client.call("POST", "/c", TOKEN)
        assert (caught.value.code, caught.value.definite) == (Code.UNAVAILABLE, False)
        assert server.requests == 1


def test_a_read_whose_connection_breaks_is_tried_again() -> None:
    with hanging(lambda connection: None) as server, client_for(server.url) as client:
        with pytest.raises(WhaleFault) as caught:
            client.call("GET", "/c", TOKEN)
        assert caught.value.definite is True
        assert server.requests == 3


@responses.activate
def test_each_pause_between_reads_is_twice_as_long_and_up_to_twice_that_by_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    responses.get(f"{BASE}/c", status=502)
    pauses: list[float] = []
    monkeypatch.setattr("engines.whale.client.time.sleep", pauses.append)
    with client_for() as client:
        client.call("GET", "/c", TOKEN)
    first, second = pauses
    assert BACK_OFF_SECONDS <= first <= 2 * BACK_OFF_SECONDS
    assert 2 * BACK_OFF_SECONDS <= second <= 4 * BACK_OFF_SECONDS


def test_a_body_that_dribbles_ends_with_the_deadline() -> None:
    def dribble(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            while not server.released.wait(0.05):
                connection.sendall(b"x")
        except OSError:
            return  # the client hung up, as it should

    with hanging(dribble) as server, client_for(server.url, seconds=0.3) as client:
        with pytest.raises(WhaleFault) as caught:
            client.call("POST", "/c", TOKEN)
        assert caught.value.definite is False


def test_headers_that_dribble_end_with_the_deadline() -> None:
    def dribble(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        try:
            while not server.released.wait(0.05):
                connection.sendall(b"x")  # one line that never ends: http.client counts lines
        except OSError:
            return  # the client hung up, as it should

    with hanging(dribble) as server, client_for(server.url, seconds=0.3) as client:
        for method, definite in (("POST", False), ("GET", True)):
            with pytest.raises(WhaleFault) as caught:
                client.call(method, "/c", TOKEN)
            assert caught.value.definite is definite
        server.released.set()  # closing the client waits for a sign of life that is under way


def test_a_gateways_refusal_of_a_read_is_asked_again() -> None:
    def busy(connection: socket.socket) -> None:
        last = server.requests == 3
        connection.sendall(b"HTTP/1.1 200 OK\r\n" if last else b"HTTP/1.1 503 Busy\r\n")
        connection.sendall(b"Content-Length: 2\r\nConnection: close\r\n\r\n{}")

    with hanging(busy) as server, client_for(server.url) as client:
        assert client.call("GET", "/c", TOKEN).status == 200
        assert server.requests == 3
    with hanging(busy) as server, client_for(server.url) as client:
        assert client.call("POST", "/c", TOKEN).status == 503
        assert server.requests == 1


def test_a_connection_is_used_again() -> None:
    connections = 0

    def reply(connection: socket.socket) -> None:
        nonlocal connections
        connections += 1
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        connection.sendall(answer)
        while connection.recv(65536):
            connection.sendall(answer)

    with hanging(reply) as server:
        with client_for(server.url) as client:
            for _ in range(5):
                assert client.call("GET", "/c", TOKEN).body == {}
        assert connections == 1


def _layers(content: bytes, layers: int) -> bytes:
    for _ in range(layers):
        content = gzip.compress(content, mtime=0)
    return content


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A quarter of a gibibyte of zeros, packed once."""
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    block = bytes(1 << 20)
    return b"".join(packer.compress(block) for _ in range(256)) + packer.flush()


def _answering(head: str, body: bytes) -> Callable[[socket.socket], None]:
    text = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{head}Connection: close\r\n\r\n"

    def reply(connection: socket.socket) -> None:
        with suppress(OSError):  # who has read enough hangs up
            connection.sendall(text.encode() + body)

    return reply


@pytest.mark.parametrize("layers", [1, 2, 3, 6])
def test_a_packed_body_is_never_unpacked_beyond_the_limit(bomb: bytes, layers: int) -> None:
    body = _layers(bomb, layers - 1)
    encoding = ", ".join(["gzip"] * layers)
    reply = _answering(f"Content-Encoding: {encoding}\r\n", body)
    with hanging(reply) as server, client_for(server.url, seconds=60) as client:
        tracemalloc.start()
        try:
            with pytest.raises(WhaleFault) as caught:
                client.call("POST", "/c", TOKEN)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert caught.value.code is Code.UNAVAILABLE
    assert peak < 8 * MAX_BODY_BYTES, f"{len(body)} bytes took {peak >> 20} MiB"


def test_a_proxys_gzip_is_understood() -> None:
    body = gzip.compress(b'{"success": true}')
    reply = _answering("Content-Encoding: gzip\r\n", body)
    with hanging(reply) as server, client_for(server.url) as client:
        assert client.call("GET", "/c", TOKEN).body == {"success": True}


@pytest.mark.parametrize(
    "body", [gzip.compress(b"{}", mtime=0)[:-9], b"no gzip at all"], ids=["cut off", "none"]
)
def test_a_broken_gzip_is_no_answer(body: bytes) -> None:
    reply = _answering("Content-Encoding: gzip\r\n", body)
    with (
        hanging(reply) as server,
        client_for(server.url) as client,
        pytest.raises(WhaleFault) as caught,
    ):
        client.call("POST", "/c", TOKEN)
    assert (caught.value.code, caught.value.definite) == (Code.UNAVAILABLE, False)
