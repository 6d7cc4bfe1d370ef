"""What a request asks for, checked: bodies are small JSON objects, ids are positive numbers.

Whatever is wrong raises :class:`engines.web.answers.Refused`, which names the member and the fix.
Members and parameters with other names are not looked at: none of them can change who is asking.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Request

from engines.contract import LARGEST_ID
from engines.web.answers import Refused, WebCode

CHALLENGE_NAMES = ("challenge_id", "chal_id", "id")
"""What the challenge may be called; two that disagree are refused."""

LARGEST_BODY = 4096
"""Bytes; a body of ours has fewer than a hundred."""

_DECIMAL = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_KINDS: Mapping[type, str] = {
    bool: "true or false",
    str: "text; write it without quotes",
    float: "a number with a point or an exponent; write it without",
    int: "a number outside it",
    type(None): "null",
    list: "a list",
    dict: "an object",
}


def members(request: Request) -> Mapping[str, Any]:
    """The body's members."""
    if request.mimetype != "application/json":
        raise Refused(
            WebCode.NOT_JSON, "Send the body as JSON, with the header Content-Type application/json"
        )
    found = _parsed(_read(request))
    if not isinstance(found, dict):
        raise Refused(
            WebCode.BAD_REQUEST, 'The body must be a JSON object, such as {"challenge_id": 5}'
        )
    return found


def challenge_in_body(found: Mapping[str, Any]) -> int:
    """The challenge that a body names, under any of :data:`CHALLENGE_NAMES`."""
    given = {name: number(name, found[name]) for name in CHALLENGE_NAMES if name in found}
    return _the_one(given, 'in the body, as in {"challenge_id": 5}')


def challenge_in_query(request: Request) -> int:
    """The challenge that a query names, under any of :data:`CHALLENGE_NAMES`."""
    given: dict[str, int] = {}
    for name in CHALLENGE_NAMES:
        value = number_in_query(request, name)
        if value is not None:
            given[name] = value
    return _the_one(given, "in the query, as in ?challenge_id=5")


def number(name: str, value: object) -> int:
    """A member that must be an id."""
    # type() and not isinstance(): true is no id.
    if type(value) is int and 1 <= value <= LARGEST_ID:
        return value
    kind = _KINDS.get(type(value), "something else")
    raise Refused(
        WebCode.BAD_REQUEST, f"{name} must be a whole number from 1 to {LARGEST_ID}, not {kind}"
    )


def required(found: Mapping[str, Any], name: str) -> int:
    """A member that must be there and be an id."""
    if name not in found:
        raise Refused(WebCode.BAD_REQUEST, f"{name} is missing; add it to the body, as a number")
    return number(name, found[name])


def optional(found: Mapping[str, Any], name: str) -> int | None:
    """A member that may be missing or null, and is an id otherwise."""
    return None if found.get(name) is None else number(name, found[name])


def number_in_query(request: Request, name: str, most: int = LARGEST_ID) -> int | None:
    """A number of the query in plain decimal digits, or None where there is none."""
    given = request.args.getlist(name)
    if not given:
        return None
    if len(set(given)) > 1:
        raise Refused(WebCode.BAD_REQUEST, f"{name} is given twice and disagrees; give it once")
    if _DECIMAL.fullmatch(given[0]) and int(given[0]) <= most:
        return int(given[0])
    raise Refused(
        WebCode.BAD_REQUEST,
        f"{name} must be a whole number from 1 to {most}, in digits, as in ?{name}=5",
    )


def _the_one(given: Mapping[str, int], where: str) -> int:
    if not given:
        raise Refused(WebCode.BAD_REQUEST, f"challenge_id is missing; name the challenge {where}")
    if len(set(given.values())) > 1:
        names = " and ".join(given)
        raise Refused(WebCode.BAD_REQUEST, f"{names} disagree; give challenge_id alone")
    return next(iter(given.values()))


def _read(request: Request) -> bytes:
    most = min(LARGEST_BODY, request.max_content_length or LARGEST_BODY)
    length = request.content_length
    if (length or 0) > most:
        raise _too_large(most)
    # Without a length it is sent in chunks, or there is no body at all.
    data = request.stream.read(most + 1) if length is None else request.get_data()
    if len(data) > most:
        raise _too_large(most)
    return data


def _too_large(most: int) -> Refused:
    return Refused(WebCode.TOO_LARGE, f"The body is larger than {most} bytes")


def _parsed(data: bytes) -> object:
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_object)
    except (ValueError, RecursionError):  # undecodable, no JSON, too long a number, too deep
        raise Refused(
            WebCode.BAD_REQUEST, 'The body is no JSON; send an object such as {"challenge_id": 5}'
        ) from None


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Refused(WebCode.BAD_REQUEST, "The body names one member twice; name each once")
    return found
