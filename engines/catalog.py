"""Challenges and where they come from: :class:`ChallengeSpec` and its catalogues."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from engines.errors import CatalogError


class Visibility(str, Enum):
    """Whether players may start a challenge; the words are CTFd's."""

    VISIBLE = "visible"
    HIDDEN = "hidden"
    LOCKED = "locked"


class Readiness(str, Enum):
    """How a fresh container shows that it serves."""

    HTTP = "http"
    """Any HTTP answer on its first port."""
    TCP = "tcp"
    """A connection to its first port is accepted and stays open."""
    NONE = "none"
    """As soon as the container runs."""


@dataclass(frozen=True)
class ChallengeSpec:
    """What to run for a challenge."""

    id: int
    name: str
    image: str
    port: int = 80
    """TCP port inside the container."""
    visibility: Visibility = Visibility.VISIBLE
    readiness: Readiness = Readiness.TCP
    memory_mb: int = 128
    cpus: float = 0.5
    pids_limit: int = 128
    """Processes and threads in the container."""
    flag_prefix: str = "flag"
    """The flag is ``PREFIX{random}``."""
    command: tuple[str, ...] = ()
    """Replaces the image's own command when not empty."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further variables; ``FLAG`` is always set by the engine."""

    @property
    def startable(self) -> bool:
        return self.visibility is Visibility.VISIBLE


class Catalog(Protocol):
    """Where challenges are looked up."""

    def get(self, challenge_id: int) -> ChallengeSpec | None:
        """The challenge, or None when there is none of this id."""
        ...


class StaticCatalog:
    """A fixed list of challenges."""

    def __init__(self, specs: Iterable[ChallengeSpec] = ()) -> None:
        self._specs: dict[int, ChallengeSpec] = {}
        for spec in specs:
            if spec.id in self._specs:
                raise CatalogError(f"challenge id {spec.id} is given twice; ids must be unique")
            self._specs[spec.id] = spec

    def get(self, challenge_id: int) -> ChallengeSpec | None:
        return self._specs.get(challenge_id)


def load_catalog(path: Path) -> StaticCatalog:
    """Read a TOML catalogue: one ``[[challenge]]`` table per challenge.

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
        _spec(table, f"{path.name}: challenge {number}")
        for number, table in enumerate(tables, start=1)
    )


def _spec(table: Mapping[str, Any], where: str) -> ChallengeSpec:
    known = {each.name for each in fields(ChallengeSpec)}
    for key in table:
        if key not in known:
            raise CatalogError(
                f"{where}: unknown field {key!r}; known are {', '.join(sorted(known))}"
            )
    for key in ("id", "name", "image"):
        if key not in table:
            raise CatalogError(f"{where}: field {key!r} is missing")
    values = {key: _FIELDS[key](value, f"{where}: {key}") for key, value in table.items()}
    return ChallengeSpec(**values)


def _whole(low: int, high: int) -> Any:
    def check(value: Any, where: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise CatalogError(f"{where} must be a whole number from {low} to {high}")
        return value

    return check


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise CatalogError(f"{where} must be a text that is not empty")
    return value


def _cpus(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 256:
        raise CatalogError(f"{where} must be a number above 0, such as 0.5")
    return float(value)


def _choice(kind: type[Enum]) -> Any:
    def check(value: Any, where: str) -> Enum:
        try:
            return kind(value)
        except ValueError:
            words = ", ".join(str(each.value) for each in kind)
            raise CatalogError(f"{where} must be one of {words}") from None

    return check


def _command(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise CatalogError(f"{where} must be a list of texts")
    return tuple(value)


def _environment(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise CatalogError(f"{where} must be a table of texts")
    if "FLAG" in value:
        raise CatalogError(f"{where}.FLAG is set by the engine, one per instance; remove it")
    return dict(value)


_FIELDS: Mapping[str, Any] = {
    "id": _whole(1, 2**63 - 1),
    "name": _text,
    "image": _text,
    "port": _whole(1, 65535),
    "visibility": _choice(Visibility),
    "readiness": _choice(Readiness),
    "memory_mb": _whole(6, 1 << 20),
    "cpus": _cpus,
    "pids_limit": _whole(1, 1 << 20),
    "flag_prefix": _text,
    "command": _command,
    "environment": _environment,
}
