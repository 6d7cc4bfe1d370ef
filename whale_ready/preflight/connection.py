"""The way to Whale: does it answer, is the way safe, do both clocks agree."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from engines.errors import WhaleFault
from engines.whale.client import CONNECT_SECONDS, LoginPage
from whale_ready.preflight.items import CheckFinding, NotCheckable, not_ok, ok
from whale_ready.preflight.site import PreflightSite

CERTIFICATE_DAYS = 14
"""A certificate that ends sooner ends during the contest, or nearly."""
HALF_A_SECOND = 0.5
"""A Date has whole seconds: it is so much too early in the middle."""
SKEW_SECONDS = 5.0
"""Whole seconds, and the way there and back, are not skew; more than this is."""


@dataclass(frozen=True)
class Heard:
    """CTFd's answer to ``GET /healthcheck``, which needs no account."""

    page: LoginPage
    at: datetime
    """Half-way between question and answer, by our clock."""


def first_answer(site: PreflightSite) -> Heard:
    """Ask it. Raises :class:`engines.errors.WhaleFault` when nothing comes."""
    before = site.now()
    page = site.client.page("GET", "/healthcheck", {})
    return Heard(page, before + (site.now() - before) / 2)


def heard(site: PreflightSite) -> Heard:
    """The first answer. Raises :class:`NotCheckable` when there was none."""
    try:
        return site.fact(first_answer)
    except WhaleFault:
        raise NotCheckable("Whale cannot be spoken to: see the items above") from None


def reachable(site: PreflightSite) -> CheckFinding:
    """Whether anything answers there."""
    try:
        page = site.fact(first_answer).page
        return ok(f"GET /healthcheck was answered, with status {page.status}")
    except WhaleFault:
        pass
    host, port, secure = _address(site)
    try:
        socket.create_connection((host, port), _seconds(site)).close()
    except socket.gaierror:
        return not_ok(f"the name {host} is not known")
    except OSError as error:
        return not_ok(f"no connection to {host}, port {port}: {error.strerror or 'timed out'}")
    if secure and isinstance(site.fact(_handshake), str):
        return ok(f"{host}, port {port}, accepts connections; why no more is heard: see tls")
    return not_ok(f"{host}, port {port}, accepts connections and does not answer a request")


def encrypted(site: PreflightSite) -> CheckFinding:
    """Whether nobody on the way can read tokens, or pass for Whale."""
    host, port, secure = _address(site)
    if not secure:
        if _this_machine(host):
            return ok("plain http, and it does not leave this machine")
        return not_ok(f"plain http to {host}: whoever is on the way reads every token")
    try:
        found = site.fact(_handshake)
    except OSError:
        raise NotCheckable(f"no connection to {host}, port {port}") from None
    if isinstance(found, str):
        return not_ok(found)
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(found["notAfter"]), timezone.utc)
    days = (ends - site.now()).days
    if days < CERTIFICATE_DAYS:
        return not_ok(f"the certificate ends in {days} days, on {ends:%Y-%m-%d}", "renew it")
    return ok(f"the certificate is trusted, is for {host}, and ends on {ends:%Y-%m-%d}")


def clocks(site: PreflightSite) -> CheckFinding:
    """Whether both machines have the same time."""
    found = heard(site)
    try:
        theirs = parsedate_to_datetime(found.page.date)
    except (TypeError, ValueError):
        raise NotCheckable(
            "the answer has no Date that can be read",
            "run date -u on both machines at once, and compare",
        ) from None
    apart = (theirs - found.at).total_seconds() + HALF_A_SECOND
    said = f"Whale's clock is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} ours"
    return ok(said) if abs(apart) <= SKEW_SECONDS else not_ok(said)


def _address(site: PreflightSite) -> tuple[str, int, bool]:
    parts = urlsplit(site.url)
    secure = parts.scheme == "https"
    return str(parts.hostname), parts.port or (443 if secure else 80), secure


def _this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _seconds(site: PreflightSite) -> float:
    return min(CONNECT_SECONDS, site.settings.whale_call_seconds)


def _handshake(site: PreflightSite) -> dict[str, Any] | str:
    """The server's certificate, trusted as :class:`WhaleClient` trusts; else what is wrong.

    Raises:
        OSError: there is no connection.
    """
    settings = site.settings
    trusted = settings.whale_ca_file or DEFAULT_CA_BUNDLE_PATH
    context = ssl.create_default_context(cafile=str(trusted))
    ours = settings.whale_client_certificate_file
    if ours is not None:
        context.load_cert_chain(ours, settings.whale_client_key_file)
    host, port, _ = _address(site)
    plain = socket.create_connection((host, port), _seconds(site))
    try:
        with context.wrap_socket(plain, server_hostname=host) as secured:
            return dict(secured.getpeercert() or {})
    except ssl.SSLCertVerificationError as error:
        return f"the certificate is not trusted: {error.verify_message}"
    except OSError as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        return f"no TLS connection comes about: {reason or 'it broke off'}"
    finally:
        plain.close()
