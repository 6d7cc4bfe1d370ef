"""Whether a fresh instance answers where Whale says it does.

Between us and the instance stands frp, which answers in its place. Measured with frps and frpc
0.29.1, 0.31.2 and 0.37.0 on 30 November 2026 (docs/whale-wire.md, "frp"):

- http: a name that frps does not know, or whose container does not listen yet, gets frps' 404. It
  has no ``Server`` header, and organisers may replace its page. So an answer counts only when it
  differs from what the same gateway answers for a name that cannot exist.
- direct: the port accepts at once, and a dead connection is silent for a while. Only one that is
  open for longer counts: :mod:`engines.whale.direct_probe`.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from engines.probe import GATEWAY_ERRORS, ProbedPage, fetch_page, wait_until
from engines.settings import Settings
from engines.whale.access import Access
from engines.whale.direct_probe import DirectWatch, answers_direct

MOST_REDIRECTS = 3


def instance_answers(access: Access, uuid: str, settings: Settings) -> bool:
    """Wait until the address answers, at most ``whale_ready_seconds``; True at once when the
    settings say not to probe.

    ``uuid`` is the instance's: where it stands in the host's name, the name is the instance's own.
    """
    if not settings.whale_probe:
        return True
    seconds = settings.whale_ready_seconds
    if access.scheme in ("http", "https"):
        return wait_until(_Http(access, uuid, settings.whale_probe_gateway).answers, seconds)
    watch = DirectWatch(
        settings.whale_direct_hold_seconds, settings.whale_direct_short_hold_seconds
    )
    return answers_direct(access.host, access.port, watch=watch, seconds=seconds)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


class _Http:
    """An instance that frps tells from others by the name in the Host header."""

    def __init__(self, access: Access, uuid: str, gateway: str | None) -> None:
        self._public = f"{access.host}:{access.port}"
        self._url = gateway or f"{access.scheme}://{self._public}/"
        self._follows = gateway is None
        self._own_name = uuid.lower() in access.host
        self._by_name = not _is_address(access.host)
        self._strangers: tuple[_Text, ...] = ()
        """What the gateway answered for names that do not exist, when it was asked last."""

    def answers(self, timeout: float) -> bool:
        """One look, of at most ``timeout`` seconds."""
        until = time.monotonic() + timeout
        page = self._page(self._public, until)
        if page is None or page.status in GATEWAY_ERRORS:
            return False
        if not self._by_name:
            return True  # a port of its own: frpc closes it without an answer where nobody is
        if is_gateways(self._text(page, self._public), self._strangers):
            return False
        # The names that cannot exist are asked for right before and right after, so that a clock
        # or a counter in the gateway's page shows as what it is.
        before = self._stranger(until)
        page = self._page(self._public, until)
        after = self._stranger(until)
        if page is None or page.status in GATEWAY_ERRORS or time.monotonic() > until:
            return False
        self._strangers = tuple(text for text in (before, after) if text is not None)
        if not is_gateways(self._text(page, self._public), self._strangers):
            return True
        # A host that is not the instance's own serves every name alike: its success is its own.
        return not self._own_name and page.status < 400

    def _stranger(self, until: float) -> _Text | None:
        _, _, rest = self._public.partition(".")
        host = f"{secrets.token_hex(16)}.{rest}"
        page = self._page(host, until)
        return None if page is None else self._text(page, host)

    def _page(self, host: str, until: float) -> ProbedPage | None:
        url = self._url
        for _ in range(MOST_REDIRECTS):
            page = fetch_page(url, host=host, timeout=until - time.monotonic())
            if page is None or not page.location or not self._follows:
                return page
            target = urlsplit(page.location)
            if target.hostname != host.partition(":")[0] or target.netloc == host:
                return page
            # To https or another port of the same name: the front's own doing, for every name.
            port = f":{target.port}" if target.port else ""
            host = f"{target.hostname}{port}"
            url = f"{target.scheme}://{urlsplit(self._url).hostname}{port}/"
        return page

    def _text(self, page: ProbedPage, host: str) -> _Text:
        label = host.partition(".")[0].partition(":")[0].encode()
        return _Text.of(page.status, page.body.lower().replace(label.lower(), b"name"))


@dataclass(frozen=True)
class _Text:
    """A page as a bag of words, numbers apart: they change from call to call."""

    status: int
    words: Counter[bytes] = field(compare=False)

    @classmethod
    def of(cls, status: int, body: bytes) -> _Text:
        return cls(status, Counter(re.split(rb"[\s<>\"']+", re.sub(rb"\d+", b"0", body))))


def is_gateways(page: _Text, strangers: tuple[_Text, ...]) -> bool:
    """Whether a page is the one that the gateway shows for names that do not exist.

    What differs between two of its own pages is its dynamic part: a page may differ in as many
    words more, and must have all the others.
    """
    alike = [text for text in strangers if text.status == page.status]
    if not alike:
        return False
    first, last = alike[0].words, alike[-1].words
    dynamic = max((first - last).total(), (last - first).total())
    missing = (first & last) - page.words
    return not missing and (page.words - (first | last)).total() <= dynamic
