"""HTTP to Whale: one request, one bounded answer, no state between calls.

What follows from docs/whale-wire.md is kept here: ``Content-Type: application/json`` on every
request, no cookie ever stored (a stored one turns token calls into session calls and mixes users
up), no redirect followed. A read is tried again when the connection breaks; a write never is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from engines.contract import Code
from engines.errors import WhaleFault

CONNECT_SECONDS = 5.0
MAX_BODY_BYTES = 1 << 20
PIECE_BYTES = 8192
READ_RETRIES = 2
POOL_CONNECTIONS = 64
RETRY_SECONDS = 10.0
"""``retry_after`` when Whale does not answer."""

_UNREACHABLE = "Whale cannot be reached; please try again shortly"


@dataclass(frozen=True)
class Answer:
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


class WhaleClient:
    """Sends single requests to one Whale.

    Args:
        base_url: address of the CTFd, ``https://ctf.example.org``.
        call_seconds: deadline of one request, body included.
        observer: told of every answer; never of headers, so never of a token.
    """

    def __init__(
        self,
        base_url: str,
        *,
        call_seconds: float,
        observer: Callable[[Answer], None] | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._call_seconds = call_seconds
        self._observer = observer
        self._session = requests.Session()
        self._session.trust_env = False  # ~/.netrc must not replace a user's token
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        retry = Retry(
            total=READ_RETRIES,
            redirect=0,
            backoff_factor=0.05,
            backoff_jitter=0.05,
            allowed_methods=["GET"],
            raise_on_redirect=False,
        )
        adapter = HTTPAdapter(max_retries=retry, pool_maxsize=POOL_CONNECTIONS)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def call(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Send one request.

        Raises:
            WhaleFault: with ``UNAVAILABLE`` when no whole answer came; ``definite`` is False for
                a write that Whale may have received.
        """
        began = time.monotonic()
        try:
            response = self._session.request(
                method,
                self._base_url + path,
                headers={**headers, "Content-Type": "application/json"},
                timeout=(min(CONNECT_SECONDS, self._call_seconds), self._read_seconds(method)),
                allow_redirects=False,
                stream=True,
            )
            with response:
                content = self._read(response, began + self._call_seconds)
        except (RequestException, HTTPError, OSError) as error:
            definite = method == "GET" or _never_sent(error)
            raise WhaleFault(
                Code.UNAVAILABLE, _UNREACHABLE, retry_after=RETRY_SECONDS, definite=definite
            ) from None
        answer = Answer(
            method=method,
            path=path,
            status=response.status_code,
            content_type=response.headers.get("Content-Type", "").split(";")[0].strip().lower(),
            body=_parsed(content),
            elapsed_ms=round((time.monotonic() - began) * 1000),
        )
        if self._observer is not None:
            self._observer(answer)
        return answer

    def close(self) -> None:
        """Close pooled connections."""
        self._session.close()

    def _read_seconds(self, method: str) -> float:
        """How long one attempt may wait for bytes, so that all attempts fit into the deadline."""
        attempts = 1 + READ_RETRIES if method == "GET" else 1
        return self._call_seconds / attempts

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        content = b""
        # read1 returns what there is; a plain read would wait, past the deadline, for a full piece.
        while piece := response.raw.read1(PIECE_BYTES, decode_content=True):
            content += piece
            if len(content) > MAX_BODY_BYTES:
                raise RequestException("the answer is longer than any of Whale's")
            if time.monotonic() > deadline:
                raise RequestException("the answer took longer than one call may")
        return content


def _never_sent(error: BaseException) -> bool:
    """Whether no connection came about, so that Whale cannot have received the request."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return type(reason).__name__ in ("NewConnectionError", "NameResolutionError")


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
