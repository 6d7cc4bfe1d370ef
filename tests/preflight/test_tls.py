"""The way to Whale by https: trusted, and in every way in which it is not."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import trustme
from preflight.stage import EVERY_ID, FROM_DATABASE, OWN, UNSEEN, Setup, staged, states
from preflight.tls_front import https

from whale_ready.preflight.items import ItemState


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


def test_a_ca_of_ones_own(authority: trustme.CA, ca_file: Path, tmp_path: Path) -> None:
    with (
        staged(Setup(), tmp_path) as stage,
        https(stage.url, authority.issue_cert("127.0.0.1").configure_cert) as url,
    ):
        items = stage.items(whale_api_url=url, whale_ca_file=ca_file)
    assert states(items, ItemState.OK) == EVERY_ID - UNSEEN
    assert "is trusted, is for 127.0.0.1" in items["tls"].evidence


@pytest.mark.parametrize(
    ("name", "trusted", "said"),
    [
        ("127.0.0.1", False, "unable to get local issuer certificate"),
        ("other.example.org", True, "certificate is not valid for '127.0.0.1'"),
    ],
    ids=["unknown CA", "another name"],
)
def test_a_certificate_that_cannot_be_trusted(
    authority: trustme.CA, ca_file: Path, tmp_path: Path, name: str, trusted: bool, said: str
) -> None:
    with (
        staged(Setup(), tmp_path) as stage,
        https(stage.url, authority.issue_cert(name).configure_cert) as url,
    ):
        items = stage.items(whale_api_url=url, whale_ca_file=ca_file if trusted else None)
    assert states(items, ItemState.NOT_OK) == {"tls"}
    assert states(items, ItemState.OK) == {"reachable", *OWN, *FROM_DATABASE}
    assert said in items["tls"].evidence


def test_a_self_signed_certificate(tmp_path: Path) -> None:
    own, pem = trustme.CA(), tmp_path / "own.pem"
    pem.write_bytes(own.private_key_pem.bytes() + own.cert_pem.bytes())
    with (
        staged(Setup(), tmp_path) as stage,
        https(stage.url, lambda context: context.load_cert_chain(pem)) as url,
    ):
        items = stage.items(whale_api_url=url)
    assert states(items, ItemState.NOT_OK) == {"tls"}
    assert "self-signed certificate" in items["tls"].evidence


def test_a_certificate_that_ends_soon(authority: trustme.CA, ca_file: Path, tmp_path: Path) -> None:
    soon = datetime.now(timezone.utc) + timedelta(days=3, hours=12)
    leaf = authority.issue_cert("127.0.0.1", not_after=soon)
    with staged(Setup(), tmp_path) as stage, https(stage.url, leaf.configure_cert) as url:
        items = stage.items(whale_api_url=url, whale_ca_file=ca_file)
    assert states(items, ItemState.NOT_OK) == {"tls"}
    assert states(items, ItemState.NOT_CHECKABLE) == UNSEEN
    assert "ends in 3 days" in items["tls"].evidence


def test_no_tls_at_the_other_end(tmp_path: Path) -> None:
    with staged(Setup(), tmp_path) as stage:
        items = stage.items(
            whale_api_url=stage.url.replace("http:", "https:"), whale_call_seconds=1.0
        )
    assert states(items, ItemState.NOT_OK) == {"tls"}
    assert "no TLS connection comes about" in items["tls"].evidence
