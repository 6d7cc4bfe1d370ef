"""The suite inside one pytest run: backends opened, scenarios spread over them, results taken.

Registered by ``whale_ready.pytest_plugin`` (``pytest --backend SPEC``) and by
``conformance.run.runner`` (``whale-ready check``). A result travels on the report of its scenario's
teardown, so that a controller can collect what worker processes measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import NoReturn, cast

import pytest

from conformance.harness import Options, World
from conformance.registry.backends import Subject
from conformance.report.ledger import ContainerTally, tally_of
from conformance.report.results import ScenarioResult, Status
from conformance.report.waivers import NO_WAIVERS, Waivers
from conformance.run.interrupts import Interrupts
from conformance.run.observer import Observer
from conformance.run.outcome import ScenarioOutcome
from conformance.run.selection import RuleSelection
from conformance.run.setup import Backends
from conformance.spec.context import ScenarioContext
from conformance.spec.log_watch import listening
from conformance.spec.proofs import Proofs, undeclared_but_working
from conformance.spec.redaction import Secrets
from conformance.spec.rules import BY_ID
from conformance.spec.scenario import Scenario, scenario_of
from conformance.spec.trace import HarnessFault, Trace

CARRIED = "whale_ready_result"
"""Attribute of a pytest report that carries a result, as plain data."""
CARRIED_ERROR = "whale_ready_error"
"""The one that carries what went wrong beside a failure."""
CARRIED_TALLY = "whale_ready_tally"
"""Attribute of a pytest report that carries the scenario's containers, as plain data."""
LAST_EXCHANGES = 40
"""How many lines of the wire are shown with a scenario that did not pass."""

STOPPING = frozenset({Status.FAIL, Status.ERROR})
"""How the scenario ended after which a run stops that is to stop at the first."""

_OUTCOME = pytest.StashKey[ScenarioOutcome]()
_ORDER = {rule: place for place, rule in enumerate(BY_ID)}


class Suite:
    """A pytest plugin that runs the scenarios on some backends.

    Args:
        subjects: the backends, in the order of the report.
        select: globs of scenario ids; empty for all.
        observer: told of progress.
        selection: which scenarios are run, in the place of ``select``.
        waivers: failures that are known.
        stop_at_first: end after the first scenario that fails or errs.
    """

    def __init__(
        self,
        subjects: Sequence[Subject],
        select: Iterable[str] = (),
        observer: Observer | None = None,
        *,
        selection: RuleSelection | None = None,
        waivers: Waivers = NO_WAIVERS,
        stop_at_first: bool = False,
    ) -> None:
        self.observer = observer or Observer()
        self.selection = selection or RuleSelection.of(select)
        self._waivers = waivers
        self._stop_at_first = stop_at_first
        self._session: pytest.Session | None = None
        self._proofs: dict[str, Proofs] = {}
        self.backends = Backends(subjects, self.observer)
        self.results: list[ScenarioResult] = []
        self.planned: list[tuple[Subject, Scenario]] = []
        """What was to run, over all backends."""
        self.interrupts = Interrupts()
        self.interrupted = False
        self.problems: list[str] = []
        """What pytest could not collect."""

    # The run as a whole.

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session
        if session.config.option.collectonly or hands_out(session.config):
            return
        self.backends.open()
        if self.backends.problems and hasattr(session.config, "workerinput"):
            # A worker that exits is taken for dead and started again; this ends the whole run.
            session.shouldfail = "; ".join(self.backends.problems)
        elif self.backends.problems:
            pytest.exit("; ".join(self.backends.problems), returncode=3)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        self.interrupted = self.interrupted or self.interrupts.came
        # Inside, the worlds still open are closed; harnesses are closed only after them.
        try:
            yield
        finally:
            self.backends.close()
            if self.backends.problems and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = 3

    def pytest_unconfigure(self) -> None:
        # For an interrupt while opening: pytest then leaves sessionfinish out.
        self.backends.close()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            where = report.nodeid or "the scenarios"
            self.problems.append(Secrets().clean(f"{where} was not read:\n{report.longreprtext}"))

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        # pytest announces its own exits here too, as other types.
        if excinfo.type is KeyboardInterrupt:
            self.interrupted = True

    # Scenarios.

    def pytest_runtest_logstart(self) -> None:
        self.interrupts.check()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        scenario = scenario_of(metafunc.function)
        if scenario is None or "world" not in metafunc.fixturenames:
            return
        subjects = self.backends.subjects
        ids = [f"{scenario.id}-{subject.name}" for subject in subjects]
        metafunc.parametrize("world", subjects, ids=ids, indirect=True)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        mine: list[tuple[int, int, Subject, Scenario, pytest.Item]] = []
        deselected: list[pytest.Item] = []
        places = {subject.name: place for place, subject in enumerate(self.backends.subjects)}
        others = []
        for item in items:
            subject = _subject_of(item)
            scenario = scenario_of(getattr(item, "function", None))
            if subject is None or scenario is None:
                others.append(item)
            elif scenario.id not in self.selection.rules:
                deselected.append(item)
            else:
                item.stash[_OUTCOME] = ScenarioOutcome(scenario, subject.name)
                place = places[subject.name]
                mine.append((place, _ORDER[scenario.id], subject, scenario, item))
        mine.sort(key=lambda each: each[:2])
        items[:] = [*(item for *_, item in mine), *others]
        if deselected:
            config.hook.pytest_deselected(items=deselected)
        self.planned = [(subject, scenario) for _, _, subject, scenario, _ in mine]
        every = {each for each in map(_scenario_of_item, [*items, *deselected]) if each is not None}
        self._proofs = {each.name: self._proofs_of(each, every) for each in self.backends.subjects}
        self.observer.begins(len(mine))

    @pytest.fixture
    def world(self, request: pytest.FixtureRequest) -> Iterator[ScenarioContext]:
        """The backend under test with empty state, its players and the hooks asked for."""
        subject: Subject = request.param
        outcome = request.node.stash[_OUTCOME]
        scenario, trace = outcome.scenario, outcome.trace
        missing = scenario.missing_hooks(subject.harness.hooks)
        if missing:
            _skip(outcome, missing)
        inner = _make(subject, scenario.options)
        try:
            unmet = scenario.unmet_needs(inner)
            outcome.tried_for = self.proofs(subject).tried(scenario, inner)
            if unmet and outcome.tried_for is None:
                _skip(outcome, unmet)
            yield ScenarioContext(inner, trace, scenario.hooks)
            _look_back(outcome, inner)
        finally:
            try:
                outcome.tally = tally_of(trace, inner, subject.harness.hooks)
            finally:
                _close(inner, trace)

    def proofs(self, subject: Subject) -> Proofs:
        """What the backend may show to be able to do without declaring it."""
        return self._proofs[subject.name]

    def _proofs_of(self, subject: Subject, every: Iterable[Scenario]) -> Proofs:
        mine = frozenset(scenario.id for owner, scenario in self.planned if owner is subject)
        return Proofs(mine, every, subject.harness.hooks)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Iterator[None]:
        outcome = pyfuncitem.stash.get(_OUTCOME, None)
        if outcome is None:
            return (yield)
        need = outcome.tried_for
        if need is None:
            world = cast(ScenarioContext, pyfuncitem.funcargs["world"])
            with listening(outcome.trace.secrets, [world.backend.package]):
                return (yield)
        proofs, scenario = self._proofs[outcome.backend], outcome.scenario
        try:
            yield
        except AssertionError:
            proofs.failed(scenario)
            _skip(outcome, f"the backend declares no {need.text}")
        if proofs.passed(scenario):
            raise AssertionError(undeclared_but_working(need))
        _skip(outcome, f"the backend declares no {need.text}")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[None]:
        report: pytest.TestReport = yield  # type: ignore[assignment]  # pluggy sends it in
        outcome = item.stash.get(_OUTCOME, None)
        if outcome is not None:
            outcome.phase(call, report)
            if call.when == "teardown":
                setattr(report, CARRIED, outcome.result().to_dict())
                setattr(report, CARRIED_ERROR, outcome.beside)
                setattr(report, CARRIED_TALLY, outcome.tally and asdict(outcome.tally))
        return report  # type: ignore[return-value]  # a wrapper's return value is the result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        carried = getattr(report, CARRIED, None)
        if carried is not None:
            measured = ScenarioResult.from_dict(carried)
            beside: str = getattr(report, CARRIED_ERROR, "")
            result = self._waivers.applied(measured, self.backends.infos, beside)
            self.results.append(result)
            tally = getattr(report, CARRIED_TALLY, None)
            if tally is not None:
                self.backends.books.add(result.backend, ContainerTally(**tally))
            self.observer.measured(result)
            self._perhaps_stop(result)

    def _perhaps_stop(self, result: ScenarioResult) -> None:
        if self._stop_at_first and self._session is not None and result.status in STOPPING:
            self._session.shouldfail = f"{result.id} ended as {result.status.value}"


def hands_out(config: pytest.Config) -> bool:
    """Whether pytest-xdist's workers run the scenarios, each with backends of its own."""
    return getattr(config.option, "dist", "no") != "no" and not hasattr(config, "workerinput")


def _subject_of(item: pytest.Item) -> Subject | None:
    callspec = getattr(item, "callspec", None)
    subject = callspec.params.get("world") if callspec is not None else None
    return subject if isinstance(subject, Subject) else None


def _scenario_of_item(item: pytest.Item) -> Scenario | None:
    return scenario_of(getattr(item, "function", None))


def _skip(outcome: ScenarioOutcome, reason: str) -> NoReturn:
    outcome.not_applicable(reason)
    pytest.skip(reason)


def _make(subject: Subject, options: Options) -> World:
    try:
        return subject.harness.world(options)
    except Exception as error:
        raise HarnessFault(f"no world could be made: {type(error).__name__}: {error}") from error


def _look_back(outcome: ScenarioOutcome, inner: World) -> None:
    """After the call: show the wire where it is of use, and refuse an empty pass."""
    if outcome.status is Status.PASS:
        if outcome.trace.calls == 0:
            raise HarnessFault("the scenario asked the backend nothing")
        return
    try:
        exchanges = inner.exchanges()
    except Exception as error:
        raise HarnessFault(f"the exchanges could not be read: {error}") from error
    for line in exchanges[-LAST_EXCHANGES:]:
        outcome.trace.note(f"  wire: {line}")


def _close(inner: World, trace: Trace) -> None:
    trace.pending = None
    try:
        inner.close()
    except Exception as error:
        raise HarnessFault(f"the world was not closed: {type(error).__name__}: {error}") from error
