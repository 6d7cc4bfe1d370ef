"""One process of a run in several: opens backends of its own and runs what it is handed.

It runs scenarios as ``conformance.run.runner`` does in one process. Ctrl-C comes from the
controller (``conformance.run.worker_pool``); a controller that is gone means the same.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType

import pytest

from conformance.report.ledger import Books
from conformance.report.results import ScenarioResult
from conformance.run.interrupts import uninterrupted
from conformance.run.jobs import (
    Idle,
    Job,
    Key,
    Line,
    Message,
    Next,
    Opening,
    Ready,
    ScenarioEnded,
    WorkerEnded,
    WorkerNote,
)
from conformance.run.observer import Observer
from conformance.run.runner import chosen_subjects, run_pytest, suite_of
from conformance.run.session import Suite


def main(descriptor: int) -> None:
    """Work on the connection that the controller has left open under this number."""
    for signals in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signals, _interrupt)
    line = Line(descriptor)
    suite: Suite | None = None
    exit_code, output, interrupted = int(pytest.ExitCode.INTERRUPTED), "", False
    try:
        order: Job = line.recv()
        subjects = chosen_subjects(order.request)
        mine = [subject for subject in subjects if subject.harness.parallel or order.number == 0]
        suite = suite_of(mine, order.request, WorkerReporter(line))
        exit_code, output = run_pytest(suite, order.request, plugins=[WorkerLoop(suite, line)])
    except (KeyboardInterrupt, EOFError):
        interrupted = True
    with uninterrupted():
        if suite is not None:
            suite.backends.close()
            interrupted = interrupted or suite.interrupted
        problems = () if suite is None else tuple(suite.problems)
        of_harnesses = () if suite is None else tuple(suite.backends.problems)
        books = Books() if suite is None else suite.backends.books
        _tell(line, WorkerEnded(exit_code, output, interrupted, problems, of_harnesses, books))


class WorkerReporter(Observer):
    """Passes on to the controller what comes up."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def opening(self, backend: str) -> None:
        _tell(self._line, Opening(backend))

    def noted(self, note: str) -> None:
        _tell(self._line, WorkerNote(note))

    def measured(self, result: ScenarioResult) -> None:
        _tell(self._line, ScenarioEnded(result))


class WorkerLoop:
    """A pytest plugin that runs what the controller hands out, one scenario after the other."""

    def __init__(self, suite: Suite, line: Line) -> None:
        self._suite = suite
        self._line = line

    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed:
            return None  # what could not be collected; pytest's own loop says so
        found = zip(self._suite.planned, session.items, strict=False)  # others' tests come last
        items = {(subject.name, scenario.id): item for (subject, scenario), item in found}
        backends = self._suite.backends
        _tell(
            self._line,
            Ready(
                tuple(subject.name for subject in backends.subjects),
                tuple(backends.infos),
                tuple(backends.notes),
            ),
        )
        while (key := self._next()) is not None:
            session.config.hook.pytest_runtest_protocol(item=items[key], nextitem=None)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self) -> Iterator[None]:
        # Inside the suite's own wrapper: the worlds are closed, the harnesses are not.
        yield
        with uninterrupted(), suppress(EOFError):
            _tell(self._line, Idle())
            self._line.recv()

    def _next(self) -> Key | None:
        _tell(self._line, Next())
        try:
            key: Key | None = self._line.recv()
        except EOFError:
            raise KeyboardInterrupt from None  # nobody is left to hear of it: clear up and end
        return key


def _tell(line: Line, message: Message) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # the next wait for an answer sees it
        line.send(message)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
