"""Where an instance is reached, read from Whale's ``user_access``.

``user_access`` is HTML or text made from templates that an organiser may have changed: it is
parsed as hostile input, and nothing of it is ever shown. Its forms: docs/whale-wire.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urlsplit

_HOST = re.compile(r"(?!-)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.?|\[[0-9A-Fa-f:.]+\]")
_NAME = r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])"
_TLS = r"\[(?:ssl|tls)\]\s+|(?:ncat|nc)\s+--ssl\s+|openssl\s+s_client\s+(?:-quiet\s+)?-connect\s+"
_PLAIN = re.compile(
    rf"\s*(?:({_TLS})|(?:\$\s*)?(?:nc|ncat|netcat|telnet)\s+(?:-[nv]+\s+)?|tcp://)?"
    rf"{_NAME}(?::|\s+)(\d{{1,5}})\s*",
    re.IGNORECASE,
)
_SSH = re.compile(
    rf"\s*ssh\s+(?:-p\s*(\d{{1,5}})\s+)?(?:[\w.-]+@)?{_NAME}(?:\s+-p\s*(\d{{1,5}}))?\s*",
    re.IGNORECASE,
)
_URL = re.compile(r"(?:.*\s)?(https?://[^\s<>\"']+)\s*", re.IGNORECASE | re.DOTALL)
_REMOTE = re.compile(r"""remote\(\s*["']([^"']+)["']\s*,\s*(\d{1,5})\s*(,\s*ssl\s*=\s*True)?""")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Access:
    """A checked address."""

    scheme: str
    """``http``, ``https``, ``tcp`` or ``tls``."""
    host: str
    port: int


def parse_access(text: object) -> Access | None:
    """The address in ``user_access``, or None when there is none that can be believed."""
    if not isinstance(text, str) or len(text) > 4096:
        return None
    page = _read(text)
    if page.first is not None:
        return _from_url(page.first)
    if found := _REMOTE.search(text):
        return checked_access("tls" if found[3] else "tcp", found[1], int(found[2]))
    if found := _URL.fullmatch(page.text):
        return _from_url(found[1])
    if found := _PLAIN.fullmatch(page.text):
        return checked_access("tls" if found[1] else "tcp", found[2], int(found[3]))
    if found := _SSH.fullmatch(page.text):
        return checked_access("tcp", found[2], int(found[1] or found[3] or 22))
    return None


def _from_url(url: str) -> Access | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.username is not None:
        return None
    return checked_access(parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme])


def checked_access(scheme: str, host: object, port: object) -> Access | None:
    """An address of these parts, None when they are no host and no port."""
    if not isinstance(host, str) or type(port) is not int:
        return None
    if len(host) > 253 or not _HOST.fullmatch(host) or not 1 <= port <= 65535:
        return None
    return Access(scheme, host.lower(), port)


def _read(text: str) -> _Page:
    parser = _Page()
    try:
        parser.feed(text)
        parser.close()
    except AssertionError:  # html.parser's answer to "<![x[": what came before it counts
        pass
    return parser


class _Page(HTMLParser):
    """The first link, and what there is to read beside the tags."""

    first: str | None = None
    text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a" and self.first is None:
            self.first = dict(attrs).get("href")

    def handle_data(self, data: str) -> None:
        self.text += data
