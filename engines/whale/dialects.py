"""What requests and answers look like on the wire; one class per dialect.

The only dialect yet is ``ctfd-whale`` (frankli0324). Its facts: docs/whale-wire.md. Status,
content type and body are judged together; ``success`` alone is never believed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol

from engines.contract import Code
from engines.errors import SettingsError, WhaleFault
from engines.whale.access import Access, parse_access
from engines.whale.client import Answer

LEFT_LOCK_SECONDS = 10.0
"""How long the per-user lock stays that an error left behind."""
FREQUENCY_WINDOW_SECONDS = 60.0
"""Window in which a session may write once."""


@dataclass(frozen=True)
class Running:
    """The asked challenge's container, as Whale's record has it."""

    uuid: str
    access: Access
    remaining_seconds: int
    """Negative once it has expired and waits for Whale's cleaner."""


@dataclass(frozen=True)
class Nothing:
    """The user has no container."""


@dataclass(frozen=True)
class Another:
    """The user's container belongs to another challenge."""

    challenge_id: int | None


Look = Running | Nothing | Another


class Dialect(Protocol):
    """One wire dialect."""

    name: str

    def path(self, challenge_id: int) -> str:
        """Path and query of a user's container."""
        ...

    def look(self, answer: Answer) -> Look:
        """Read the answer to GET. Raises :class:`WhaleFault`."""
        ...

    def written(self, answer: Answer) -> None:
        """Read the answer to POST, PATCH or DELETE; returns when Whale did it.

        Raises:
            WhaleFault: it did not, or (``definite`` False) that cannot be told.
        """
        ...


class CtfdWhale:
    """ctfd-whale's own API."""

    name = "ctfd-whale"

    def path(self, challenge_id: int) -> str:
        return f"/api/v1/plugins/ctfd-whale/container?challenge_id={challenge_id}"

    def look(self, answer: Answer) -> Look:
        body = _object(answer)
        if answer.status == 200 and body.get("success") is True:
            return _running_or_nothing(answer, body.get("data"))
        message = body.get("message")
        if answer.status == 403 and isinstance(message, str) and message.startswith(_OTHER):
            found = _OTHER_LINK.search(message[:_LONGEST_LINK])
            return Another(int(found["id"]) if found else None)
        raise _refusal(answer, body)

    def written(self, answer: Answer) -> None:
        body = _object(answer)
        if answer.status == 200 and body.get("success") is True:
            return
        raise _refusal(answer, body)


def dialect_named(name: str) -> Dialect:
    """The dialect of this name.

    Raises:
        SettingsError: there is none.
    """
    if name != CtfdWhale.name:
        raise SettingsError(f"WHALE_DIALECT: {name!r} is not known; write {CtfdWhale.name}")
    return CtfdWhale()


_OTHER = "Container already started but not from this challenge"
_LONGEST_LINK = 4096
# The name comes unescaped, in the link and again behind it, and may hold anything: the id is the
# number between the two.
_OTHER_LINK = re.compile(
    r'href="/challenges#.*?-(?P<name>.*)-(?P<id>\d{1,18})">(?P=name)</a>\)\Z', re.DOTALL
)


@dataclass(frozen=True)
class _Refusal:
    """What one of Whale's messages means."""

    code: Code
    message: str
    retry_after: float | None = None


_TOO_FAST = _Refusal(
    Code.RATE_LIMITED, "That was too fast; please wait a few seconds", LEFT_LOCK_SECONDS
)
_REFUSALS = {
    "challenge not visible": _Refusal(
        Code.CHALLENGE_UNAVAILABLE, "This challenge is not available"
    ),
    "no such challenge": _Refusal(Code.CHALLENGE_UNAVAILABLE, "This challenge is not available"),
    "No such container": _Refusal(Code.NOT_FOUND, "No running container for this challenge"),
    "Instance not found.": _Refusal(Code.NOT_FOUND, "No running container for this challenge"),
    "Invalid container": _Refusal(Code.NOT_FOUND, "The container's time is over"),
    "Max renewal count exceed.": _Refusal(Code.EXTENSION_LIMIT, "Maximum extensions reached"),
    "Max container count exceed.": _Refusal(
        Code.CAPACITY, "All places are taken; please try again when somebody has finished", 10.0
    ),
    "No available ports. Please wait for a few minutes.": _Refusal(
        Code.CAPACITY, "No network port is free; please try again in a few minutes", 60.0
    ),
    "Container creation failed": _Refusal(
        Code.START_FAILED, "The container did not start; please tell an organiser"
    ),
    "Failed when destroying instance, please contact admin!": _Refusal(
        Code.UNAVAILABLE, "The container could not be stopped; please tell an organiser", 10.0
    ),
    "Server busy, please retry.": _Refusal(Code.BUSY, "Whale is busy; please try again", 1.0),
    "Request Too Fast!": _TOO_FAST,
    "Frequency limit, You should wait at least 1 min.": _Refusal(
        Code.RATE_LIMITED,
        "Only one change a minute is allowed; please wait",
        FREQUENCY_WINDOW_SECONDS,
    ),
}


def _refusal(answer: Answer, body: dict[str, Any]) -> WhaleFault:
    """The fault that a well-formed refusal stands for."""
    message = body.get("message")
    known = _REFUSALS.get(message) if isinstance(message, str) else None
    if known is not None and answer.status in (200, 403, 404):
        return WhaleFault(known.code, known.message, retry_after=known.retry_after)
    if isinstance(message, str) and message.startswith("Container started but not from"):
        return WhaleFault(Code.NOT_FOUND, "No running container for this challenge")
    if answer.status in (401, 403) and "success" not in body:
        return _unauthenticated()
    return _unreadable(answer)


def _object(answer: Answer) -> dict[str, Any]:
    """The JSON object of an answer, or the fault that another kind of answer stands for."""
    if answer.status in (301, 302, 303, 307, 308) or (
        answer.status in (401, 403) and answer.content_type == "text/html"
    ):
        raise _unauthenticated()
    if answer.content_type != "application/json" or not isinstance(answer.body, dict):
        raise _unreadable(answer)
    return dict(answer.body)


def _unauthenticated() -> WhaleFault:
    return WhaleFault(Code.UNAUTHENTICATED, "Whale does not accept your access; log in again")


def _unreadable(answer: Answer) -> WhaleFault:
    return WhaleFault(
        Code.UNAVAILABLE,
        "Whale answered in a way that cannot be understood; please try again shortly",
        retry_after=10.0,
        definite=answer.method == "GET",
    )


def _running_or_nothing(answer: Answer, data: object) -> Look:
    if data == {}:
        return Nothing()
    if not isinstance(data, dict):
        raise _unreadable(answer)
    name, remaining = data.get("lan_domain"), data.get("remaining_time")
    access = parse_access(data.get("user_access"))
    if not isinstance(name, str) or type(remaining) is not int or access is None:
        raise _unreadable(answer)
    _, dash, uuid = name.partition("-")
    if not dash or not re.fullmatch(r"[0-9a-fA-F-]{8,64}", uuid):
        raise _unreadable(answer)
    return Running(uuid, access, remaining)
