"""The gate on the way to a server: a real server behind it, real connections through it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests
import trustme
from flask import Flask, request
from preflight.tls_front import https

from conformance.harness import CannotRun, FaultKind
from conformance.harnesses.gate import ConnectionGate, reaching
from conformance.harnesses.staging import Staging
from conformance.harnesses.world_file import StagingFile, Through
from conformance.spec.web import serving


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """An HTTP server, and what it was asked."""
    app, asked = Flask("server"), []

    @app.route("/", methods=["GET", "POST"])
    def answer() -> str:
        asked.append(f"{request.method} {request.host}")
        return "from the server"

    with serving(app) as (host, port):
        yield f"http://{host}:{port}", asked


@pytest.fixture
def gate(server: tuple[str, list[str]]) -> Iterator[ConnectionGate]:
    with closing(ConnectionGate(reaching(server[0]), "ctf.example.org")) as gate:
        yield gate


def ask(gate: ConnectionGate, method: str = "GET", session: requests.Session | None = None) -> str:
    """The answer, or what went wrong."""
    try:
        answer = (session or requests).request(method, gate.url, timeout=10)
    except requests.ConnectionError as error:
        return "refused" if "Connection refused" in str(error) else "broken off"
    return answer.text


def test_it_leads_there_and_tells_the_servers_own_name(
    gate: ConnectionGate, server: tuple[str, list[str]]
) -> None:
    with requests.Session() as session:
        assert [ask(gate, method, session) for method in ("GET", "POST")] == ["from the server"] * 2
    assert server[1] == ["GET ctf.example.org", "POST ctf.example.org"]


@pytest.mark.parametrize(
    ("kind", "read", "written", "reached"),
    [
        (FaultKind.UNREACHABLE, "refused", "refused", []),
        (FaultKind.LOST_REQUEST, "from the server", "broken off", ["GET"]),
        (FaultKind.LOST_ANSWER, "from the server", "broken off", ["GET", "POST"]),
        (FaultKind.GARBAGE, "Welcome", "Welcome", ["GET", "POST"]),
    ],
    ids=lambda value: value.value if isinstance(value, FaultKind) else "",
)
def test_how_it_goes_wrong(
    gate: ConnectionGate,
    server: tuple[str, list[str]],
    kind: FaultKind,
    read: str,
    written: str,
    reached: list[str],
) -> None:
    with requests.Session() as session:  # whose connection is open when it begins
        assert ask(gate, session=session) == "from the server"
        server[1].clear()
        with gate.fault(kind):
            assert read in ask(gate, session=session)
            assert written in ask(gate, "POST", session)
        assert [each.partition(" ")[0] for each in server[1]] == reached
        assert ask(gate, "POST", session) == "from the server"


def test_a_server_by_https_is_trusted_as_the_caller_says(server: tuple[str, list[str]]) -> None:
    authority = trustme.CA()

    def trusting() -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    with https(server[0], authority.issue_cert("127.0.0.1").configure_cert) as url:
        with closing(ConnectionGate(reaching(url, trusting))) as gate:
            assert ask(gate) == "from the server"
        with closing(ConnectionGate(reaching(url))) as gate:
            assert ask(gate) == "broken off"


def test_a_server_on_a_unix_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with (
            closing(ConnectionGate(reaching(f"unix://{tmp_path}/s"))) as gate,
            socket.create_connection(gate.address, 10) as caller,
        ):
            server, _ = listener.accept()
            with server:
                caller.sendall(b"no request of HTTP")
                assert server.recv(100) == b"no request of HTTP"
                server.sendall(b"and its answer")
            assert caller.recv(100) == b"and its answer"
            assert caller.recv(100) == b""


def test_a_site_is_given_back_as_it_was(server: tuple[str, list[str]], tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = free.getsockname()
    clock = tmp_path / "clock"
    staging = Staging(StagingFile(frpc=Through(listen, server[0]), clock_file=clock))
    staging.open()
    url = f"http://{listen[0]}:{listen[1]}"
    assert requests.get(url, timeout=10).ok
    with staging.refusing(), pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=10)
    before = staging.clock.now()
    staging.clock.advance(3600)
    assert (staging.clock.now() - before).total_seconds() >= 3600
    assert clock.read_text() == "+3600.000\n"
    staging.close()
    assert clock.read_text() == "+0.000\n"
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=10)


def test_a_site_that_cannot_be_had(server: tuple[str, list[str]], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        way = Through(taken.getsockname(), server[0])
        with pytest.raises(CannotRun, match="staging: no listening on"):
            Staging(StagingFile(docker=way)).open()
    with pytest.raises(CannotRun, match=r"staging\.clock_file: "):
        Staging(StagingFile(clock_file=tmp_path / "no" / "folder")).open()
