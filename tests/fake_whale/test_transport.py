"""Transport faults, as a plain socket or a plain HTTP client meets them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
import requests

from fake_whale import FakeServer, FakeWhale
from fake_whale.testing import PATH, WhalePlayer, said
from fake_whale.web.transport import SpoiledTask

Players = Callable[[str], WhalePlayer]


@pytest.fixture
def alice(player: Players) -> WhalePlayer:
    return player("alice")


def raw(server: FakeServer, player: WhalePlayer, *, most: int = 1_000_000) -> tuple[bytes, bool]:
    """What comes back on the bare socket (up to ``most`` bytes), and whether it was reset."""
    parts = urlsplit(server.url)
    with socket.create_connection(
        (parts.hostname or "", parts.port or 0), timeout=10
    ) as connection:
        connection.sendall(
            f"GET {PATH}?challenge_id=1 HTTP/1.1\r\nHost: whale\r\n"
            f"Authorization: Token {player.token}\r\n".encode()
            + b"Content-Type: application/json\r\n\r\n"
        )
        received = b""
        while len(received) < most:
            try:
                chunk = connection.recv(4096)
            except ConnectionResetError:
                return received, True
            if not chunk:
                break
            received += chunk
        return received, False


@contextmanager
def one_connection(server: FakeServer) -> Iterator[HTTPConnection]:
    """A connection that is not opened again when it was closed."""
    connection = HTTPConnection(server.host, server.port, timeout=5)
    connection.connect()
    connection.auto_open = 0
    with closing(connection):
        yield connection


def ask(connection: HTTPConnection, player: WhalePlayer) -> None:
    """A request, and all of its answer."""
    connection.request(
        "GET", f"{PATH}?challenge_id=1", headers={"Authorization": f"Token {player.token}"}
    )
    connection.getresponse().read()


def body_of(received: bytes) -> bytes:
    return received.partition(b"\r\n\r\n")[2]


def test_reset_before_headers(server: FakeServer, fake: FakeWhale, alice: WhalePlayer) -> None:
    fake.inject({"kind": "reset_before_headers"})
    assert raw(server, alice) == (b"", True)


def test_reset_after_headers(server: FakeServer, fake: FakeWhale, alice: WhalePlayer) -> None:
    fake.inject({"kind": "reset_after_headers"})
    received, reset = raw(server, alice)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body_of(received) == b""
    assert reset


def test_half_a_body(server: FakeServer, fake: FakeWhale, alice: WhalePlayer) -> None:
    fake.inject({"kind": "half_body"})
    received, reset = raw(server, alice)
    assert body_of(received) == b'{"success": true, "d'[: len(body_of(received))]
    assert 0 < len(body_of(received)) < len('{"success": true, "data": {}}\n')
    assert not reset


def test_an_endless_dribble(server: FakeServer, fake: FakeWhale, alice: WhalePlayer) -> None:
    fake.inject({"kind": "dribble", "seconds": 0.001})
    complete = len('{"success": true, "data": {}}\n')
    received, _ = raw(server, alice, most=600)
    assert len(body_of(received)) > complete


def test_an_empty_reply(server: FakeServer, fake: FakeWhale, alice: WhalePlayer) -> None:
    fake.inject({"kind": "empty_reply"})
    assert raw(server, alice) == (b"", False)
    with pytest.raises(requests.ConnectionError):
        alice.get(1)


def test_a_wrong_content_length(fake: FakeWhale, alice: WhalePlayer) -> None:
    fake.inject({"kind": "wrong_content_length"})
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        alice.get(1)


def test_html_instead_of_json(fake: FakeWhale, alice: WhalePlayer) -> None:
    fake.inject({"kind": "html"})
    answer = alice.get(1)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")


def test_a_bad_gateway(fake: FakeWhale, alice: WhalePlayer) -> None:
    fake.inject({"kind": "bad_gateway"})
    answer = alice.get(1)
    assert (answer.status_code, answer.headers["Server"]) == (502, "nginx")


def test_a_gateway_that_gives_up_while_whale_goes_on(fake: FakeWhale, alice: WhalePlayer) -> None:
    fake.inject({"kind": "late", "method": "POST", "when": "before"})
    answer = alice.post(1)
    assert (answer.status_code, answer.headers["Server"]) == (504, "nginx")
    assert alice.get(1).json() == {"success": True, "data": {}}
    fake.lift_faults()
    assert alice.get(1).json()["data"]
    fake.lift_faults()
    assert len(fake.state()["services"]) == 1


def test_a_call_that_is_given_up_while_the_fault_is_lifted_is_not_lost(fake: FakeWhale) -> None:
    fault = fake.inject({"kind": "late", "method": "POST", "when": "before"})
    worked: list[str] = []
    fake.machine.later(fault, lambda: worked.append("waiting"))
    assert not worked
    fake.lift_faults()
    fake.machine.later(fault, lambda: worked.append("too late to wait"))
    assert worked == ["waiting", "too late to wait"]


@pytest.mark.parametrize("kind", ["html", "bad_gateway"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_answers_in_between_keeps_the_connection(
    server: FakeServer, fake: FakeWhale, alice: WhalePlayer, kind: str, when: str
) -> None:
    fake.inject({"kind": kind, "when": when})
    with one_connection(server) as connection:
        for _ in range(5):
            ask(connection, alice)


def test_a_slow_first_byte_moves_a_virtual_clock(fake: FakeWhale, alice: WhalePlayer) -> None:
    fake.inject({"kind": "slow_first_byte", "seconds": 30})
    began = fake.clock.time()
    assert alice.get(1).json() == {"success": True, "data": {}}
    assert fake.clock.time() - began == 30


@pytest.mark.parametrize("end", ["lift_faults", "reset"])
def test_refuse(server: FakeServer, fake: FakeWhale, alice: WhalePlayer, end: str) -> None:
    parts = urlsplit(server.url)
    fake.inject({"kind": "refuse", "seconds": 60})
    with (
        pytest.raises(ConnectionRefusedError),
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5),
    ):
        pytest.fail("the connection was accepted")
    getattr(fake, end)()
    assert alice.get(1).status_code == 200


def test_refuse_closes_a_connection_that_was_just_answered(
    server: FakeServer, fake: FakeWhale, alice: WhalePlayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server still tidies up after its answer when its client is at the next call already."""
    refused = threading.Event()
    finish = SpoiledTask.finish

    def finish_late(task: SpoiledTask) -> None:
        refused.wait(10)
        finish(task)

    monkeypatch.setattr(SpoiledTask, "finish", finish_late)
    with one_connection(server) as connection:
        ask(connection, alice)
        fake.inject({"kind": "refuse", "seconds": 60})
        assert connection.sock is not None
        try:
            assert connection.sock.recv(1) == b"", "it is still open"
        finally:
            refused.set()


def test_refuse_over_http_is_still_answered(server: FakeServer, alice: WhalePlayer) -> None:
    placed = requests.post(
        f"{server.url}/_fake/faults", json={"kind": "refuse", "seconds": 0.05}, timeout=10
    )
    assert placed.status_code == 201
    while True:  # until the real time is over
        try:
            assert alice.get(1).status_code == 200
        except requests.ConnectionError:
            continue
        break


@pytest.mark.parametrize(("when", "records"), [("before", 0), ("after", 1)])
def test_a_lost_answer_may_have_been_carried_out(
    fake: FakeWhale, alice: WhalePlayer, when: str, records: int
) -> None:
    fake.inject({"kind": "reset_before_headers", "method": "POST", "when": when})
    with pytest.raises(requests.ConnectionError):
        alice.post(1)
    assert len(fake.state()["records"]) == records


def test_a_fault_is_for_one_user_path_and_count(
    fake: FakeWhale, alice: WhalePlayer, player: Players
) -> None:
    fake.inject({"kind": "bad_gateway", "user": "alice", "path": "*/container", "count": 1})
    assert player("bob").get(1).status_code == 200
    assert alice.call("GET", path="/api/v1/users/me").status_code == 200
    assert alice.get(1).status_code == 502
    assert alice.get(1).status_code == 200
    fired = [entry for entry in fake.journal() if entry["kind"] == "fault"]
    assert [(entry["fault"], entry["user"]) for entry in fired] == [("bad_gateway", "alice")]


def test_the_connection_after_a_spoilt_answer_is_well(fake: FakeWhale, alice: WhalePlayer) -> None:
    fake.inject({"kind": "half_body", "count": 1})
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        alice.get(1)
    assert said(alice.post(1)) == (200, "Container created")


def refused(player: WhalePlayer, method: str = "GET") -> bool:
    """Whether the call got no answer at all."""
    try:
        player.call(method, 1)
    except requests.ConnectionError:
        return True
    return False


@pytest.mark.parametrize(
    ("aim", "hits_bob", "hits_a_get"),
    [
        ({"user": "alice"}, False, True),
        ({"method": "POST"}, True, False),
        ({"path": "*/container"}, True, True),
        ({"user": "alice", "method": "POST"}, False, False),
    ],
)
def test_refuse_can_be_aimed(
    fake: FakeWhale,
    alice: WhalePlayer,
    player: Players,
    aim: dict[str, str],
    hits_bob: bool,
    hits_a_get: bool,
) -> None:
    fake.inject({"kind": "refuse", **aim})
    assert refused(alice, "POST")
    assert refused(player("bob"), "POST") is hits_bob
    assert refused(alice, "GET") is hits_a_get
    # Nothing of a refused call was carried out.
    assert len(fake.state()["records"]) == (0 if hits_bob else 1)


def test_refuse_counts(fake: FakeWhale, alice: WhalePlayer) -> None:
    fake.inject({"kind": "refuse", "count": 2})
    assert [refused(alice) for _ in range(4)] == [True, True, False, False]
    assert [entry["fault"] for entry in fake.journal() if entry["kind"] == "fault"] == [
        "refuse"
    ] * 2


def test_refuse_by_chance(fake: FakeWhale, alice: WhalePlayer) -> None:
    fake.inject({"kind": "refuse", "probability": 0.5})
    assert {refused(alice) for _ in range(40)} == {True, False}


def test_a_call_can_bring_the_server_down(
    server: FakeServer, fake: FakeWhale, alice: WhalePlayer, player: Players
) -> None:
    fake.inject({"kind": "refuse", "user": "alice", "method": "POST", "seconds": 60})
    assert not refused(player("bob"))
    assert refused(alice, "POST")
    parts = urlsplit(server.url)
    with (
        pytest.raises(ConnectionRefusedError),
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5),
    ):
        pytest.fail("the connection was accepted")
    fake.lift_faults()
    assert not refused(player("bob"), "POST")
