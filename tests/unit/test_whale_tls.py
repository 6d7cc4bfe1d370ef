"""HTTPS to Whale: whom the client trusts, and how it shows who it is itself."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from engines.contract import Code
from engines.errors import SettingsError, WhaleFault
from engines.settings import Settings
from engines.whale import WhaleAPIManager
from engines.whale.client import TlsIdentity, WhaleClient


class Hello(BaseHTTPRequestHandler):
    def do_POST(self) -> None:  # http.server's name
        body = b'{"success": true}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815 # http.server's name

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@contextmanager
def serving(authority: trustme.CA, *names: str, ask_for_ours: bool = False) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    if ask_for_ours:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # refused handshakes are meant
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def post(url: str, identity: TlsIdentity | None) -> int:
    client = WhaleClient(url, call_seconds=5, identity=identity)
    try:
        return client.call("POST", "/c", {"Authorization": "Token ctfd_secret"}).status
    finally:
        client.close()


def test_a_ca_of_ones_own(authority: trustme.CA, ca_file: Path) -> None:
    with serving(authority, "127.0.0.1") as url:
        assert post(url, TlsIdentity(ca_file)) == 200


@pytest.mark.parametrize("name", ["127.0.0.1", "other.example.org"], ids=["unknown CA", "name"])
def test_a_certificate_that_cannot_be_trusted_gets_no_request(
    authority: trustme.CA, ca_file: Path, name: str
) -> None:
    trusted = name != "127.0.0.1"
    with serving(authority, name) as url, pytest.raises(WhaleFault) as caught:
        post(url, TlsIdentity(ca_file) if trusted else None)
    assert (caught.value.code, caught.value.definite) == (Code.UNAVAILABLE, True)


def test_a_certificate_of_our_own(authority: trustme.CA, ca_file: Path, tmp_path: Path) -> None:
    ours = authority.issue_cert("whale-ready.example.org")
    certificate, key = tmp_path / "us.pem", tmp_path / "us.key"
    ours.cert_chain_pems[0].write_to_path(certificate)
    ours.private_key_pem.write_to_path(key)
    with serving(authority, "127.0.0.1", ask_for_ours=True) as url:
        assert post(url, TlsIdentity(ca_file, certificate, key)) == 200
        with pytest.raises(WhaleFault):
            post(url, TlsIdentity(ca_file))


@pytest.mark.parametrize("name", ["CA", "CLIENT_CERTIFICATE", "CLIENT_KEY"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    environ = {
        "WHALE_API_URL": "https://whale.example.org",
        "CONTAINER_DATABASE_URL": f"sqlite:///{tmp_path / 'state.db'}",
        f"WHALE_{name}_FILE": str(tmp_path / "none.pem"),
    }
    with pytest.raises(SettingsError, match=f"WHALE_{name}_FILE: there is no file"):
        WhaleAPIManager(Settings.from_environ(environ))
