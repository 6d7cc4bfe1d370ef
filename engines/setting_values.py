"""How the values of settings are read: each takes a text and returns the value.

They raise :class:`ValueError` with the fix; ``settings.py`` puts the setting's name before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from ipaddress import IPv4Network
from urllib.parse import urlsplit


def boolean(text: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in known:
        raise ValueError("write true or false")
    return known[text.lower()]


def whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"write a whole number from {low} to {high}")
        return int(text)

    return parse


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 86400:
        raise ValueError("write a number of seconds above 0 and at most 86400")
    return value


def url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write an address such as https://ctf.example.org")
    if parts.username or parts.password:
        raise ValueError("leave user and password out of the address; tokens go into a file")
    return text.rstrip("/")


def database(text: str) -> str:
    if "://" not in text:
        raise ValueError("write an SQLAlchemy URL such as sqlite:////var/lib/whale-ready/state.db")
    return text


def port_range(text: str) -> range:
    first, dash, last = text.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal()):
        raise ValueError("write two ports, as 30000-30999")
    if not 1 <= int(first) <= int(last) <= 65535:
        raise ValueError("write two ports from 1 to 65535, the lower one first")
    return range(int(first), int(last) + 1)


def network(text: str) -> IPv4Network:
    try:
        network = IPv4Network(text)
    except ValueError:
        raise ValueError("write an IPv4 network, as 10.213.0.0/16") from None
    if not 8 <= network.prefixlen <= 18:
        raise ValueError(
            "write a network from /8 to /18; many challenges with companions want a /16"
        )
    return network


def moment(text: str) -> datetime:
    complaint = "write a time with its zone, as 2026-12-01T18:00:00+01:00"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(complaint) from None
    if moment.tzinfo is None:
        raise ValueError(complaint)
    return moment.astimezone(timezone.utc)


def word(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"write one of {', '.join(words)}")
        return text

    return parse


def docker_host(text: str) -> str:
    if urlsplit(text).scheme not in ("unix", "tcp", "ssh"):
        raise ValueError("write unix:///var/run/docker.sock, tcp://HOST:2376 or ssh://USER@HOST")
    return text


def constraints(text: str) -> tuple[str, ...]:
    """Placement constraints of Docker Swarm, with commas between them."""
    given = tuple(part.strip() for part in text.split(",") if part.strip())
    if not all(re.fullmatch(r"[\w.-]+\s*(==|!=)\s*\S+", each) for each in given):
        raise ValueError("write constraints with commas between them, as node.labels.ctf==true")
    return given
