"""Answers that no Whale gives, made from a seeded source of chance: the fault ``fuzzed``.

Most are an answer of Whale's with something wrong in it, in any of its dialects; the others are
wrong from the ground up, in JSON, encoding, headers or framing. A few of the first kind are right
by accident. Addresses in them lead nowhere but to loopback.
"""

from __future__ import annotations

import copy
import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any

PAUSE_SECONDS = 0.002
"""Between the pieces of an answer that drips."""
MOST_PIECES = 40
_UUID = "8f14e45f-ceea-467a-9a36-dedd4bea2543"
_LINK = '<a target="_blank" href="http://x.127.0.0.1.nip.io:8080/">Link to the Challenge</a>'
_OTHER = "Container already started but not from this challenge (%s)"


class End(Enum):
    """What comes after the last byte."""

    CLOSED = "closed"
    RESET = "reset"
    OPEN = "open"
    """Nothing: the connection stays as it is."""


@dataclass(frozen=True)
class FuzzedAnswer:
    """Bytes for the wire."""

    pieces: tuple[bytes, ...]
    """Sent one after the other, with :data:`PAUSE_SECONDS` between."""
    end: End


def fuzzed(random: Random) -> FuzzedAnswer:
    """The next answer."""
    if random.random() < 0.3:
        return _sent(200, "application/json", json.dumps(_near_miss(random)).encode())
    body = _body(random)
    if random.random() < 0.7:
        status = random.choice((200, 200, 200, 200, 403, 403, 403, 400, 404, 429, 500))
        kind = random.choice(("application/json", "application/json", "text/html"))
        return _sent(status, kind, body)
    return random.choice(_FRAMES)(random, body)


def _sent(status: int, kind: str, body: bytes) -> FuzzedAnswer:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return FuzzedAnswer((head.encode() + b"Connection: close\r\n\r\n" + body,), End.CLOSED)


# Bodies.


def _near_miss(random: Random) -> Any:
    """What is said of a container, with one value that makes no sense."""
    value: Any = copy.deepcopy(random.choice(_RUNNING))
    table = value.get("data", value)
    key = random.choice(list(table))
    number = isinstance(table[key], int)
    table[key] = random.choice(_NUMBERS) if number else random.choice(_TEXTS)(random)
    return value


def _body(random: Random) -> bytes:
    """Text that is to be JSON, more or less."""
    if random.random() < 0.15:
        return random.choice(_NO_JSON)(random)
    value: Any = copy.deepcopy(random.choice((*_RUNNING, *_GENUINE)))
    for _ in range(random.choice((0, 1, 1, 1, 1, 2, 4))):
        value = _mutated(random, value)
    text = json.dumps(value, ensure_ascii=random.random() < 0.7)
    return text.encode(random.choice(("utf-8", "utf-8", "utf-8", "utf-16", "latin-1")), "replace")


_RUNNING: tuple[Any, ...] = (
    {
        "success": True,
        "data": {"lan_domain": f"2-{_UUID}", "user_access": _LINK, "remaining_time": 3600},
    },
    {
        "success": True,
        "data": {"lan_domain": f"2-{_UUID}", "user_access": "nc 127.0.0.1 9", "remaining_time": 1},
    },
    {
        "success": True,
        "data": {"uuid": "abc12345", "remaining_time": 450, "subdomain": "x.127.0.0.1.nip.io"},
    },
    {
        "success": True,
        "type": "redirect",
        "ip": "127.0.0.1",
        "port": 9,
        "lan_domain": f"2-{_UUID}",
        "remaining_time": 10,
    },
)
_GENUINE: tuple[Any, ...] = (
    {"success": True, "data": {}},
    {"success": True, "message": "Container created"},
    {"success": True},
    {},
    {"success": False, "message": _OTHER % '<a href="/challenges#web-A-7">A</a>'},
    {"success": False, "message": "Container creation failed"},
    {"success": False, "message": "Request Too Fast!"},
    {"success": False, "message": "You should wait at least 5 seconds."},
    {"success": False, "message": "No such container"},
    {"success": False, "msg": "Max renewal times exceed."},
    {"message": "Internal Server Error"},
    {"success": True, "data": {"id": 1, "value": "ctfd_" + 64 * "0"}},
)

_NUMBERS: tuple[Any, ...] = (
    *(0, -1, True, 2**31, 2**63, -(10**12), 10**12, 10**30, 10**400),
    *(0.5, -1e308, float("inf"), float("nan"), "3600"),
)
_TEXTS: tuple[Callable[[Random], str], ...] = (
    lambda random: "".join(chr(random.choice(_ODD)) for _ in range(random.randrange(40))),
    lambda random: random.choice(("a", "<a href=", "wait 1 ", "-", "&#")) * random.choice((9, 999)),
    lambda random: _OTHER % f'<a href="/challenges#-{"9" * random.choice((3, 18, 19, 99))}">x</a>',
    lambda random: "Frequency limit, wait " + "9" * random.choice((1, 5, 400)) + " seconds",
    lambda random: f"nc 127.0.0.1{chr(random.choice(_ODD))}9",
    lambda random: f"http://127.0.0.1:{random.choice(_NUMBERS)}/{chr(random.choice(_ODD))}",
)
_LEAVES: tuple[Callable[[Random], Any], ...] = (
    lambda _: None,
    lambda _: False,
    lambda _: [],
    lambda _: {},
    lambda random: _nested(random.choice((2, 15, 17, 300))),
    lambda random: random.choice(_NUMBERS),
    lambda random: random.choice(_TEXTS)(random),
)
_ODD: tuple[int, ...] = (
    *range(0x20),
    0x7F,
    0x9B,
    0xAD,
    0x202E,
    0x2028,
    0xFEFF,
    0xD800,
    0x1F600,
    0x663,
    0x41,
    0x2D,
)


def _nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"data": value}
    return value


def _mutated(random: Random, value: Any) -> Any:
    """``value`` with one thing changed, at the top or further down."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = "data" if "data" in value and random.random() < 0.5 else random.choice(list(value))
        how = random.random()
        if how < 0.15:
            del value[key]
        elif how < 0.25:
            value[random.choice(("success", "data", "message", "x", "", "msg"))] = _leaf(random)
        else:
            value[key] = _mutated(random, value[key])
        return value
    if random.random() < 0.5:
        if isinstance(value, str):
            return random.choice(_TEXTS)(random)
        if isinstance(value, int):
            return random.choice(_NUMBERS)
    return _leaf(random)


def _leaf(random: Random) -> Any:
    return random.choice(_LEAVES)(random)


_NO_JSON: tuple[Callable[[Random], bytes], ...] = (
    lambda _: b"",
    lambda _: b"<!DOCTYPE html>\n<title>Just a moment...</title>",
    lambda random: random.randbytes(random.choice((1, 100, 5000))),
    lambda random: random.choice((b"[", b'{"data":', b'[{"a":')) * random.choice((500, 100_000)),
    lambda _: b'{"success": true, "data": {"remaining_time": ' + b"9" * 5000 + b"}}",
    lambda _: b'\xef\xbb\xbf{"success": true}',
    lambda _: b'{"success": false, "success": true, "data": {}, "data": []}',
    lambda _: b'{"success": true, "data": {}} trailing',
    lambda _: b'{"success": tru',
    lambda random: b'"' + random.choice((b"a", b"\\ud800", b"wait 1 ")) * 30_000 + b'"',
    lambda _: b'{"success": false, "message": "' + b"wait " * 200_000 + b'"}',
    lambda _: b" " * 1_200_000,
)

# Frames.


def _head(random: Random, *lines: str) -> bytes:
    status = random.choice(
        ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK", "HTTP/1.0 403 No", "HTTP/1.1 500")
    )
    text = "\r\n".join((status, "Content-Type: application/json", *lines, "", ""))
    return text.encode("latin-1", "replace")


def _status_line(random: Random, body: bytes) -> FuzzedAnswer:
    line = random.choice(
        (
            *("", "HTTP/1.1", "HTTP/1.1 abc OK", "HTTP/1.1 -1 X", "HTTP/1.1 999 X", "HTTP/1.1 0 X"),
            *("HTTP/9.9 200 OK", "HTTP/1.1 200", "ICY 200 OK", "{}", "HTTP/1.1 100 Continue"),
            *("HTTP/1.1 204 No", "HTTP/1.1 304 No", "HTTP/1.1 302 Found\r\nLocation: /login"),
            *("HTTP/1.1 502 X", "HTTP/1.1 " + "2" * 70_000, "HTTP/1.1 200 \x1b[2J\x00"),
        )
    )
    return FuzzedAnswer((line.encode() + b"\r\nX: y\r\n\r\n" + body,), End.CLOSED)


def _length(random: Random, body: bytes) -> FuzzedAnswer:
    said = random.choice(
        (
            "-1",
            "abc",
            "",
            "0",
            "1",
            f"{len(body) + 9}",
            "9" * 30,
            f"{len(body)}, 3",
            "\u0663",
            "1e3",
        )
    )
    lines = [f"Content-Length: {said}"] * random.choice((1, 1, 2))
    end = random.choice((End.CLOSED, End.RESET))
    return FuzzedAnswer((_head(random, *lines) + body,), end)


def _headers(random: Random, body: bytes) -> FuzzedAnswer:
    lines = random.choice(
        (
            *(
                [f"X-{n}: y" for n in range(150)],
                ["X: " + "y" * 70_000],
                ["no colon here"],
                [": y"],
            ),
            *([" folded"], ["X:\x00\x1b\x7f"], ["Content-Type: application/json; charset"]),
            *(
                ["Content-Type: application/json; charset=nonsense"],
                ["Content-Type:"],
                ["\x85X: y"],
            ),
            [
                "Set-Cookie: session=\x1b[31m; expires=never; path",
                "Set-Cookie: =;;;=",
                "Date: \x00",
            ],
            ["Set-Cookie: a=b; expires=Thu, 99 Foo 99999 99:99:99 GMT; max-age=" + "9" * 400],
            ["Location: http://[", "Retry-After: -1", "Transfer-Encoding: identity, x"],
        )
    )
    lines = [*lines, f"Content-Length: {len(body)}", "Connection: close"]
    return FuzzedAnswer((_head(random, *lines) + body,), End.CLOSED)


def _chunks(random: Random, body: bytes) -> FuzzedAnswer:
    size = random.choice((b"%x" % len(body), b"-1", b"zz", b"f" * 5000, b"fffffffffffffff", b""))
    text = size + random.choice((b"", b";x=y", b";" + b"x" * 70_000)) + b"\r\n" + body + b"\r\n"
    last = random.choice((b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b""))
    return FuzzedAnswer((_head(random, "Transfer-Encoding: chunked") + text + last,), End.CLOSED)


_BOMB = gzip.compress(bytes(4 << 20), mtime=0)
_CODINGS: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
    ("gzip", gzip.compress),
    ("GZIP", gzip.compress),
    ("gzip", lambda body: body),
    ("gzip", lambda body: gzip.compress(body)[:-6]),
    ("gzip", lambda body: gzip.compress(body) + b"x" * 99),
    ("gzip", lambda _: _BOMB),
    ("x-gzip", lambda body: 2 * gzip.compress(body)),
    ("gzip, gzip", lambda body: gzip.compress(gzip.compress(body))),
    ("deflate", zlib.compress),
    ("br", lambda body: body),
    ("zstd", lambda _: b"\x28\xb5\x2f\xfd"),
    ("identity", lambda body: body),
    ("\x00", lambda _: b""),
)


def _coding(random: Random, body: bytes) -> FuzzedAnswer:
    coding, pack = random.choice(_CODINGS)
    sent = pack(body)
    lines = (f"Content-Encoding: {coding}", f"Content-Length: {len(sent)}")
    return FuzzedAnswer((_head(random, *lines) + sent,), End.CLOSED)


def _drip(random: Random, body: bytes) -> FuzzedAnswer:
    text = (_head(random, f"Content-Length: {len(body)}") + body)[:10_000]
    size = max(1, len(text) // random.choice((2, 9, MOST_PIECES)))
    pieces = tuple(text[at : at + size] for at in range(0, len(text), size))
    return FuzzedAnswer(pieces[: random.choice((1, len(pieces)))], random.choice(tuple(End)))


def _nothing(random: Random, _body: bytes) -> FuzzedAnswer:
    text = random.choice((b"", b"H", b"HTTP/1.1 200 OK\r\n", b"\x16\x03\x01\x02\x00", b"\x00" * 99))
    return FuzzedAnswer((text,), random.choice((End.CLOSED, End.RESET)))


_FRAMES = (_status_line, _length, _headers, _chunks, _coding, _drip, _nothing)
