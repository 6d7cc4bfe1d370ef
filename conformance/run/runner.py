"""Runs the scenarios in this process and judges what they measured.

pytest does the work, cut off from its surroundings: no configuration, plugin, option or conftest
of the folder it runs in can change a result.
"""

from __future__ import annotations

import io
import os
import platform
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import pytest

from conformance.registry.backends import Subject, chosen
from conformance.report.comparison import BaselineGate, gate
from conformance.report.results import MINIMUM_EXECUTED, Report, judge
from conformance.report.waivers import NO_WAIVERS, Waivers
from conformance.run.observer import Observer
from conformance.run.plan import CheckPlan, plan_for
from conformance.run.selection import RuleSelection
from conformance.run.session import STOPPING, Suite
from conformance.run.worker_pool import jobs_of, run_in_workers
from conformance.spec.redaction import Secrets
from conformance.spec.rules import SPEC_VERSION, Profile
from conformance.spec.scenario import Scenario
from engines import __version__

SCENARIO_SECONDS = 120.0

_CONFIGURATION = Path(__file__).with_name("check.ini")
_PLUGINS = ("pytest_timeout",)
_OFF = ("cacheprovider", "faulthandler", "warnings", "threadexception", "unraisableexception")
_TAIL_LINES = 30
_PACKAGES = ("pytest", "SQLAlchemy", "docker", "requests", "urllib3")


@dataclass(frozen=True)
class CheckRequest:
    """What is to be checked."""

    backends: tuple[str, ...] = ()
    """Specs as of ``--backend``; empty for the defaults."""
    select: tuple[str, ...] = ()
    """Globs of scenario ids; empty for all."""
    stop_at_first: bool = False
    """End after the first scenario that does not pass."""
    whale_world: Path | None = None
    """What a live Whale may be used for: the file of ``--whale-world``."""
    database: str | None = field(default=None, repr=False)
    """URL of the database where backends keep their state; None for a temporary SQLite file."""
    profile: Profile = Profile.FULL
    spec: int = SPEC_VERSION
    """Version of the contract; rules that came later are not run."""
    waivers: Waivers = NO_WAIVERS
    baseline: Report | None = None
    """An earlier report: only what is worse than that makes the run fail."""
    minimum: int | None = None
    """Scenarios each backend must have passed for a verdict; None for what the profile needs."""
    seconds_per_scenario: float = SCENARIO_SECONDS
    """A scenario that takes longer is broken off, and fails if it waits for the backend."""
    jobs: int = 1
    """Processes to run scenarios in."""


def check(request: CheckRequest, observer: Observer | None = None) -> Report:
    """Run the scenarios and return the report; harnesses are closed in every case.

    Raises:
        BackendSpecError: a spec or a glob of the request means nothing.
    """
    subjects = chosen_subjects(request)
    jobs = jobs_of(request.jobs, subjects)
    if jobs == 1:
        return check_subjects(subjects, request, observer)
    return _reported(subjects, replace(request, jobs=jobs), observer, _run_in_workers)


def plan(request: CheckRequest) -> list[CheckPlan]:
    """What :func:`check` would do, backend by backend; nothing is contacted or started.

    Raises:
        BackendSpecError: a spec or a glob of the request means nothing.
        RuntimeError: the scenarios could not be read.
    """
    suite = _planned(chosen_subjects(request), request)
    return [
        plan_for(
            subject,
            [scenario for owner, scenario in suite.planned if owner is subject],
            suite.proofs(subject),
        )
        for subject in suite.backends.subjects
    ]


def planned_scenarios(subject: Subject, request: CheckRequest) -> list[Scenario]:
    """The scenarios that are asked for, whether or not they apply to this backend.

    Raises:
        RuntimeError: the scenarios could not be read.
    """
    return [scenario for _, scenario in _planned([subject], request).planned]


def _planned(subjects: Sequence[Subject], request: CheckRequest) -> Suite:
    suite = suite_of(subjects, request)
    exit_code, output = run_pytest(suite, request, "--collect-only")
    problems = [*suite.problems, *_broken_off(exit_code, output)]
    if problems:
        raise RuntimeError("; ".join(problems))
    return suite


def check_subjects(
    subjects: Sequence[Subject], request: CheckRequest, observer: Observer | None = None
) -> Report:
    """The same, in this process, for backends that are at hand as harnesses.

    ``request.backends`` and ``request.jobs`` are not read.
    """
    return _reported(subjects, request, observer, run_pytest)


def _reported(
    subjects: Sequence[Subject],
    request: CheckRequest,
    observer: Observer | None,
    run: Callable[[Suite, CheckRequest], tuple[int, str]],
) -> Report:
    started_at = datetime.now(timezone.utc)
    suite = suite_of(subjects, request, observer)
    exit_code, output = run(suite, request)
    names = [subject.name for subject in suite.backends.subjects]
    problems = [*suite.backends.problems, *_pytest_problems(suite, request, exit_code, output)]
    rules, infos = suite.selection.rules, suite.backends.infos
    against = _against(request, suite, problems)
    unopened = set(names) - {info.name for info in infos}
    waivers = request.waivers.problems(suite.results, infos, rules, unopened)
    minimum = request.minimum
    judgement = judge(
        names,
        suite.results,
        problems=problems,
        failures=[*waivers, *against.failures],
        known=against.known,
        interrupted=suite.interrupted,
        minimum=MINIMUM_EXECUTED[request.profile] if minimum is None else minimum,
        left_out=suite.selection.left_out,
    )
    return Report(
        tool_version=__version__,
        started_at=started_at,
        duration_s=round((datetime.now(timezone.utc) - started_at).total_seconds(), 3),
        profile=request.profile,
        spec_version=request.spec,
        environment=environment(),
        backends=tuple(suite.backends.infos),
        results=tuple(suite.results),
        verdict=judgement.verdict,
        reasons=judgement.reasons,
        notes=(*suite.backends.notes, *against.notes),
        ledgers=suite.backends.books.ledgers(names),
    )


def suite_of(
    subjects: Sequence[Subject], request: CheckRequest, observer: Observer | None = None
) -> Suite:
    """The scenarios that are asked for, on these backends."""
    return Suite(
        subjects,
        observer=observer,
        selection=RuleSelection.of(request.select, request.profile, request.spec),
        waivers=request.waivers,
        stop_at_first=request.stop_at_first,
    )


def _against(request: CheckRequest, suite: Suite, problems: Sequence[str]) -> BaselineGate:
    """The run against its baseline, if it has one."""
    if request.baseline is None:
        return BaselineGate()
    whole = not (problems or suite.interrupted or request.stop_at_first)
    return gate(request.baseline, suite.results, suite.selection.rules, whole=whole)


def environment() -> dict[str, str]:
    """What a report says of where it was made; no name of the machine or of who uses it."""
    found = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def chosen_subjects(request: CheckRequest) -> list[Subject]:
    """The backends that are asked for.

    Raises:
        BackendSpecError: a spec means nothing.
    """
    return chosen(request.backends, request.whale_world, request.database)


def _run_in_workers(suite: Suite, request: CheckRequest) -> tuple[int, str]:
    observer, suite.observer = suite.observer, Observer()  # it hears of the plan later
    exit_code, output = run_pytest(suite, request, "--collect-only")
    if suite.problems or exit_code != pytest.ExitCode.OK:
        return exit_code, output
    return run_in_workers(suite, request, observer)


def run_pytest(
    suite: Suite, request: CheckRequest, *options: str, plugins: Sequence[object] = ()
) -> tuple[int, str]:
    """Run the suite in this process; returns pytest's exit code and what it wrote."""
    arguments = ["-c", str(_CONFIGURATION), "--noconftest", "--import-mode=append"]
    for name in _PLUGINS:
        arguments += ["-p", name]
    for name in _OFF:
        arguments += ["-p", f"no:{name}"]
    arguments += [
        *_time_limit(request.seconds_per_scenario),
        "-s",
        "-q",
        "--tb=no",
        "--no-header",
        "--no-summary",
    ]
    arguments += [*options, "--pyargs", "conformance.scenarios"]
    output = io.StringIO()
    with (
        suite.interrupts.noted(),
        _no_surroundings(),
        redirect_stdout(output),
        redirect_stderr(output),
    ):
        exit_code = pytest.main(arguments, plugins=[suite, *plugins])
    return int(exit_code), output.getvalue()


def _time_limit(seconds: float) -> list[str]:
    """By signal, which lets the run go on; only the main thread can have it."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or not hasattr(signal, "SIGALRM"):
        return []
    return [f"--timeout={seconds}", "--timeout-method=signal"]


@contextmanager
def _no_surroundings() -> Iterator[None]:
    """Take pytest's variables out of the environment for a while."""
    before = {name: value for name, value in os.environ.items() if name.startswith("PYTEST_")}
    for name in before:
        del os.environ[name]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        os.environ.update(before)


def _pytest_problems(
    suite: Suite, request: CheckRequest, exit_code: int, output: str
) -> Iterator[str]:
    """What only pytest knows to have gone wrong: a run that broke off is never a good one."""
    yield from suite.problems
    if suite.interrupted or suite.backends.problems or suite.problems:
        return
    yield from _broken_off(exit_code, output)
    lost = len(suite.planned) - len(suite.results)
    bad = any(result.status in STOPPING for result in suite.results)
    if lost and not (request.stop_at_first and bad):
        yield f"scenarios without a result: {lost}"


def _broken_off(exit_code: int, output: str) -> Iterator[str]:
    if exit_code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        tail = "\n".join(output.strip().splitlines()[-_TAIL_LINES:])
        yield Secrets().clean(f"pytest ended with exit code {exit_code}:\n{tail}")
