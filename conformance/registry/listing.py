"""What can be checked on this machine: the suite's own backends and those that packages bring."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.registry.backends import (
    BUILT_IN,
    DIALECTS,
    PACKAGE,
    BackendSpecError,
    built_in,
    clash,
    resolve,
)
from conformance.registry.installed import Installed, installed_backends


@dataclass(frozen=True)
class Listed:
    """One backend that ``--backend`` may name."""

    spec: str
    kind: str
    origin: str
    """The package it is from."""
    needs: str
    """What must be there for it; empty for nothing."""
    problem: str = ""
    """Why it cannot be checked; empty when it can be named."""


def listed() -> list[Listed]:
    """All of them: the suite's own, then the installed ones by name.

    Factories are called, which makes harnesses; none is opened.
    """
    own = [_own(spec) for spec in BUILT_IN]
    dialects = ", ".join(DIALECTS)
    fake = Listed(
        "whale:fake[:DIALECT|:FORK][:teams]",
        f"WhaleAPIManager over HTTP to a fake Whale ({dialects}; without :DIALECT the first)",
        PACKAGE,
        "",
    )
    live = Listed(
        "NAME=https://HOST",
        "WhaleAPIManager on a Whale that serves players",
        PACKAGE,
        "that Whale, and --whale-world FILE",
    )
    return [*own, fake, live, *(_installed(backend) for backend in installed_backends())]


def _own(spec: str) -> Listed:
    harness = built_in(spec).harness
    return Listed(spec, harness.kind, PACKAGE, harness.needs)


def _installed(point: Installed) -> Listed:
    problem = clash(point)
    if problem is not None:
        return Listed(point.name, "", point.origin, "", f"--backend {point.name}: {problem}")
    try:
        harness = resolve(point.name).harness
    except BackendSpecError as error:
        return Listed(point.name, "", point.origin, "", str(error))
    return Listed(point.name, harness.kind, point.origin, harness.needs)
