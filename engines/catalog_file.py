"""A catalogue of challenges from a TOML file: one ``[[challenge]]`` table each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timezone
from pathlib import Path
from typing import Any

from engines.catalog import (
    COMPANIONS,
    ChallengeSpec,
    Port,
    Readiness,
    Sandbox,
    StaticCatalog,
    Transport,
)
from engines.errors import CatalogError
from engines.settings import Settings
from engines.typed_input import PortNumber, Unfit, dotted, toml_file, typed

_NOT_ON_DISK = ("proc", "sys", "dev")
"""Folders that every container has and no image."""


def load_catalog(path: Path) -> StaticCatalog:
    """Read a TOML catalogue.

    Raises:
        CatalogError: the file cannot be read or a field is wrong; names the field and the fix.
    """
    try:
        document = toml_file(path)
    except Unfit as error:
        raise CatalogError(f"{path.name}: {error}") from None
    unknown = sorted(set(document) - {"challenge"})
    if unknown:
        raise CatalogError(
            f"{path.name}: unknown key {unknown[0]!r}; challenges stand in [[challenge]] tables"
        )
    tables = document.get("challenge", [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
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
    ports = table.get("ports")
    full = {**table, "ports": [_in_full(port) for port in ports]} if type(ports) is list else table
    try:
        written = typed(full, _Written)
    except Unfit as error:
        raise CatalogError(f"{_place(where, error, table)} {error.said}") from None
    if written.port is not None and "ports" in table:
        raise CatalogError(f"{where}: port and ports are both given; leave one out")
    values = {field.name: getattr(written, field.name) for field in fields(ChallengeSpec)}
    if written.port is not None:
        values["ports"] = (Port(written.port),)
    if written.ends_at is not None:
        values["ends_at"] = written.ends_at.astimezone(timezone.utc)
    spec = ChallengeSpec(**values)
    _agree(spec, where)
    return spec


@dataclass(frozen=True)
class _Written(ChallengeSpec):
    port: PortNumber | None = None
    """A single TCP port, instead of ``ports``."""


def _in_full(port: object) -> object:
    """A port that is written as 8080 or "53/udp"; what is neither is left to be refused."""
    if type(port) is int:
        return {"number": port}
    number, slash, transport = str(port).partition("/")
    if slash and number.isdecimal():
        return {"number": int(number), "transport": transport}
    return port


def _place(where: str, error: Unfit, table: Mapping[str, Any]) -> str:
    match error.place:
        case "companions", int(number), *inner if inner:
            name = table["companions"][number].get("name", "?")
            return f"{where}: companions {name}: {dotted(inner)}"
    return f"{where}: {dotted(error.place)}"


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
    names = [companion.name for companion in spec.companions]
    if len(set(names)) != len(names):
        raise CatalogError(f"{where}: companions have the same name; each needs its own")
    _agree_inside(spec, where)
    for companion in spec.companions:
        _agree_inside(companion, f"{where}: companions {companion.name}")
        if companion.readiness is Readiness.HTTP:
            raise CatalogError(
                f"{where}: companions {companion.name}: readiness must be one of tcp, healthcheck, "
                "none"
            )
        if companion.port is not None and companion.readiness is not Readiness.TCP:
            raise CatalogError(
                f"{where}: companions {companion.name}: port is what readiness looks for; write "
                'readiness = "tcp" or leave it out'
            )


def _agree_inside(sandbox: Sandbox, where: str) -> None:
    """What the fields of one container say together."""
    if "FLAG" in sandbox.environment:
        raise CatalogError(
            f"{where}: environment.FLAG is set by the engine, one per instance; remove it"
        )
    below = sandbox.flag_file.split("/")[1:2]
    if below and below[0] in _NOT_ON_DISK:
        raise CatalogError(
            f"{where}: flag_file cannot be below /{below[0]}, which is made at each start"
        )
    if sandbox.flag_file and sandbox.read_only:
        raise CatalogError(
            f"{where}: flag_file cannot be put on a root that is read_only; leave one of them out"
        )
