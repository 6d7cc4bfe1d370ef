"""What the runtimes on Docker's API share: the client, its failures, and the probe of a port."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

import docker
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import RequestException, Timeout

from engines.catalog import Readiness
from engines.cre.evidence import Redactor
from engines.cre.runtimes.base import Runtime
from engines.deadline import held
from engines.errors import BackendUnavailable
from engines.probe import ATTEMPT_SECONDS, answers_http, answers_tcp, look_up
from engines.pulse import ANSWER_SECONDS, LOOK_SECONDS, Pulse

CALL_SECONDS = 60.0
"""Longest work that one request may ask for, on an engine that shows signs of life meanwhile."""

_T = TypeVar("_T")


class EngineRuntime(Runtime):
    """A runtime that speaks to a Docker engine through the SDK's low-level client.

    Args:
        client: an SDK client to use; it is then the caller's to close. One that is not from
            engines/cre/runtimes/connection.py waits for as long as its own time-out says.
        connect: makes the client on first use (engines/cre/runtimes/connection.py) when none is
            given.
        probe_host: where published ports are reached from here; None for where they are published.
        look_seconds, answer_seconds: see :class:`engines.pulse.Pulse`.
    """

    def __init__(
        self,
        client: docker.DockerClient | None = None,
        *,
        connect: Callable[[], docker.DockerClient] | None = None,
        probe_host: str | None = None,
        look_seconds: float = LOOK_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        if client is None and connect is None:
            raise ValueError("give a client, or connect, which makes one on first use")
        self._connect = connect
        self._lock = threading.Lock()
        self._own_client = client is None
        self._client = client
        self._probe_host = probe_host
        self._pulse = Pulse(
            "the Docker engine",
            self._ping,
            look_seconds=look_seconds,
            answer_seconds=answer_seconds,
        )

    @property
    def _api(self) -> Any:
        """The low-level client, made on first use: an engine that is down is no error before."""
        client = self._client
        if client is None and self._connect is not None:
            client = self._ask(self._connected)
        return client.api if client is not None else None

    def _connected(self) -> docker.DockerClient | None:
        with held(self._lock):  # one thread connects, the others find it done
            if self._client is None and self._connect is not None:
                self._client = self._connect()
            return self._client

    def image_id(self, image: str) -> str | None:
        try:
            return str(self._ask(lambda: self._api.inspect_image(image))["Id"])
        except NotFound:
            return None
        except APIError as error:
            raise BackendUnavailable(
                f"the Docker engine refused to show an image: {said(error)}"
            ) from error

    def versions(self) -> dict[str, str]:
        details = self._ask(self._api.version)
        return {"docker": details["Version"], "docker-api": details["ApiVersion"]}

    def close(self) -> None:
        self._pulse.close()
        if self._client is not None and self._own_client:
            self._client.close()
            self._client = None

    def _ask(self, request: Callable[[], _T]) -> _T:
        """Make one request; an engine that does not answer as one is BackendUnavailable."""
        with self._pulse.asking():
            return answered(request)

    def _ping(self) -> None:
        with suppress(APIError):  # which is an answer
            client = answered(self._connected)
            if client is not None:
                answered(client.api.ping)


def answered(request: Callable[[], _T]) -> _T:
    """What the engine answers to one request.

    Raises:
        APIError: the engine refuses it.
        BackendUnavailable: there is no answer, or not one of a Docker engine.
    """
    try:
        return request()
    except APIError:
        raise
    except (DockerException, RequestException, json.JSONDecodeError, OSError) as error:
        raise unreachable(error) from error


def answers(readiness: Readiness, host: str, port: int, timeout: float) -> bool:
    """Whether a published port answers as ``readiness`` (http or tcp) demands."""
    if readiness is Readiness.HTTP:
        return answers_http(f"http://{_bracketed(host)}:{port}/", timeout=timeout)
    return answers_tcp(host, port, timeout=timeout)


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it was made from."""
    seen: list[BaseException] = [error]
    for exception in seen:
        yield exception
        inner = (exception.__cause__, exception.__context__, *getattr(exception, "args", ()))
        seen += [one for one in inner if isinstance(one, BaseException) and one not in seen]


_WHY: tuple[tuple[type[BaseException], str], ...] = (
    (PermissionError, "its socket may not be opened (permission denied)"),
    (FileNotFoundError, "there is no such socket"),
    (ConnectionRefusedError, "nothing listens at its address"),
    (socket.gaierror, "its host name cannot be looked up"),
    (Timeout, "it does not answer in time"),
    (TimeoutError, "it does not answer in time"),
    (ConnectionError, "the connection broke off"),
)
_NEVER_ARRIVED = (PermissionError, FileNotFoundError, ConnectionRefusedError, socket.gaierror)


def unreachable(error: BaseException) -> BackendUnavailable:
    """What it means that a request brought no answer of the engine's.

    It is certainly untouched where no connection was made at all.
    """
    found = list(causes(error))
    why = next(
        (f": {words}" for kind, words in _WHY if any(isinstance(e, kind) for e in found)), ""
    )
    never_arrived = any(isinstance(exception, _NEVER_ARRIVED) for exception in found)
    return BackendUnavailable(
        f"the Docker engine cannot be reached{why}",
        untouched=never_arrived,
        unanswered=not never_arrived,
    )


def said(error: APIError, redactor: Redactor | None = None) -> str:
    """Docker's own sentence, as it may be shown to admins."""
    return (redactor or Redactor()).sentence(str(error.explanation or "it gives no reason"))


def unknown_name(host: str, setting: str) -> str:
    """For a message: that a host has no address here; empty where it has one."""
    try:
        look_up(host, 0, ATTEMPT_SECONDS)
    except OSError as error:
        return f"; the name {host} ({setting}) cannot be looked up here: {error}"
    return ""


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
