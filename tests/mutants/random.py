"""Random mutants of a package, the rules that kill them, and those that survive.

``PYTHONPATH=tests python -m mutants.random --module engines/cre --count 200 --seed 1``

A mutant is one small change of one function (:mod:`mutants.sampling`). It lives in a fork of this
process, where everything is imported already: the function's code is exchanged, and of the rules
that call the function a few of each group are run, then all, until one fails. What survives is
tried on the project's own tests of the package: the quick ones that call the function first, then
all others, for some call it in another process. Progress is kept in a file, so that a run that was
ended goes on where it was; ``equivalent.json`` beside this file names what changes nothing.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import io
import json
import logging
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import (
    AbstractContextManager,
    contextmanager,
    nullcontext,
    redirect_stderr,
    redirect_stdout,
    suppress,
)
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest

from conformance.harness import Harness
from conformance.harnesses.cre import MemoryHarness
from conformance.harnesses.hybrid import HybridHarness
from conformance.harnesses.whale import FakeWhaleHarness
from conformance.registry.backends import Subject
from conformance.report.results import Status
from conformance.run.runner import (
    CheckRequest,
    check_subjects,
    planned_scenarios,
    run_pytest,
    suite_of,
)
from conformance.spec.scenario import scenario_of
from mutants.sampling import PROGRAM, Place, places
from whale_ready.command import sigterm_interrupts

ROOT = Path(__file__).parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.json")
SECONDS_PER_SCENARIO = 20.0
FIRST_OF_EACH_GROUP = 2
UNIT_SECONDS = 900.0
TIME_OUT = "time-out"

OUT_OF_REACH = re.compile(
    "engines/ctfd/plugin/|engines/cre/runtimes/(?!base|memory)|engines/cre/firewall.py"
)
"""What runs within CTFd or on a real engine alone, where no simulated backend comes: ``tests/ctfd``
and ``tests/integration`` test it."""

_SERVERS = re.compile("mariadb|postgresql")
"""Tests that start a database server first."""

Calls = dict[str, dict[str, list[str]]]
"""By backend and rule, or by :data:`TESTS` and a test's id: what is called, as ``path:name``."""
TESTS = "tests"


class Fate(str, Enum):
    """What became of a mutant."""

    KILLED = "killed by the suite"
    UNIT = "caught by unit tests only"
    NOTHING = "caught by nothing"
    EQUIVALENT = "equivalent"
    UNMADE = "could not be made"
    """The function is not what the source says, or its shape would be another."""
    SURVIVED = "survived the suite"
    """Not tried on all unit tests."""


@dataclass(frozen=True)
class Target:
    """What a package's mutants are run on."""

    backends: dict[str, Callable[[], Harness]]
    tests: tuple[str, ...]
    """For pytest; files that take minutes are left out."""
    rules: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Beginnings of rules' ids, for backends that need not be asked all."""


def _hybrid(routed: str) -> Callable[[], Harness]:
    return lambda: HybridHarness(routed)


_MEMORY: dict[str, Callable[[], Harness]] = {"cre:memory": MemoryHarness}
TARGETS: dict[str, Target] = {
    "engines/cre": Target(_MEMORY, ("tests/unit",)),
    "engines/whale": Target(
        {"whale:fake": FakeWhaleHarness},
        (
            "tests/whale",
            "tests/unit",
            *(
                f"--ignore=tests/whale/test_{each}.py"
                for each in (
                    "story",
                    "parallel",
                    "fault_matrix",
                    "fuzzed_answers",
                    "suite_on_forks",
                )
            ),
        ),
    ),
    "engines/hybrid": Target(
        {**_MEMORY, "hybrid:cre": _hybrid("cre"), "hybrid:whale": _hybrid("whale")},
        ("tests/hybrid", "--ignore=tests/hybrid/test_hybrid_parallel.py"),
        {"cre:memory": ("SWAP",)},
    ),
    "engines/web": Target(_MEMORY, ("tests/web",), {"cre:memory": ("HTTP",)}),
    "engines": Target(
        {**_MEMORY, "whale:fake": FakeWhaleHarness}, ("tests/unit", "tests/whale", "tests/web")
    ),
}
"""The longest of these that a module's path begins with is its target."""


def main() -> int:
    """0: every mutant is killed, or known to be equivalent. 1: some are not. 3: the project's tests
    fail without any. 130: interrupted; the same command goes on."""
    options = _options()
    logging.disable(logging.CRITICAL)  # broken on purpose: it would say so all the time
    target = _target(options.module)
    found = [place for place in places(options.module) if not OUT_OF_REACH.match(place.path)]
    wanted = sampled(found, options.count, options.seed)
    state = options.state or Path(tempfile.gettempdir()) / f"mutants-{options.seed}.jsonl"
    known = {each["id"]: each for each in _read(state)}
    equivalent: dict[str, dict[str, str]] = json.loads(EQUIVALENT.read_text(encoding="utf-8"))
    print(f"{len(wanted)} of {len(found)} mutants of {options.module}; progress is in {state}")
    try:
        undecided = {Fate.SURVIVED.value} if not options.no_tests else set[str]()
        outlived = {key for key, each in known.items() if each["fate"] in undecided}
        settled = {*equivalent, *(known.keys() - outlived)}
        left = [each for each in wanted if each.id not in settled]
        calls = _calls_of(target) if {each.id for each in left} - outlived else {}
        if not options.no_tests and left:
            folders = ("conformance", "engines", "fake_whale", "tests")
            calls[TESTS] = _kept(
                f"{TESTS}:{options.module}", partial(_traced_tests, target), *folders
            )
        results = _all(left, outlived, target, calls, options)
        for number, result in enumerate(results, start=1):
            known[result["id"]] = result
            with state.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")
            where = f"{result['path']}:{result['line']}"
            print(f"[{number}/{len(left)}] {result['fate']}: {where} {result['by']}", flush=True)
    except _Unsound as error:
        print(f"tests fail on the sound program: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return _report(wanted, known, equivalent)


def sampled(found: Sequence[Place], count: int, seed: int) -> list[Place]:
    """As good as drawn by lot, but each by itself: what is new or gone changes no other's lot, so
    that a survivor that was mended does not exchange the sample."""

    def lot(place: Place) -> bytes:
        return hashlib.sha256(f"{seed} {place.id}".encode()).digest()

    return sorted(found, key=lot)[:count]


def _target(module: str) -> Target:
    fitting = [name for name in TARGETS if module == name or module.startswith(f"{name}/")]
    if not fitting:
        sys.exit(f"{module} is in none of {', '.join(TARGETS)}")
    return TARGETS[max(fitting, key=len)]


def _read(state: Path) -> Iterator[dict[str, Any]]:
    if state.exists():
        for line in state.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


# Which rules call what.


class _Tracer:
    """A plugin that notes what each scenario or test calls in ``engines``, on whatever thread."""

    def __init__(self) -> None:
        self.called: dict[str, set[CodeType]] = defaultdict(set)
        self._by = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        scenario = scenario_of(getattr(item, "function", None))
        self._by = item.nodeid if scenario is None else scenario.id
        return (yield)

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        if frame.f_code.co_filename.startswith(_ENGINES):
            self.called[self._by].add(frame.f_code)

    def names(self) -> dict[str, list[str]]:
        return {by: sorted({_name_of(code) for code in of}) for by, of in self.called.items()}

    @contextmanager
    def tracing(self) -> Iterator[None]:
        threading.settrace(self)  # for calls only: it returns no tracer for lines
        sys.settrace(self)
        try:
            yield
        finally:
            sys.settrace(None)


_ENGINES = str(PROGRAM / "engines")


def _name_of(code: CodeType) -> str:
    return f"{Path(code.co_filename).relative_to(PROGRAM)}:{code.co_qualname}"


def _calls_of(target: Target) -> Calls:
    """The functions that each rule calls, found out in forks; and everything imported here."""
    calls: Calls = {}
    for name, make in target.backends.items():
        planned_scenarios(Subject(name, make()), CheckRequest())  # imports what forks will need
        only = target.rules.get(name, ("",))
        found = _kept(name, partial(_traced, name, make), "conformance", "engines", "fake_whale")
        calls[name] = {rule: by for rule, by in found.items() if rule.startswith(only)}
    return calls


def _kept(name: str, trace: Callable[[], str], *folders: str) -> dict[str, list[str]]:
    """What was traced in a fork, in this run or an earlier one of the same program."""
    program = _digest_of(folders)
    path = Path(tempfile.gettempdir()) / f"mutants-calls-{program}-{re.sub('[:/]', '-', name)}.json"
    if not path.exists():
        begun = time.monotonic()
        said = _forked(trace).wait()
        if not said.startswith("{"):
            raise _Unsound(said)
        path.write_text(said, encoding="utf-8")
        print(f"{name}: traced in {time.monotonic() - begun:.0f} s", flush=True)
    found: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _digest_of(folders: Sequence[str]) -> str:
    """Changes with any line of what is run."""
    told = hashlib.sha256()
    for folder in folders:
        for root in dict.fromkeys((PROGRAM, ROOT)):
            for file in sorted((root / folder).rglob("*.py")):
                told.update(file.read_bytes())
    return told.hexdigest()[:12]


def _traced(name: str, make: Callable[[], Harness]) -> str:
    tracer = _Tracer()
    request = CheckRequest()
    suite = suite_of([Subject(name, make())], request)
    with tracer.tracing():
        run_pytest(suite, request, plugins=(tracer,))
    passed = {result.rule for result in suite.results if result.status is Status.PASS}
    return json.dumps({rule: by for rule, by in tracer.names().items() if rule in passed})


def _traced_tests(target: Target) -> str:
    tracer = _Tracer()
    failed = _own_tests(target.tests, tracer, around=tracer.tracing)
    if failed:
        raise _Unsound(failed)
    return json.dumps(tracer.names())


# One mutant.


def _tried(place: Place, target: Target, calls: Calls) -> str:
    """In a fork: the rule that fails on the mutant, else nothing."""
    _exchange(place)
    for name, make in target.backends.items():
        by = calls[name]
        called = f"{place.path}:{place.function}"
        covering = [rule for rule, functions in by.items() if called in functions]
        first, rest = _some_of_each_group(covering)
        for rules in filter(None, (first, rest)):
            request = CheckRequest(
                select=tuple(rules), stop_at_first=True, seconds_per_scenario=SECONDS_PER_SCENARIO
            )
            report = check_subjects([Subject(name, make())], request)
            for result in report.results:
                if result.status in (Status.FAIL, Status.ERROR):
                    return f"{result.rule} on {name}"
            if not report.results:
                return f"a run that broke off on {name}"
    return ""


def _some_of_each_group(rules: Sequence[str]) -> tuple[list[str], list[str]]:
    count: Counter[str] = Counter()
    first, rest = [], []
    for rule in rules:
        group = rule.partition("-")[0]
        count[group] += 1
        (first if count[group] <= FIRST_OF_EACH_GROUP else rest).append(rule)
    return first, rest


def _unit_tested(place: Place, target: Target, calls: Calls) -> str:
    """In a fork: the project's test that fails on the mutant, if any."""
    _exchange(place)
    called = f"{place.path}:{place.function}"
    quick = [
        test
        for test, functions in calls[TESTS].items()
        if called in functions and not _SERVERS.search(test)
    ]
    others = [*target.tests, *(f"--deselect={each}" for each in quick)]
    return (quick and _own_tests(quick)) or _failing_twice(others)


def _failing_twice(wanted: Sequence[str]) -> str:
    """The first of these tests that fails again by itself: one that is not known to call what is
    broken may have failed by chance."""
    while failed := _own_tests(wanted):
        if _own_tests([failed]):
            return failed
        wanted = [*wanted, f"--deselect={failed}"]
    return ""


def _own_tests(
    wanted: Sequence[str],
    *plugins: object,
    around: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> str:
    """The first of these tests that fails, if any."""
    os.chdir(ROOT)
    logging.disable(logging.NOTSET)  # tests read the log

    class First:
        failed = ""

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed and not self.failed:
                self.failed = report.nodeid

    first = First()
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # all is imported already
    with around():
        code = pytest.main([*options, *wanted], plugins=[first, *plugins])
    sound = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    return first.failed or ("" if code in sound else f"pytest, exit code {int(code)}")


class _Unmade(Exception):
    """There is no such mutant."""


class _Unsound(Exception):
    """Something fails without any mutant."""


def _exchange(place: Place) -> None:
    """Exchange the code of the changed function, wherever it is at hand."""
    path = str(PROGRAM / place.path)
    import_module(place.path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    changed = _code_of(compile(place.changed(), path, "exec"), place.function)
    if changed is None:
        raise _Unmade
    found = False
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and each.__code__.co_filename == path:
            same = each.__code__.co_qualname == place.function
            if same and each.__code__.co_firstlineno == changed.co_firstlineno:
                each.__code__ = changed
                found = True
    if not found:
        raise _Unmade


def _code_of(code: CodeType, name: str) -> CodeType | None:
    for const in code.co_consts:
        if isinstance(const, CodeType):
            if const.co_qualname == name:
                return const
            if found := _code_of(const, name):
                return found
    return None


# Forks.


class _Fork:
    """A child of this process, in a process group of its own, and what it says at its end."""

    def __init__(self, work: Callable[[], str], seconds: float) -> None:
        self.until = time.monotonic() + seconds
        self._reading, writing = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.setpgid(0, 0)
            os.close(self._reading)
            _child(work, writing)
        with suppress(
            ProcessLookupError
        ):  # parent and child both set it: neither waits for the other
            os.setpgid(self._pid, self._pid)
        os.close(writing)
        os.set_blocking(self._reading, False)
        self._said = b""

    def said(self) -> str | None:
        """What it said, when it has ended; it is ended when its time is over."""
        try:
            while piece := os.read(self._reading, 1 << 16):
                self._said += piece
        except BlockingIOError:
            if time.monotonic() < self.until:
                return None
            self.end()
            return TIME_OUT
        self.end()
        return self._said.decode()

    def wait(self) -> str:
        try:
            while (said := self.said()) is None:
                time.sleep(0.02)
        except KeyboardInterrupt:
            self.end()
            raise
        return said

    def end(self) -> None:
        """Kill it and all that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._reading)


def _child(work: Callable[[], str], writing: int) -> None:
    """Work, say how it went, and be gone: nothing of the parent's is done once more."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        nowhere = io.StringIO()
        with redirect_stdout(nowhere), redirect_stderr(nowhere):
            said = work()
    except BaseException as error:  # noqa: BLE001 - whatever it was, the mutant was noticed
        said = f"{type(error).__name__}: {error}"
    try:
        os.set_blocking(writing, True)
        data = said.encode()
        while data:
            data = data[os.write(writing, data) :]
    finally:
        os._exit(0)


def _forked(work: Callable[[], str], seconds: float = 3600.0) -> _Fork:
    sys.stdout.flush()
    return _Fork(work, seconds)


def _all(
    wanted: Sequence[Place],
    outlived: set[str],
    target: Target,
    calls: Calls,
    options: argparse.Namespace,
) -> Iterator[dict[str, Any]]:
    """The results of these mutants, each as soon as it is there.

    ``outlived``: those that have outlived the suite in an earlier run.
    """
    waiting = list(reversed(wanted))
    running: dict[str, tuple[Place, _Fork, bool, float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < options.jobs:
                place = waiting.pop()
                begun, by_units = time.monotonic(), place.id in outlived
                if by_units:
                    fork = _forked(partial(_unit_tested, place, target, calls), UNIT_SECONDS)
                else:
                    fork = _forked(partial(_tried, place, target, calls), options.seconds)
                running[place.id] = place, fork, by_units, begun
            for key, (place, fork, by_units, begun) in list(running.items()):
                said = fork.said()
                if said is None:
                    continue
                del running[key]
                if not said and not by_units and not options.no_tests:
                    again = _forked(partial(_unit_tested, place, target, calls), UNIT_SECONDS)
                    running[key] = place, again, True, begun
                    continue
                yield _result(place, said, by_units, begun, options)
            time.sleep(0.02)
    finally:
        for _, fork, _, _ in running.values():
            fork.end()


def _result(
    place: Place, said: str, by_units: bool, begun: float, options: argparse.Namespace
) -> dict[str, Any]:
    if said.startswith((_Unmade.__name__, ValueError.__name__)):
        fate = Fate.UNMADE
    elif by_units and said == TIME_OUT:  # each test has a time-out of its own: none has failed
        fate = Fate.SURVIVED
    elif said:
        fate = Fate.UNIT if by_units else Fate.KILLED
    else:
        fate = Fate.SURVIVED if options.no_tests else Fate.NOTHING
    return {
        "id": place.id,
        "path": place.path,
        "line": place.line,
        "kind": place.kind,
        "fate": fate.value,
        "by": said,
        "seconds": round(time.monotonic() - begun, 1),
    }


# The report.


def _report(
    wanted: Sequence[Place], known: dict[str, dict[str, Any]], equivalent: dict[str, dict[str, str]]
) -> int:
    by_fate: dict[str, list[Place]] = {fate.value: [] for fate in Fate}
    for place in wanted:
        fate = Fate.EQUIVALENT.value if place.id in equivalent else known[place.id]["fate"]
        by_fate[fate].append(place)
    for shown in (Fate.UNIT, Fate.NOTHING, Fate.SURVIVED):
        for place in by_fate[shown.value]:
            told = known[place.id]
            print(f"\n{shown.value}: {place.id} {place.path}:{place.line} {place.function}")
            print(f"  {place.kind}; {told['by'] or 'nothing'}")
            print(place.diff())
    print()
    for fate, found in by_fate.items():
        if found:
            print(f"{len(found):5} {fate}")
    seconds = sorted(known[each.id]["seconds"] for each in wanted if each.id in known)
    if seconds:
        print(f"{seconds[len(seconds) // 2]:5g} s for the mutant in the middle")
    alive = by_fate[Fate.NOTHING.value] + by_fate[Fate.SURVIVED.value]
    return 1 if alive else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mutants.random", description=main.__doc__)
    parser.add_argument("--module", required=True, help="a package or module: engines/cre")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=180.0, help="for one mutant at most")
    parser.add_argument("--state", type=Path, help="where progress is kept")
    parser.add_argument("--no-tests", action="store_true", help="leave the project's tests out")
    return parser.parse_args()


if __name__ == "__main__":
    with sigterm_interrupts():
        sys.exit(main())
