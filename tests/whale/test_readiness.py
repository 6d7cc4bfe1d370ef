"""A gateway in front of an instance is never taken for the instance.

The gateways answer as frps 0.29.1, 0.31.2 and 0.37.0 did on 30 November 2026 (docs/whale-wire.md).
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from engines.probe import ProbedPage, answers_http, fetch_page
from engines.settings import Settings
from engines.whale.access import Access
from engines.whale.readiness import instance_answers

UUID = "8f14e45fceea167a5a36dedd4bea2543"
FRPS = "<h1>The page you requested was not found.</h1><p><em>Faithfully yours, frp.</em></p>"
BOUND = 0.6

Site = Callable[[str], tuple[int, str]]
"""What a gateway answers for a host's name: status and page."""


@contextmanager
def gateway(site: Site) -> Iterator[Settings]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, page = site((self.headers["Host"] or "").partition(":")[0])
            self.send_response_only(status)
            self.send_header("Content-Length", str(len(page.encode())))
            if status in (301, 302):
                self.send_header("Location", page)
            self.end_headers()
            with suppress(BrokenPipeError):  # a probe reads the beginning only
                self.wfile.write(page.encode())

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        yield replace(Settings(), whale_probe_gateway=url, whale_ready_seconds=BOUND)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def started(settings: Settings, host: str = f"{UUID}.w.test") -> bool:
    return instance_answers(Access("http", host, 80), UUID, settings)


def clock_page(_host: str) -> tuple[int, str]:
    return 404, f"<p>not found at {time.time_ns()}, request {secrets.token_hex(16)}</p>"


GATEWAYS: dict[str, Site] = {
    "frps": lambda _host: (404, FRPS),
    "the organiser's own page": lambda _host: (404, "<h1>404</h1><p>Ask in #help</p>"),
    "an empty page": lambda _host: (404, ""),
    "a page with clock and nonce": clock_page,
    "a page that names the host": lambda host: (404, f"<p>{host} is not here</p>"),
    "a catch-all that succeeds": lambda host: (200, f"<title>CTF</title>{secrets.token_hex(32)}"),
    "a front to https": lambda host: (301, f"https://{host}/"),
    "bad gateway": lambda _host: (502, "nginx"),
    "unavailable": lambda _host: (503, "down"),
    "gateway's time-out": lambda _host: (504, ""),
}


@pytest.mark.parametrize("name", GATEWAYS)
def test_the_answer_for_any_name_is_none_of_the_instance(name: str) -> None:
    with gateway(GATEWAYS[name]) as settings:
        assert not started(settings)


APPLICATIONS: dict[str, tuple[int, str]] = {
    "a page": (200, "<h1>Log in</h1>"),
    "an application without a page at /": (404, '{"detail":"Not Found"}'),
    "one that wants a password": (401, ""),
    "one that breaks": (500, "Traceback"),
}


@pytest.mark.parametrize("behind", GATEWAYS)
@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_instance_is_known_by_what_only_it_answers(name: str, behind: str) -> None:
    strangers = GATEWAYS[behind]

    def site(host: str) -> tuple[int, str]:
        return APPLICATIONS[name] if UUID in host else strangers(host)

    with gateway(site) as settings:
        assert started(settings)


def test_an_instance_that_comes_up_later_is_waited_for() -> None:
    asked: list[str] = []

    def site(host: str) -> tuple[int, str]:
        asked.append(host)
        up = UUID in host and len(asked) > 8
        return (200, "up") if up else (404, FRPS)

    with gateway(site) as settings:
        assert started(replace(settings, whale_ready_seconds=10.0))


def test_a_host_that_is_not_the_instances_own_serves_every_name() -> None:
    with gateway(lambda _host: (200, "the instance")) as settings:
        assert started(settings, "direct.example.org")
    with gateway(lambda _host: (404, FRPS)) as settings:
        assert not started(settings, "direct.example.org")
    with gateway(lambda _host: (400, "Bad Request")) as settings:
        assert not started(settings, "direct.example.org")
    with gateway(lambda _host: (404, "an application's own")) as settings:
        assert started(settings, "127.0.0.1")  # a port of its own, which frpc closes when dead


def test_a_host_of_one_word_is_known_by_what_only_it_answers() -> None:
    with gateway(lambda host: (404, "its own" if host == "whale" else FRPS)) as settings:
        assert started(settings, "whale")


def test_an_instance_that_is_gone_before_the_second_look_is_not_ready() -> None:
    asked: list[str] = []

    def site(host: str) -> tuple[int, str]:
        if UUID not in host:
            return 404, FRPS
        asked.append(host)
        return (200, "up") if len(asked) % 2 else (502, "")

    with gateway(site) as settings:
        assert not started(settings)


def test_behind_a_gateway_of_the_settings_a_redirect_is_the_instances_answer() -> None:
    def site(host: str) -> tuple[int, str]:
        return (301, f"https://{host}/") if UUID in host else (404, FRPS)

    with gateway(site) as settings:
        assert started(settings)


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port on loopback whose connections are each handed to ``serve`` on a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def dead_after(seconds: float) -> Callable[[socket.socket], None]:
    """frpc's manner where nobody is behind a port: it looks the name up, then closes."""

    def serve(connection: socket.socket) -> None:
        with connection:
            threading.Event().wait(seconds)

    return serve


def direct(port: int, seconds: float) -> bool:
    settings = replace(Settings(), whale_ready_seconds=seconds)
    return instance_answers(Access("tcp", "127.0.0.1", port), UUID, settings)


@pytest.mark.parametrize("resolver", [0.0, 0.25, 1.0])
def test_a_dead_port_is_dead_however_slow_the_resolver(resolver: float) -> None:
    with listening(dead_after(resolver)) as port:
        assert not direct(port, 4.0)


def test_a_silent_service_is_ready_and_so_is_one_that_speaks() -> None:
    def silent(connection: socket.socket) -> None:
        with connection:
            connection.recv(1)

    def speaks(connection: socket.socket) -> None:
        with connection:
            connection.sendall(b"login: ")

    for serve in (silent, speaks):
        with listening(serve) as port:
            assert direct(port, 4.0)


def test_what_dead_connections_showed_shortens_the_wait_for_a_silent_service() -> None:
    opened: list[float] = []

    def later(connection: socket.socket) -> None:
        opened.append(time.monotonic())
        with connection:
            if len(opened) > 3:
                connection.recv(1)

    with listening(later) as port:
        # Far less than one hold of the shipped setting; dead connections ended at once.
        settings = replace(Settings(), whale_ready_seconds=5.0, whale_direct_hold_seconds=60.0)
        assert instance_answers(Access("tcp", "127.0.0.1", port), UUID, settings)


@pytest.mark.parametrize(
    ("text", "answers"),
    [(b"HTTP/1.1 200 OK\r\nX: ", False), (b"HTTP/1.1 200 OK\r\n\r\n", True)],
    ids=["in the headers", "in the body"],
)
def test_a_server_that_drips_holds_no_probe(text: bytes, answers: bool) -> None:
    def drip(connection: socket.socket) -> None:
        with connection:
            try:
                connection.sendall(text)
                while True:
                    connection.sendall(b"x")
                    threading.Event().wait(0.02)
            except OSError:
                return

    with listening(drip) as port:
        # A probe that waited for the end would never come back.
        assert answers_http(f"http://127.0.0.1:{port}/", timeout=0.3) is answers


def test_only_the_beginning_of_a_page_is_read() -> None:
    with gateway(lambda _host: (200, "x" * 1_000_000)) as settings:
        page = fetch_page(settings.whale_probe_gateway or "", timeout=2.0)
    assert page == ProbedPage(200, b"x" * 65_536)
