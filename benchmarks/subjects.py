"""Which backends a benchmark compares, and the baseline beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import container_whale, raw_docker
from conformance.registry.backends import BackendSpecError, Subject, resolve

DEFAULTS = ("cre", container_whale.SPEC)
_SIMULATED = {"cre": "cre:memory", container_whale.SPEC: "whale:fake"}
"""What stands in for a backend where no Docker engine is."""
_ON_DOCKER = frozenset(_SIMULATED)


def chosen(specs: Sequence[str], accounts: int, whale_world: Path | None = None) -> list[Subject]:
    """The two backends of a comparison: the one that is, and the one that may take its place.

    Without ``specs`` they are CRE and a fake Whale, on Docker where there is one.

    Args:
        whale_world: says what a live Whale may be used for.

    Raises:
        BackendSpecError: they are not two, or one of them cannot be loaded.
    """
    if specs and len(specs) != 2:
        raise BackendSpecError(
            "--backend: name two, first the one that is, then the one that may take its place"
        )
    if not specs:
        return [_with_fallback(spec, accounts) for spec in DEFAULTS]
    return [_made(spec, accounts, whale_world) for spec in specs]


def baseline(subjects: Sequence[Subject], accounts: int) -> Subject | None:
    """Raw Docker, where a backend that is compared runs on the same engine."""
    if not any(subject.name in _ON_DOCKER for subject in subjects) or not raw_docker.possible():
        return None
    harness = raw_docker.RawDockerHarness()
    harness.accounts = accounts
    return Subject(raw_docker.NAME, harness)


def _with_fallback(spec: str, accounts: int) -> Subject:
    return replace(_made(spec, accounts), fallback=lambda: _made(_SIMULATED[spec], accounts))


def _made(spec: str, accounts: int, whale_world: Path | None = None) -> Subject:
    if spec == container_whale.SPEC:
        subject = Subject(spec, container_whale.ContainerWhaleHarness())
    else:
        subject = resolve(spec, whale_world)
    subject.harness.accounts = accounts
    return subject
