"""A run over several processes says what a run in one says, and leaves as little behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.report.results import Report, ScenarioResult, Status, Verdict
from conformance.run.observer import Observer
from conformance.run.runner import CheckRequest, check
from engines.probe import wait_until

TESTS = Path(__file__).parents[1]
LONG_SECONDS = 60.0

MODULE = '''
import os, signal, threading, time
from pathlib import Path
from reference.backend import ReferenceBackend
from reference.world import ReferenceHarness

HERE = Path(__file__).parent


class Marked(ReferenceHarness):
    """Leaves a file in its folder for every process that has it open."""

    def open(self):
        super().open()
        (HERE / f"{self.kind}-open-{os.getpid()}").touch()

    def close(self):
        super().close()
        if self.closed == 1:
            (HERE / f"{self.kind}-closed-{os.getpid()}").touch()


class shared(Marked):
    kind = "shared"


class alone(Marked):
    kind = "alone"
    parallel = False


class Dying(ReferenceBackend):
    def extend_instance(self, *arguments):
        os.kill(os.getpid(), signal.SIGKILL)


class Waiting(ReferenceBackend):
    def start_instance(self, *arguments):
        (HERE / f"waiting-{os.getpid()}").touch()
        threading.Event().wait()


def dying():
    return ReferenceHarness(Dying)


def waiting():
    return shared(Waiting)
'''


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "wr_jobs_backend.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "wr_jobs_backend", raising=False)
    return tmp_path


def measured(report: Report) -> list[tuple[str, str, str, str]]:
    """What a report says, without times and without what threads and hashes decide."""
    return [
        (result.backend, result.rule, result.status.value, result.story)
        for result in report.results
    ]


def is_there(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


class Ear(Observer):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def opening(self, backend: str) -> None:
        self.heard.append(f"opening {backend}")

    def begins(self, total: int) -> None:
        self.heard.append(f"begins {total}")

    def measured(self, result: ScenarioResult) -> None:
        self.heard.append(result.id)


def test_the_report_and_the_progress_are_those_of_one_process() -> None:
    backends = ("one=reference.world:harness", "two=reference.breakages_harnesses:forgetful_stop")
    alone, together = Ear(), Ear()

    select = ("STOP-*", "AUDIT-*", "CONC-*")

    one = check(CheckRequest(backends, select), alone)
    two = check(CheckRequest(backends, select, jobs=2), together)

    assert measured(two) == measured(one)
    assert (two.verdict, two.reasons, two.backends) == (one.verdict, one.reasons, one.backends)
    assert one.verdict is Verdict.FAILED
    assert together.heard == alone.heard


def test_all_processes_have_backends_of_their_own_and_close_them(third_party: Path) -> None:
    request = CheckRequest(("x=wr_jobs_backend:shared", "y=wr_jobs_backend:alone"), jobs=3)

    report = check(request)

    assert report.verdict is Verdict.PASSED, report.reasons
    opened = {path.name for path in third_party.glob("*-open-*")}
    closed = {path.name.replace("closed", "open") for path in third_party.glob("*-closed-*")}
    assert opened == closed
    assert len([name for name in opened if name.startswith("shared")]) == 3
    assert len([name for name in opened if name.startswith("alone")]) == 1


def test_the_ledger_is_that_of_one_process() -> None:
    backend, select = ("one=reference.world:harness",), ("STOP-*",)

    one, two = (check(CheckRequest(backend, select, jobs=jobs)) for jobs in (1, 2))

    assert two.ledgers == one.ledgers
    assert one.ledgers[0].made > one.ledgers[0].ended > 0  # type: ignore[operator]  # it can tell


def test_what_works_undeclared_is_found_by_several_processes_too() -> None:
    report = check(CheckRequest(("x=reference.faulty:SilentAboutLoss",), ("STATUS-*",), jobs=3))

    broken = [result for result in report.results if result.status is Status.FAIL]
    assert [each.message for each in broken] == [
        "works, though the backend declares no detection of lost containers; declare it"
    ]


def test_a_backend_of_which_there_may_be_one_is_run_as_ever(third_party: Path) -> None:
    report = check(CheckRequest(("y=wr_jobs_backend:alone",), ("START-*",), jobs=2))

    assert {result.status.value for result in report.results} == {"pass"}
    assert [path.name for path in third_party.glob("*-open-*")] == [f"alone-open-{os.getpid()}"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NoServer", "x: no server answers on port 9; start one"),
        ("CrashingOpen", "x: could not be opened: RuntimeError: opened badly"),
        ("CrashingClose", "x: was not closed: RuntimeError: closed badly"),
    ],
)
def test_a_harness_error_is_said_once(name: str, said: str) -> None:
    report = check(CheckRequest((f"x=reference.faulty:{name}",), ("START-00*",), jobs=2))

    assert report.verdict is Verdict.COULD_NOT_RUN
    assert report.reasons == (said,)


@pytest.mark.parametrize("name", ["Exiting", "Leaving"])
def test_a_backend_that_ends_the_run_has_failed(name: str) -> None:
    report = check(CheckRequest((f"x=reference.faulty:{name}",), ("*-001",), jobs=2))

    assert report.verdict is Verdict.FAILED


def test_a_process_that_dies_makes_the_run_could_not_run(third_party: Path) -> None:
    del third_party
    report = check(CheckRequest(("x=wr_jobs_backend:dying",), ("EXTEND-001",), jobs=2))

    assert report.verdict is Verdict.COULD_NOT_RUN
    assert "a worker process died in EXTEND-001[x] (exit code -9)" in report.reasons


def test_stopping_at_the_first_hands_out_no_more() -> None:
    backend = "x=reference.breakages_harnesses:forgetful_stop"
    report = check(CheckRequest((backend,), stop_at_first=True, jobs=2))

    assert report.verdict is Verdict.FAILED
    assert len(report.results) < 100
    assert "without a result" not in str(report.reasons)


def test_what_stands_in_for_docker_has_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")

    report = check(CheckRequest(select=("START-001",), jobs=2))

    assert [result.id for result in report.results] == [
        "START-001[cre:memory]",
        "START-001[whale:fake]",
    ]
    assert [backend.name for backend in report.backends] == ["cre:memory", "whale:fake"]
    assert len(report.notes) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_130_and_every_process_clears_up(third_party: Path, number: int) -> None:
    run = subprocess.Popen(
        [
            *(sys.executable, "-m", "whale_ready", "check", "--jobs", "2", "--report", "out"),
            *("--backend", "x=wr_jobs_backend:waiting"),
        ],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        cwd=third_party,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert wait_until(lambda _: len(list(third_party.glob("waiting-*"))) == 2, LONG_SECONDS)
        run.send_signal(number)
        output, _ = run.communicate()
    finally:
        run.kill()

    assert run.returncode == 130, output
    assert "Traceback" not in output
    workers = [path.name.rpartition("-")[2] for path in third_party.glob("waiting-*")]
    assert {path.name for path in third_party.glob("shared-closed-*")} == {
        f"shared-closed-{pid}" for pid in workers
    }
    assert not any(map(is_there, workers))
    report = json.loads((third_party / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["verdict"] == "interrupted"


def test_workers_whose_controller_is_gone_clear_up(third_party: Path) -> None:
    run = subprocess.Popen(
        [
            *(sys.executable, "-m", "whale_ready", "check", "--jobs", "2"),
            *("--backend", "x=wr_jobs_backend:shared", "--backend", "y=wr_jobs_backend:alone"),
        ],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        cwd=third_party,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert wait_until(lambda _: len(list(third_party.glob("shared-open-*"))) == 2, LONG_SECONDS)
    run.kill()
    run.wait()

    workers = [path.name.rpartition("-")[2] for path in third_party.glob("shared-open-*")]
    assert wait_until(lambda _: len(list(third_party.glob("shared-closed-*"))) == 2, LONG_SECONDS)
    assert wait_until(lambda _: not any(map(is_there, workers)), LONG_SECONDS)


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_number_that_is_none_is_refused(value: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "whale_ready", "check", f"--jobs={value}"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 3
    assert "is neither auto nor a number from 1" in done.stderr
