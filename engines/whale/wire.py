"""What the dialects have in common: what Whale can be found to hold, and how refusals read.

Status, content type and body are judged together; ``success`` alone is never believed. Every text
here stands in docs/whale-wire.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from engines.contract import Code
from engines.errors import WhaleFault
from engines.whale.access import Access
from engines.whale.client import WhaleAnswer

LEFT_LOCK_SECONDS = 10.0
"""How long the per-user lock stays that an error left behind."""
FREQUENCY_WINDOW_SECONDS = 60.0
"""Window in which a session may write once."""

LONGEST_WAIT_SECONDS = 3600.0
_LONGEST_IDENTITY = 128
_RATE_WORDS = re.compile(
    r"frequen|rate.?limit|throttl|too (fast|many (request|tries|attempt)|often|quick|soon)"
    r"|slow down|cool.?down|\bwait\b.*\d\s*(s|m|h)|(again|retry) (in|after).*\d|频|太快|过快",
    re.IGNORECASE | re.DOTALL,
)
_OF_USER = re.compile(
    r"only have|up to \d+ (container|instance)|at most \d+|already have|per (user|team|account)",
    re.IGNORECASE,
)
_OF_ALL = re.compile(
    r"(max|limit|too many|exceed|no (more|free|available)).*(container|instance|port|place)"
    r"|(container|instance)s?.*(limit|exceed)|(server|system).*(full|capacity)",
    re.IGNORECASE | re.DOTALL,
)
_DURATION = re.compile(r"(\d{1,5})\s*(ms|milli|s|m|h|秒|分|小时)", re.IGNORECASE)
_BARE = re.compile(r"(?:after|again in|wait|least)\D{0,20}(\d{1,5})\b", re.IGNORECASE)
_UNITS = {"ms": 0.001, "milli": 0.001, "m": 60.0, "分": 60.0, "h": 3600.0, "小时": 3600.0}


@dataclass(frozen=True)
class RunningContainer:
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


Look = RunningContainer | Nothing | Another


@dataclass(frozen=True)
class _Refusal:
    """What one of Whale's messages means."""

    code: Code
    message: str
    retry_after: float | None = None


_TOO_FAST = _Refusal(
    Code.RATE_LIMITED, "That was too fast; please wait a few seconds", LEFT_LOCK_SECONDS
)
_NOT_STARTED = _Refusal(Code.START_FAILED, "The container did not start; please tell an organiser")
_FULL = _Refusal(
    Code.CAPACITY, "All places are taken; please try again when somebody has finished", 10.0
)
_NOT_STOPPED = _Refusal(
    Code.UNAVAILABLE, "The container could not be stopped; please tell an organiser", 10.0
)
_NONE = _Refusal(Code.NOT_FOUND, "No running container for this challenge")
_NOT_OFFERED = _Refusal(Code.CHALLENGE_UNAVAILABLE, "This challenge is not available")
_NO_MORE = _Refusal(Code.EXTENSION_LIMIT, "Maximum extensions reached")
_REFUSALS = {
    "challenge not visible": _NOT_OFFERED,
    "no such challenge": _NOT_OFFERED,
    # NUSGreyhats.
    "missing or invalid challenge_id": _NOT_OFFERED,
    "challenge is not a docker challenge": _NOT_OFFERED,
    "challenge requirements not satisfied": _NOT_OFFERED,
    "team required": _Refusal(Code.CHALLENGE_UNAVAILABLE, "Join a team first"),
    "No such container": _NONE,
    "Instance not found.": _NONE,
    "Invalid container": _Refusal(Code.NOT_FOUND, "The container's time is over"),
    "Max renewal count exceed.": _NO_MORE,
    "Max container count exceed.": _FULL,
    "No available ports. Please wait for a few minutes.": _Refusal(
        Code.CAPACITY, "No network port is free; please try again in a few minutes", 60.0
    ),
    "Container creation failed": _NOT_STARTED,
    "Failed when destroying instance, please contact admin!": _NOT_STOPPED,
    "Server busy, please retry.": _Refusal(Code.BUSY, "Whale is busy; please try again", 1.0),
    "Request Too Fast!": _TOO_FAST,
    "Frequency limit, You should wait at least 1 min.": _Refusal(
        Code.RATE_LIMITED,
        "Only one change a minute is allowed; please wait",
        FREQUENCY_WINDOW_SECONDS,
    ),
    # The legacy plugin's own words.
    "Max renewal times exceed.": _NO_MORE,
    "Failed when launch instance, please contact with the admin.": _NOT_STARTED,
    # It says this also where there was nothing to destroy: who asked has to look.
    "Failed when destroy instance, please contact admin!": _NOT_STOPPED,
}


def refusal_of(answer: WhaleAnswer, message: object, *, known: bool) -> WhaleFault:
    """The fault that a well-formed refusal stands for.

    ``known``: the answer is Whale's own, not one that CTFd's checks gave before it.
    """
    refused = _REFUSALS.get(message) if isinstance(message, str) else None
    if refused is not None and answer.status in (200, 400, 403, 404):
        return WhaleFault(
            refused.code,
            refused.message,
            retry_after=refused.retry_after,
            said=f"Whale answered {answer.status}: {message}",
        )
    if isinstance(message, str) and message.startswith("Container started but not from"):
        return WhaleFault(_NONE.code, _NONE.message)
    if answer.status in (401, 403) and not known:
        return unauthenticated()
    says_no = isinstance(answer.body, dict) and answer.body.get("success") is False
    if says_no and answer.status < 500:
        return _in_other_words(answer, message if isinstance(message, str) else "")
    return unreadable(answer)


def _in_other_words(answer: WhaleAnswer, message: str) -> WhaleFault:
    """A refusal whose text is a fork's or an organiser's own, or that has none: Whale is done, and
    one look tells whether it did it after all."""
    if answer.status == 429 or _RATE_WORDS.search(message):
        return WhaleFault(Code.RATE_LIMITED, _TOO_FAST.message, retry_after=_seconds_in(message))
    if answer.method == "GET":
        return unreadable(answer)
    meant = _Refusal(Code.UNAVAILABLE, "Whale refused; please tell an organiser", LEFT_LOCK_SECONDS)
    if answer.method == "POST" and _OF_USER.search(message):
        meant = _Refusal(Code.LIMIT_REACHED, "You have as many containers as you may; stop one")
    elif answer.method == "POST":
        meant = _FULL if _OF_ALL.search(message) else _NOT_STARTED
    return WhaleFault(
        meant.code,
        meant.message,
        retry_after=meant.retry_after,
        definite=False,
        pending=False,
        said=f"Whale answered {answer.status}, in words that are not Whale's own",
    )


def _seconds_in(message: str) -> float:
    """The time that a rate limit names, at most an hour; as long as a left lock without one."""
    found = _DURATION.search(message)
    bare = _BARE.search(message)
    if found is not None:
        seconds = float(found[1]) * _UNITS.get(found[2].lower(), 1.0)
    elif bare is not None:
        seconds = float(bare[1])
    else:
        return LEFT_LOCK_SECONDS
    return min(max(seconds, 1.0), LONGEST_WAIT_SECONDS)


def too_fast(seconds: float) -> WhaleFault:
    """The user may write again after so many seconds."""
    return WhaleFault(_TOO_FAST.code, _TOO_FAST.message, retry_after=seconds)


def not_offered() -> WhaleFault:
    """There is no such challenge for this user."""
    return WhaleFault(_NOT_OFFERED.code, _NOT_OFFERED.message)


def unauthenticated() -> WhaleFault:
    """Whale does not know who asks."""
    return WhaleFault(Code.UNAUTHENTICATED, "Whale does not accept your access; log in again")


def unreadable(answer: WhaleAnswer) -> WhaleFault:
    """The answer is none of Whale's: after a write it is not known what was done.

    After a 500 nobody is at work on it any more, and with 4xx nobody began; any other may come
    from something in front.
    """
    if answer.status == 429:
        return too_fast(LEFT_LOCK_SECONDS)
    over = answer.status == 500 or 400 <= answer.status < 500
    return WhaleFault(
        Code.UNAVAILABLE,
        "Whale answered in a way that cannot be understood; please try again shortly",
        retry_after=10.0,
        definite=answer.method == "GET",
        pending=answer.method != "GET" and not over,
        said=f"Whale answered {answer.status}, which is no answer of Whale's",
    )


def json_object(answer: WhaleAnswer, *content_types: str) -> dict[str, Any]:
    """The JSON object of an answer, or the fault that another kind of answer stands for."""
    if not isinstance(answer.body, dict):
        if answer.status in (301, 302, 303, 307, 308) or (
            answer.status in (401, 403) and answer.content_type == "text/html"
        ):
            raise unauthenticated()
        raise unreadable(answer)
    if answer.content_type not in content_types:
        raise unreadable(answer)
    return dict(answer.body)


def identity_at(access: Access) -> str:
    """What tells a container from others where Whale does not name it (Om-Arora's): the uuid in its
    host's name, else its address as a whole."""
    own, _, _ = access.host.partition(".")
    return uuid_in(own) or f"{access.host}:{access.port}"[-_LONGEST_IDENTITY:]


def uuid_in(value: object) -> str | None:
    """The container's uuid, None when it is none."""
    if isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F][0-9a-fA-F-]{7,63}", value):
        return value
    return None
