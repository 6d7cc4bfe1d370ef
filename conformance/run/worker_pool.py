"""A run in several processes: its controller, which hands out scenarios and gathers results.

Each worker opens backends of its own and runs pytest as a run in one process does
(``conformance.run.worker_loop``). A free worker gets the next scenario in the order of the
contract, and the report has that order, whichever worker ran them. Not pytest-xdist: it gives a
worker ten seconds to end when a run is interrupted, and containers may take longer to be cleared
away.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import takewhile
from multiprocessing import Pipe
from multiprocessing.connection import wait
from types import FrameType
from typing import IO, TYPE_CHECKING

import pytest

from conformance.registry.backends import Subject
from conformance.report.ledger import Books
from conformance.report.results import ScenarioResult, Status
from conformance.run.jobs import (
    Idle,
    Job,
    Key,
    Line,
    Next,
    Opening,
    Ready,
    ScenarioEnded,
    WorkerEnded,
    WorkerNote,
)
from conformance.run.observer import Observer
from conformance.spec.redaction import Secrets

if TYPE_CHECKING:
    from conformance.run.runner import CheckRequest
    from conformance.run.session import Suite

_START = """
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from conformance.run.worker_loop import main
main(int(sys.argv[1]))
"""
_GOOD = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
_TAIL_BYTES = 4000


def jobs_of(wanted: int, subjects: Sequence[Subject]) -> int:
    """How many processes to use: one where no backend may be opened more than once."""
    return wanted if any(subject.harness.parallel for subject in subjects) else 1


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


class WorkerProcess:
    """One process, as the controller sees it."""

    def __init__(self, number: int, order: Job) -> None:
        self.number = number
        self.running: Key | None = None
        """What it was handed and has not told the result of."""
        self.asking = self.idle = self.closing = False
        self.ended: WorkerEnded | None = None
        self.backends: tuple[str, ...] = ()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        ours, theirs = Pipe()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", "-c", _START, str(theirs.fileno()), json.dumps(sys.path)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C is for the controller, which passes it on
            )
        self.line: Line = ours
        self.tell(order)

    def tell(self, word: Job | Key | None) -> None:
        with suppress(BrokenPipeError):  # it has died; its end of the line says so
            self.line.send(word)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def died(self) -> str:
        """What to say of a worker that ended without a last word."""
        code = self.process.wait()
        self._errors.seek(0)
        said = self._errors.read()[-_TAIL_BYTES:].decode("utf-8", "replace").strip()
        where = f" in {self.running[1]}[{self.running[0]}]" if self.running else ""
        return f"a worker process died{where} (exit code {code}){': ' if said else ''}{said}"

    def close(self) -> None:
        """Wait for the process to be gone."""
        self.line.close()
        self.process.wait()
        self._errors.close()


class WorkerPool:
    """The workers of a run, and what they have told so far."""

    def __init__(self, suite: Suite, request: CheckRequest, observer: Observer) -> None:
        self._suite = suite
        self._request = request
        self._observer = observer
        self._untold = [(subject.name, scenario.id) for subject, scenario in suite.planned]
        """All that is to be run and was not yet told to the observer, in order."""
        self._waiting = list(self._untold)
        self._workers: list[WorkerProcess] = []
        self._results: dict[Key, ScenarioResult] = {}
        self._proves = {
            scenario.id: scenario.proves.text
            for _, scenario in suite.planned
            if scenario.proves is not None
        }
        self._provers: dict[tuple[str, str], int] = {}
        """Which worker shows whether a backend can do what it does not declare."""
        self._ready = self._stopping = self._interrupted = False

    def start(self, jobs: int) -> None:
        """Start the processes; an interrupt in between reaches those that come after it, too."""
        request = replace(self._request, jobs=1, stop_at_first=False)
        for number in range(jobs):
            self._workers.append(WorkerProcess(number, Job(request, number)))
            if self._interrupted:
                self._workers[-1].interrupt()

    def run(self) -> tuple[int, str]:
        """Hand out and gather until all have ended; returns pytest's exit code and output."""
        while at_work := {worker.line: worker for worker in self._workers if worker.ended is None}:
            for line in wait(list(at_work)):
                self._hear(at_work[line])  # type: ignore[index]  # only lines were given
            self._hand_out()
            self._let_close()
        self._tell(self._untold)
        self._suite.results[:] = self._in_order()
        self._suite.interrupted |= self._interrupted
        ends = [worker.ended for worker in self._workers if worker.ended is not None]
        worst = max(ends, key=lambda end: (end.exit_code not in _GOOD, end.exit_code))
        return worst.exit_code, worst.output

    def close(self) -> None:
        """Wait for all processes to be gone."""
        for worker in self._workers:
            worker.close()

    def interrupt(self) -> None:
        """Let all workers clear up and end; once, however often this is called."""
        if not self._interrupted:
            self._interrupted = self._stopping = True
            for worker in self._workers:
                worker.interrupt()

    # What workers say.

    def _hear(self, worker: WorkerProcess) -> None:
        try:
            message = worker.line.recv()
        except (EOFError, ConnectionResetError):
            self._lost(worker)
            return
        if isinstance(message, ScenarioEnded):
            self._measured(worker, message.result)
        elif isinstance(message, Next):
            worker.asking = True
        elif isinstance(message, Ready):
            worker.backends = message.backends
            if worker.number == 0:
                self._begin(message)
        elif isinstance(message, Idle):
            worker.idle = True
        elif isinstance(message, WorkerEnded):
            self._ended(worker, message)
        elif worker.number == 0:
            self._pass_on(message)

    def _pass_on(self, message: Opening | WorkerNote) -> None:
        if isinstance(message, Opening):
            self._observer.opening(message.backend)
        else:
            self._observer.noted(message.note)

    def _begin(self, ready: Ready) -> None:
        """The first worker has all backends open: what it says of them is the report's."""
        backends = self._suite.backends
        backends.infos[:] = ready.infos
        backends.notes[:] = ready.notes
        for place, name in enumerate(ready.backends):
            if backends.subjects[place].name != name:
                self._stand_in(place, name)
        self._ready = True
        self._observer.begins(len(self._untold))

    def _stand_in(self, place: int, name: str) -> None:
        subjects, planned = self._suite.backends.subjects, self._suite.planned
        before = subjects[place]
        if before.fallback is None:
            raise RuntimeError(f"a worker calls {before.name} {name}")
        subjects[place] = now = before.fallback()
        planned[:] = [(now if each is before else each, what) for each, what in planned]
        self._untold = [(subject.name, scenario.id) for subject, scenario in planned]
        self._waiting = list(self._untold)

    def _measured(self, worker: WorkerProcess, result: ScenarioResult) -> None:
        self._results[result.backend, result.scenario] = result
        worker.running = None
        if self._request.stop_at_first and result.status in (Status.FAIL, Status.ERROR):
            self._stopping = True
        self._tell(list(takewhile(self._results.__contains__, self._untold)))

    def _tell(self, keys: Sequence[Key]) -> None:
        """Tell the observer of the next results in the report's order."""
        self._untold = self._untold[len(keys) :]
        for key in keys:
            if key in self._results:
                self._observer.measured(self._results[key])

    def _in_order(self) -> list[ScenarioResult]:
        planned = [(subject.name, scenario.id) for subject, scenario in self._suite.planned]
        return [self._results[key] for key in planned if key in self._results]

    def _ended(self, worker: WorkerProcess, end: WorkerEnded) -> None:
        worker.ended = end
        self._suite.interrupted |= end.interrupted
        self._suite.backends.books.merge(end.books)
        _add(self._suite.problems, end.problems)
        _add(self._suite.backends.problems, end.backend_problems)
        if end.interrupted or end.problems or end.backend_problems:
            self._stopping = True

    def _lost(self, worker: WorkerProcess) -> None:
        problem = worker.died()
        worker.ended = WorkerEnded(int(pytest.ExitCode.OK), "", False, (), (), Books())
        self._stopping = True
        if not self._interrupted:
            _add(self._suite.backends.problems, [Secrets().clean(problem)])

    # What workers are told.

    def _hand_out(self) -> None:
        for worker in self._workers:
            if not worker.asking or not (self._ready or self._stopping):
                continue
            worker.asking = False
            worker.running = None if self._stopping else self._next_for(worker)
            worker.tell(worker.running)

    def _next_for(self, worker: WorkerProcess) -> Key | None:
        for key in self._waiting:
            if key[0] in worker.backends and self._may_prove(worker, key):
                self._waiting.remove(key)
                return key
        return None

    def _may_prove(self, worker: WorkerProcess, key: Key) -> bool:
        """A proof is all one worker's, which alone knows when it is complete."""
        capability = self._proves.get(key[1])
        if capability is None:
            return True
        return self._provers.setdefault((key[0], capability), worker.number) == worker.number

    def _let_close(self) -> None:
        """Once nobody runs anything, let one after the other close, the first worker last."""
        at_work = [worker for worker in self._workers if worker.ended is None]
        if at_work and all(process.idle for process in at_work):
            last = at_work[-1]
            if not last.closing:
                last.closing = True
                last.tell(None)


def run_in_workers(suite: Suite, request: CheckRequest, observer: Observer) -> tuple[int, str]:
    """Run a suite that was planned already over ``request.jobs`` processes.

    Its results, problems and what it knows of its backends are filled in as after a run in this
    process. Ctrl-C and SIGTERM end the scenarios at work; what was measured stays.
    """
    crew = WorkerPool(suite, request, observer)
    with _interrupts(crew):
        try:
            crew.start(min(request.jobs, max(1, len(suite.planned))))
            return crew.run()
        finally:
            crew.close()


@contextmanager
def _interrupts(crew: WorkerPool) -> Iterator[None]:
    """Signals only tell the workers: nothing here is cut short while they clear up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        crew.interrupt()

    before = {
        signals: signal.signal(signals, pass_on) for signals in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for signals, handler in before.items():
            signal.signal(signals, handler)


def _add(known: list[str], more: Iterable[str]) -> None:
    known += [each for each in more if each not in known]
