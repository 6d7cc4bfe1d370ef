"""The pytest plugin, loaded by entry point in every pytest that has whale-ready installed.

It adds two options and does nothing else until ``--backend`` is given: nothing but pytest is
imported before that. It is here, and not beside the suite, because every pytest imports it: a
project may have a ``conformance`` of its own.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("whale-ready", "conformance scenarios (whale-ready)")
    group.addoption(
        "--backend",
        action="append",
        default=[],
        metavar="SPEC",
        help="backend to run the scenarios on: cre, cre:memory, whale:fake or "
        "NAME=package.module:factory (repeatable)",
    )
    group.addoption(
        "--scenario",
        action="append",
        default=[],
        metavar="GLOB",
        help="run only scenarios whose id matches, as in START-* (repeatable)",
    )


def pytest_configure(config: pytest.Config) -> None:
    specs: list[str] = config.getoption("--backend")
    if not specs:
        return
    from whale_ready.imports import hidden

    problem = hidden()
    if problem is not None:
        raise pytest.UsageError(f"--backend {specs[0]}: {problem}")
    from conformance.registry.backends import BackendSpecError, resolve
    from conformance.run.session import Suite, hands_out

    try:
        subjects = [resolve(spec) for spec in specs]
        suite = Suite(subjects, select=config.getoption("--scenario"))
    except BackendSpecError as error:
        raise pytest.UsageError(str(error)) from error
    alone = [subject.name for subject in subjects if not subject.harness.parallel]
    if alone and hands_out(config):
        raise pytest.UsageError(
            f"--backend {alone[0]}: there may be one of it at a time; run without -n, or let its "
            "harness declare parallel = True"
        )
    config.pluginmanager.register(suite, "whale-ready-suite")
