"""What an answer is made of: the content of three files, without what looks like a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from benchmarks.bench_file import RatioFigure
from conformance.report.results import BackendInfo, Report
from whale_ready.preflight.items import Item


class BackendRole(Enum):
    """What a backend is in a rollout from CRE to Whale."""

    CRE = "CRE"
    WHALE = "Whale"
    FAKE_WHALE = "a fake Whale"
    ROUTING = "the routing between them"
    OTHER = "neither"


@dataclass(frozen=True)
class Source:
    """Where evidence comes from."""

    file: str
    """The file's name without its folder."""
    sha256: str
    made_at: datetime
    """When its measurement began."""
    whale_ready: str
    """The version that made it."""


@dataclass(frozen=True)
class CheckFile:
    """A ``report.json``."""

    source: Source
    report: Report

    @property
    def backends(self) -> tuple[BackendInfo, ...]:
        return self.report.backends


@dataclass(frozen=True)
class BenchFile:
    """A ``bench.json``."""

    source: Source
    verdict: str
    interrupted: bool
    margins: tuple[str, ...]
    loop: str
    open_loop: bool
    backends: tuple[BackendInfo, ...]
    """A, B and, where there is one, the baseline."""
    ratios: tuple[RatioFigure, ...]
    cells: tuple[Mapping[str, Any], ...]
    """As they are in the file, for charts: ``backend``, ``call`` and ``quantiles``."""
    environment: Mapping[str, str]
    """Where it ran: what is a text there."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PreflightFile:
    """A ``preflight.json``."""

    source: Source
    url: str
    dialect: str
    version: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Evidence:
    """All that an answer is made of; None where a file was not given."""

    check: CheckFile | None = None
    bench: BenchFile | None = None
    preflight: PreflightFile | None = None

    @property
    def sources(self) -> dict[str, Source]:
        """Those that are there, by what they are."""
        files = {"check": self.check, "bench": self.bench, "preflight": self.preflight}
        return {name: file.source for name, file in files.items() if file is not None}


def part_of(backend: BackendInfo) -> BackendRole:
    """What a backend is, by its name and by what its harness says of itself."""
    name, versions = backend.name, backend.versions
    if name == "hybrid" or name.startswith("hybrid:"):
        return BackendRole.ROUTING
    if "fake_whale" in versions or name.startswith("whale:fake"):
        return BackendRole.FAKE_WHALE
    if name == "whale" or name.startswith("whale:") or "dialect" in versions:
        return BackendRole.WHALE
    return BackendRole.CRE if name == "cre" or name.startswith("cre:") else BackendRole.OTHER


def same_place(url: str) -> str:
    """An address in the form in which two of one place are equal."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{parts.hostname}:{port}{parts.path.rstrip('/')}"
