"""HTTP to Whale: one request, one bounded answer, no state between calls.

What follows from docs/whale-wire.md is kept here: ``Content-Type: application/json`` on every
call, no cookie ever stored (a stored one turns token calls into session calls and mixes users
up), no redirect followed. A read is tried again when the connection breaks; a write never is. A
Whale that hangs is found out by its reads (:mod:`engines.pulse`): they are given up, then refused.
"""

from __future__ import annotations

import json
import logging
import random
import ssl
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from engines.contract import Code
from engines.deadline import DeadlineAdapter, afresh, deadline, time_left
from engines.errors import BackendUnavailable, WhaleFault
from engines.pulse import ANSWER_SECONDS, LOOK_SECONDS, Pulse
from engines.reasons import reason

log = logging.getLogger(__name__)

USER_AGENT = "whale-ready"
CONNECT_SECONDS = 5.0
MAX_BODY_BYTES = 1 << 20
MAX_DEPTH = 16
"""How deep lists and objects may be nested; Whale's deepest answer has three levels."""
LONGEST_TEXT = 4096
"""Most characters of one text in an answer; templates and names of challenges are far shorter."""
PIECE_BYTES = 8192
READ_ATTEMPTS = 3
GATEWAY_FAULTS = (502, 503, 504)
"""Answers of something in front of Whale; a read that gets one is tried again."""
BACK_OFF_SECONDS = 0.05
"""Before the second attempt at a read; doubled before the third, and up to doubled by chance."""
POOL_CONNECTIONS = 64
SIGN_OF_LIFE = "/healthcheck"
"""Asked for to see whether CTFd answers at all; any answer will do, also that there is no such."""
RETRY_SECONDS = 10.0
"""``retry_after`` when Whale does not answer."""

_BROKEN = (RequestException, HTTPError, OSError, zlib.error)
_UNREACHABLE = "Whale cannot be reached; please try again shortly"


@dataclass(frozen=True)
class WhaleAnswer:
    """What Whale answered to one request."""

    method: str
    path: str
    """With the query, without the host."""
    status: int
    content_type: str
    """Without parameters, in lower case."""
    body: Any
    """Parsed JSON, or None when the body is none."""
    elapsed_ms: int


@dataclass(frozen=True)
class LoginPage:
    """An answer as it came, for logging in; holds secrets, so its repr shows only the status."""

    status: int
    content_type: str = field(repr=False)
    content: bytes = field(repr=False)
    cookies: Mapping[str, str] = field(repr=False)
    date: str = field(default="", repr=False)
    """The header ``Date``, as it came."""


@dataclass(frozen=True)
class TlsIdentity:
    """How both ends of a TLS connection prove who they are; the default is the system's CAs."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    """Our own certificate (PEM), for a Whale that asks clients for one."""
    key_file: Path | None = None


class WhaleClient:
    """Sends single requests to one Whale.

    Args:
        base_url: address of the CTFd, ``https://ctf.example.org``.
        call_seconds: deadline of one call: every attempt, headers and body included.
        look_seconds, answer_seconds: see :class:`engines.pulse.Pulse`.
        identity: whom to trust and who we are, for ``https``. Certificates are always checked.
        observer: told of every answer to :meth:`call`; never of headers, so never of a token.
    """

    def __init__(
        self,
        base_url: str,
        *,
        call_seconds: float,
        look_seconds: float = LOOK_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        identity: TlsIdentity | None = None,
        observer: Callable[[WhaleAnswer], None] | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._call_seconds = call_seconds
        self._observer = observer
        identity = identity or TlsIdentity()
        self._verify: bool | str = str(identity.ca_file) if identity.ca_file else True
        self._certificate: tuple[str, str] | None = None
        if identity.certificate_file is not None:
            key = identity.key_file or identity.certificate_file
            self._certificate = (str(identity.certificate_file), str(key))
        # No requests.Session: what there is not cannot keep a cookie, follow a redirect, or take
        # a proxy or another user's password from the environment.
        self._adapter = DeadlineAdapter(pool_maxsize=POOL_CONNECTIONS)
        self._pulse = Pulse(
            "Whale", self._ping, look_seconds=look_seconds, answer_seconds=answer_seconds
        )

    def call(self, method: str, path: str, headers: Mapping[str, str]) -> WhaleAnswer:
        """Send one request of Whale's API.

        Raises:
            WhaleFault: with ``UNAVAILABLE`` when no whole answer came; ``definite`` is False for
                a write that Whale may have received.
        """
        began = time.monotonic()
        page = self.page(method, path, {**headers, "Content-Type": "application/json"})
        answer = WhaleAnswer(
            method=method,
            path=path,
            status=page.status,
            content_type=page.content_type,
            body=parsed(page.content),
            elapsed_ms=round((time.monotonic() - began) * 1000),
        )
        if self._observer is not None:
            self._observer(answer)
        return answer

    def page(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        body: str | Mapping[str, str] | None = None,
    ) -> LoginPage:
        """Send one request and take whatever comes back; a mapping is sent as a form.

        Raises:
            WhaleFault: as :meth:`call`.
        """
        try:
            if method == "GET":
                with deadline(self._call_seconds), self._pulse.asking():
                    return self._read(path, headers)
            with afresh(self._call_seconds):
                return self._send(method, path, headers, body, self._call_seconds)
        except (BackendUnavailable, *_BROKEN) as error:
            why = f"{method} to Whale failed: {reason(error)}"
            log.warning("%s", why)
            definite = method == "GET" or _never_sent(error)
            raise WhaleFault(
                Code.UNAVAILABLE,
                _UNREACHABLE,
                retry_after=RETRY_SECONDS,
                definite=definite,
                said=why,
            ) from None

    def close(self) -> None:
        """Close pooled connections."""
        self._pulse.close()
        self._adapter.close()

    def _ping(self) -> None:
        try:
            self._send("GET", SIGN_OF_LIFE, {}, None, self._call_seconds)
        except _BROKEN as error:
            refused = _never_sent(error) and not isinstance(error, requests.ConnectTimeout)
            raise BackendUnavailable("Whale does not answer", untouched=refused) from error

    def _read(self, path: str, headers: Mapping[str, str]) -> LoginPage:
        """GET, again when it failed; each attempt has its share of the time."""
        share = self._call_seconds / READ_ATTEMPTS
        for attempt in range(1, READ_ATTEMPTS + 1):
            try:
                page = self._send("GET", path, headers, None, share)
                if page.status not in GATEWAY_FAULTS or attempt == READ_ATTEMPTS:
                    return page
            except _BROKEN:
                if attempt == READ_ATTEMPTS:
                    raise
            pause = BACK_OFF_SECONDS * 2 ** (attempt - 1)
            pause *= 1 + random.random()  # noqa: S311 - jitter, not a secret
            time.sleep(min(pause, time_left()))
        raise AssertionError("the last attempt returns or raises")

    def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: str | Mapping[str, str] | None,
        seconds: float,
    ) -> LoginPage:
        request = requests.Request(
            method, self._base_url + path, {"User-Agent": USER_AGENT, **headers}, data=body
        )
        with self._adapter.send(
            request.prepare(),
            stream=True,
            timeout=(min(CONNECT_SECONDS, seconds), seconds),
            verify=self._verify,
            cert=self._certificate,
        ) as response:
            return LoginPage(
                status=response.status_code,
                content_type=response.headers.get("Content-Type", "").split(";")[0].strip().lower(),
                content=_body(response),
                cookies=_cookies(response.raw.headers.getlist("Set-Cookie")),
                date=response.headers.get("Date", ""),
            )


def _cookies(lines: list[str]) -> dict[str, str]:
    """Names and values; what else stands in the lines is for who keeps cookies."""
    pairs = (line.partition(";")[0].partition("=") for line in lines)
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def _body(response: requests.Response) -> bytes:
    """The whole body, which no encoding can make longer than the limit.

    Nothing but identity is asked for. A proxy that sends gzip all the same is understood, once:
    some versions of urllib3 unpack any number of layers to any size before they give a byte.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower() or "identity"
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise RequestException("the answer has an encoding that was not asked for")
    unpacking = None if encoding == "identity" else zlib.decompressobj(16 + zlib.MAX_WBITS)
    content = b""
    # read1 returns what there is; a plain read would wait, past the deadline, for a full piece.
    while piece := response.raw.read1(PIECE_BYTES, decode_content=False):
        room = MAX_BODY_BYTES + 1 - len(content)
        content += unpacking.decompress(piece, room) if unpacking else piece
        if len(content) > MAX_BODY_BYTES:
            raise RequestException("the answer is longer than any of Whale's")
        time_left()
    if unpacking and not unpacking.eof:
        raise RequestException("the answer ends before its end")
    return content


def _never_sent(error: BaseException) -> bool:
    """Whether no connection came about, so that Whale cannot have received the request."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    if type(reason).__name__ in ("NewConnectionError", "NameResolutionError"):
        return True
    cause = reason.args[0] if isinstance(reason, BaseException) and reason.args else None
    return isinstance(cause, ssl.SSLCertVerificationError)


def parsed(content: bytes) -> Any:
    """The JSON of a body, None when it is none, or none that Whale would send."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if _bounded(found, MAX_DEPTH) else None


def _bounded(value: object, depth: int) -> bool:
    """Whether no text is too long, and lists and objects are nested at most ``depth`` deep."""
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT
    if isinstance(value, dict):
        return depth > 0 and all(_bounded(each, depth - 1) for each in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_bounded(each, depth - 1) for each in value)
    return True
