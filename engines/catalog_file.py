"""A catalogue of challenges from a TOML file: one ``[[challenge]]`` table each."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any

from engines.catalog import (
    COMPANIONS,
    ChallengeSpec,
    Companion,
    Port,
    Pull,
    Readiness,
    Sandbox,
    StaticCatalog,
    Transport,
    Visibility,
)
from engines.errors import CatalogError
from engines.settings import Settings

_NOT_ON_DISK = ("proc", "sys", "dev")
"""Folders that every container has and no image."""

Check = Callable[[Any, str], Any]
"""Turns a TOML value into a field's, or raises CatalogError with the place it was given."""


def load_catalog(path: Path) -> StaticCatalog:
    """Read a TOML catalogue.

    Raises:
        CatalogError: the file cannot be read or a field is wrong; names the field and the fix.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogError(f"{path.name}: cannot be read as TOML: {error}") from None
    unknown = sorted(set(document) - {"challenge"})
    if unknown:
        raise CatalogError(
            f"{path.name}: unknown key {unknown[0]!r}; challenges stand in [[challenge]] tables"
        )
    tables = document.get("challenge", [])
    if not isinstance(tables, list):
        raise CatalogError(f"{path.name}: write [[challenge]] with two brackets, one per challenge")
    return StaticCatalog(
        read_challenge(table, f"{path.name}: challenge {number}")
        for number, table in enumerate(tables, start=1)
    )


def catalog_from(settings: Settings) -> StaticCatalog:
    """The catalogue that a deployment's settings name; an empty one where they name none.

    Raises:
        CatalogError: see :func:`load_catalog`.
    """
    return (
        StaticCatalog()
        if settings.challenges_file is None
        else load_catalog(settings.challenges_file)
    )


def read_challenge(table: Mapping[str, Any], where: str) -> ChallengeSpec:
    """One challenge from its table.

    Raises:
        CatalogError: a field is wrong; names it, after ``where``, and the fix.
    """
    if "port" in table:
        if "ports" in table:
            raise CatalogError(f"{where}: port and ports are both given; leave one out")
        number = _whole(1, 65535)(table["port"], f"{where}: port")
        table = {**table, "ports": [number]}
        del table["port"]
    spec = ChallengeSpec(**_values(ChallengeSpec, _CHALLENGE, table, where))
    _agree(spec, where)
    return spec


def _values(
    kind: type[ChallengeSpec] | type[Companion],
    checks: Mapping[str, Check],
    table: Mapping[str, Any],
    where: str,
) -> dict[str, Any]:
    known = {each.name for each in fields(kind)}
    for key in table:
        if key not in known:
            shown = ", ".join(sorted(known | ({"port"} if kind is ChallengeSpec else set())))
            raise CatalogError(f"{where}: unknown field {key!r}; known are {shown}")
    for key in ("id", "name", "image"):
        if key in known and key not in table:
            raise CatalogError(f"{where}: field {key!r} is missing")
    return {key: checks[key](value, f"{where}: {key}") for key, value in table.items()}


def _agree(spec: ChallengeSpec, where: str) -> None:
    """What single fields cannot show."""
    asks = spec.readiness in (Readiness.HTTP, Readiness.TCP)
    if asks and (not spec.ports or spec.ports[0].transport is Transport.UDP):
        raise CatalogError(
            f"{where}: readiness {spec.readiness.value!r} asks the first of ports, which must be "
            'a tcp port; put one first or write readiness = "healthcheck" or "none"'
        )
    if len(set(spec.ports)) != len(spec.ports):
        raise CatalogError(f"{where}: ports names one twice; leave it out")
    if len(spec.companions) > COMPANIONS:
        raise CatalogError(f"{where}: companions are at most {COMPANIONS}; leave some out")
    names = [each.name for each in spec.companions]
    if len(set(names)) != len(names):
        raise CatalogError(f"{where}: companions have the same name; each needs its own")
    _agree_inside(spec, where)
    for each in spec.companions:
        _agree_inside(each, f"{where}: companions {each.name}")
        if each.readiness is Readiness.HTTP:
            raise CatalogError(
                f"{where}: companions {each.name}: readiness must be one of tcp, healthcheck, none"
            )
        if each.port is not None and each.readiness is not Readiness.TCP:
            raise CatalogError(
                f"{where}: companions {each.name}: port is what readiness looks for; write "
                'readiness = "tcp" or leave it out'
            )


def _agree_inside(sandbox: Sandbox, where: str) -> None:
    """What the fields of one container say together."""
    if sandbox.flag_file and sandbox.read_only:
        raise CatalogError(
            f"{where}: flag_file cannot be put on a root that is read_only; leave one of them out"
        )


def _whole(low: int, high: int) -> Check:
    def check(value: Any, where: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise CatalogError(f"{where} must be a whole number from {low} to {high}")
        return value

    return check


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise CatalogError(f"{where} must be a text that is not empty")
    return value


def _pattern(pattern: str, example: str) -> Check:
    def check(value: Any, where: str) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise CatalogError(f"{where} must be written as {example}")
        return value

    return check


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise CatalogError(f"{where} must be true or false")
    return value


def _cpus(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 256:
        raise CatalogError(f"{where} must be a number above 0, such as 0.5")
    return float(value)


def _choice(kind: type[Enum]) -> Check:
    def check(value: Any, where: str) -> Enum:
        try:
            return kind(value)
        except ValueError:
            words = ", ".join(str(each.value) for each in kind)
            raise CatalogError(f"{where} must be one of {words}") from None

    return check


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise CatalogError(f"{where} must be a list of texts")
    return tuple(value)


def _each(check_one: Check) -> Check:
    def check(value: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise CatalogError(f"{where} must be a list")
        return tuple(check_one(each, where) for each in value)

    return check


def _environment(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise CatalogError(f"{where} must be a table of texts")
    if "FLAG" in value:
        raise CatalogError(f"{where}.FLAG is set by the engine, one per instance; remove it")
    return dict(value)


def _ulimits(value: Any, where: str) -> dict[str, int]:
    if not isinstance(value, dict):
        raise CatalogError(f"{where} must be a table such as {{ nofile = 1024 }}")
    return {name: _whole(0, 1 << 30)(each, f"{where}.{name}") for name, each in value.items()}


def _port(value: Any, where: str) -> Port:
    number, _, transport = str(value).partition("/")
    right = type(value) is int or (isinstance(value, str) and transport in ("tcp", "udp"))
    if not right or not number.isdecimal() or not 1 <= int(number) <= 65535:
        raise CatalogError(f'{where} must be a list such as [8080, "53/udp"]')
    return Port(int(number), Transport(transport or "tcp"))


def _flag_file(value: Any, where: str) -> str:
    parts = str(value).split("/")
    right = isinstance(value, str) and len(parts) > 1 and not parts[0]
    if not right or any(part in ("", ".", "..") for part in parts[1:]) or "\0" in value:
        raise CatalogError(f"{where} must be a path from the root, as /home/ctf/flag.txt")
    if parts[1] in _NOT_ON_DISK:
        raise CatalogError(f"{where} cannot be below /{parts[1]}, which is made at each start")
    return str(value)


def _moment(value: Any, where: str) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise CatalogError(f"{where} must be a time with its zone, as 2026-12-01T18:00:00+01:00")
    return value.astimezone(timezone.utc)


def _companion(value: Any, where: str) -> Companion:
    if not isinstance(value, dict):
        raise CatalogError(f"{where} are written as [[challenge.companions]] tables")
    named = f"{where} {value.get('name', '?')}"
    return Companion(**_values(Companion, _COMPANION, value, named))


_SANDBOX: Mapping[str, Check] = {
    "command": _texts,
    "environment": _environment,
    "memory_mb": _whole(6, 1 << 20),
    "cpus": _cpus,
    "pids_limit": _whole(1, 1 << 20),
    "capabilities": _each(_pattern(r"[A-Z][A-Z_]*[A-Z]", "NET_BIND_SERVICE, without CAP_")),
    "ulimits": _ulimits,
    "read_only": _flag,
    "user": _text,
    "init": _flag,
    "shm_mb": _whole(1, 1 << 20),
    "no_new_privileges": _flag,
    "disk_mb": _whole(0, 1 << 30),
    "flag_file": _flag_file,
    "flag_owner": _pattern(r"\d{1,9}(:\d{1,9})?", "numbers, as 1000 or 1000:1000"),
}
_COMPANION: Mapping[str, Check] = {
    **_SANDBOX,
    "name": _pattern(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", "a host name such as db"),
    "image": _text,
    "flag": _flag,
    "readiness": _choice(Readiness),
    "port": _whole(1, 65535),
}
_CHALLENGE: Mapping[str, Check] = {
    **_SANDBOX,
    "id": _whole(1, 2**63 - 1),
    "name": _text,
    "image": _text,
    "ports": _each(_port),
    "visibility": _choice(Visibility),
    "readiness": _choice(Readiness),
    "flag_prefix": _text,
    "companions": _each(_companion),
    "egress": _flag,
    "host": _pattern(r"[A-Za-z0-9.:_-]+", "a host name or address"),
    "pull": _choice(Pull),
    "timeout_seconds": _whole(1, 30 * 86400),
    "ends_at": _moment,
    "limit": _whole(1, 1_000_000),
    "warm": _whole(0, 1000),
    "ends_on_solve": _flag,
    "nodes": _each(_pattern(r"[\w.-]+\s*(==|!=)\s*\S+", "node.labels.ctf==true")),
    "whale": _flag,
}
