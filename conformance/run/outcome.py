"""What became of one scenario: the phases of its pytest item, judged.

A broken assertion, an answer of the wrong shape and a call that never returns are failures of the
backend. Anything else that goes wrong is an error of harness or suite, and says nothing about it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conformance.report.ledger import ContainerTally
from conformance.report.results import ScenarioResult, Status
from conformance.spec.scenario import Need, Scenario
from conformance.spec.trace import HarnessFault, Trace

_WHERE = re.compile(r"\s*\+\s+(where|and)\b")
_WORSE = (Status.PASS, Status.NOT_APPLICABLE, Status.ERROR, Status.FAIL)


class ScenarioOutcome:
    """Gathers the phases of one scenario; its status only ever gets worse."""

    def __init__(self, scenario: Scenario, backend: str) -> None:
        self.scenario = scenario
        self.backend = backend
        self.trace = Trace()
        self.tally: ContainerTally | None = None
        """The scenario's containers, counted before its world is closed."""
        self.status: Status | None = None
        self.tried_for: Need | None = None
        """The undeclared capability for whose sake it is run."""
        self.beside = ""
        """What harness or suite got wrong, when the backend broke the rule too."""
        self._message = ""
        self._duration = 0.0
        self._not_applicable: str | None = None

    def not_applicable(self, reason: str) -> None:
        """Announce our own skip; any other skip is an error."""
        self._not_applicable = reason

    def phase(self, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """Take note of how set-up, call or teardown ended."""
        self._duration += report.duration
        if hasattr(report, "wasxfail"):
            self._becomes(Status.ERROR, "a scenario is never expected to fail")
        elif call.excinfo is not None:
            self._raised(call.excinfo)
        elif report.failed:
            self._becomes(Status.ERROR, report.longreprtext)
        elif call.when == "call":
            self._becomes(Status.PASS, "")

    def result(self) -> ScenarioResult:
        """The scenario's result, without secrets."""
        clean = self.trace.secrets.clean
        return ScenarioResult(
            rule=self.scenario.id,
            scenario=self.scenario.id,
            backend=self.backend,
            status=self.status or Status.ERROR,
            duration_s=round(self._duration, 3),
            message=clean(self._message if self.status else "the scenario did not run"),
            trace=self.trace.lines(),
            story=self.scenario.story,
        )

    def _raised(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        error = excinfo.value
        if isinstance(error, pytest.skip.Exception):
            if self._not_applicable is not None:
                self._becomes(Status.NOT_APPLICABLE, self._not_applicable)
            else:
                self._becomes(Status.ERROR, f"skipped, which is no result: {error.msg}")
        elif isinstance(error, AssertionError):
            self._becomes(Status.FAIL, _sentence(error))
        elif self.trace.pending is not None:
            # A time-out, or an exit, while the backend was at work.
            self.trace.note(f"{self.trace.pending} … no answer")
            self._becomes(Status.FAIL, f"{self.trace.pending} did not return: {_sentence(error)}")
        elif isinstance(error, HarnessFault):
            self._becomes(Status.ERROR, _sentence(error))
        else:
            where = excinfo.traceback[-1]
            place = f"{Path(str(where.path)).name}:{where.lineno + 1}"
            self._becomes(Status.ERROR, f"{type(error).__name__} at {place}: {_sentence(error)}")

    def _becomes(self, status: Status, message: str) -> None:
        if Status.ERROR in (status, self.status) and Status.FAIL in (status, self.status):
            error = message if status is Status.ERROR else self._message
            self.beside = self.trace.secrets.clean(error)
        if self.status is None or _WORSE.index(status) > _WORSE.index(self.status):
            self.status = status
            self._message = message


def _sentence(error: BaseException) -> str:
    """What was said, without pytest's tale of where each value came from: the trace tells that."""
    lines = [line for line in str(error).splitlines() if not _WHERE.match(line)]
    return "\n".join(lines).strip() or type(error).__name__
