"""The table of exit codes, a test per row, through the command itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from reference import faulty
from reference.world import ReferenceHarness

from conformance.observer import Observer
from conformance.registry import Subject
from conformance.results import Report, ScenarioResult, Status, Verdict
from conformance.runner import CheckRequest, check_subjects
from whale_ready.cli import main

TESTS = Path(__file__).parents[1]


def whale_ready(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def check(name: str, *arguments: str) -> Result:
    """Check one backend of the tests' own package."""
    return whale_ready("check", "--backend", f"x=reference.{name}", *arguments)


# 0


def test_a_good_backend_is_0() -> None:
    result = check("world:harness")

    assert result.exit_code == 0, result.output
    assert "PASSED" in result.output
    assert "x (simulated)" in result.output


# 1


def test_a_broken_backend_is_1_and_shown() -> None:
    result = check("breakages_harnesses:forgetful_stop", "--select", "STOP-*")

    assert result.exit_code == 1
    for part in (
        "FAIL STOP-002[x]",
        "rule   A stop removes the container.",
        "got    the container still runs after the stop",
        "stop_instance(1, 7, None) -> (True, 'Container stopped')",
        "· really running: ['container-1']",
    ):
        assert part in result.output


def test_a_broken_rule_wins_over_a_harness_error() -> None:
    result = check("faulty:CrashingCloseOfABrokenBackend")

    assert result.exit_code == 1
    assert "was not closed" in result.output


@pytest.mark.parametrize("name", ["Exiting", "Leaving"])
def test_ending_the_run_is_a_failure_of_the_backend(name: str) -> None:
    assert check(f"faulty:{name}", "--select", "*-001").exit_code == 1


def test_stopping_at_the_first_failure_is_still_1(tmp_path: Path) -> None:
    result = check("breakages_harnesses:forgetful_stop", "-x", "--report", str(tmp_path))

    assert result.exit_code == 1
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [r["status"] for r in report["results"]].count("fail") == 1
    assert report["results"][-1]["status"] == "fail"


# 2


def test_a_selection_is_2() -> None:
    result = check("world:harness", "--select", "START-*")

    assert result.exit_code == 2
    assert "INCONCLUSIVE" in result.output
    assert "x: 22 scenarios executed, 40 are needed" in result.output


def test_a_backend_to_which_nothing_applies_is_2() -> None:
    result = check("faulty:NothingApplies", "--select", "AUDIT-*")

    assert result.exit_code == 2
    assert "the harness offers no audit" in result.output
    assert "0 scenarios executed" in result.output


# 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "--nope"], "No such option"),
        (["chek"], "No such command"),
        (["check", "--backend"], "requires an argument"),
        (["check", "--backend", "docker"], "there is no such backend"),
        (["check", "--backend", "cre:memory", "--backend", "cre:memory"], "is given twice"),
        (["check", "--backend", "cre:memory", "--select", "FOO-*"], "matches no scenario"),
        (["check", "--backend", "cre:memory", "--report", "/proc/nope"], "--report /proc/nope"),
    ],
)
def test_a_bad_option_is_3(arguments: list[str], said: str) -> None:
    result = whale_ready(*arguments)

    assert result.exit_code == 3, result.output
    assert said in result.output


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NoServer", "x: no server answers on port 9; start one"),
        ("CrashingOpen", "x: could not be opened: RuntimeError: opened badly"),
        ("CrashingClose", "x: was not closed: RuntimeError: closed badly"),
    ],
)
def test_a_harness_that_fails_is_3(name: str, said: str) -> None:
    result = check(f"faulty:{name}")

    assert result.exit_code == 3, result.output
    assert said in result.output
    assert "COULD NOT RUN" in result.output


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CrashingWorld", "no world could be made: RuntimeError: no world today"),
        ("LeakyWorlds", "the world was not closed: RuntimeError: could not clear up"),
        ("LyingHooks", "hook ground_truth failed: AssertionError"),
        ("Skipping", "skipped, which is no result: let us not"),
    ],
)
def test_a_scenario_that_cannot_be_carried_out_is_3(name: str, said: str) -> None:
    result = check(f"faulty:{name}", "--select", "START-004")

    assert result.exit_code == 3, result.output
    assert "ERROR START-004[x]" in result.output
    assert said in result.output


@pytest.mark.parametrize("stop_at_first", [False, True])
def test_scenarios_without_a_result_are_3(stop_at_first: bool) -> None:
    class Leaving(Observer):
        def measured(self, result: ScenarioResult) -> None:
            pytest.exit("all is well", returncode=0)

    request = CheckRequest(select=("START-00[12]",), stop_at_first=stop_at_first, minimum=1)
    report = check_subjects([Subject("x", ReferenceHarness())], request, Leaving())

    assert [result.status for result in report.results] == [Status.PASS]
    assert report.verdict is Verdict.COULD_NOT_RUN
    assert report.reasons == ("scenarios without a result: 1",)


# 130


@pytest.mark.parametrize("name", ["Interrupted", "Terminated"])
def test_an_interrupted_run_is_130_and_cleaned_up(name: str, tmp_path: Path) -> None:
    marker, folder = tmp_path / "closed", tmp_path / "report"
    spec = f"x=reference.faulty:{name}"
    done = subprocess.run(
        [sys.executable, "-m", "whale_ready", "check", "--backend", spec, "--report", str(folder)],
        env={**os.environ, "PYTHONPATH": str(TESTS), "WR_TEST_CLOSED": str(marker)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 130, done.stdout + done.stderr
    assert marker.read_text(encoding="utf-8") == "closed\n", "closed once"
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert (report["verdict"], report["exit_code"]) == ("interrupted", 130)
    assert report["results"], "what was measured before is written"
    assert "Traceback" not in done.stdout + done.stderr


def test_an_interrupt_while_opening_is_130_and_cleaned_up() -> None:
    harness = faulty.InterruptedOpen()

    report = check_subjects([Subject("x", harness)], CheckRequest())

    assert report.exit_code == 130
    assert harness.closed == 1


# Time-outs


def short(harness: ReferenceHarness, *select: str) -> Report:
    request = CheckRequest(select=select, seconds_per_scenario=0.3)
    return check_subjects([Subject("x", harness)], request)


def test_a_call_that_never_returns_is_1_and_the_run_goes_on() -> None:
    report = short(faulty.Hanging(), "EXTEND-001", "STOP-001")

    extend, stop = report.results
    assert (extend.status, stop.status) == (Status.FAIL, Status.PASS)
    assert extend.message.startswith("extend_instance(1, 7, None) did not return: Timeout")
    assert "extend_instance(1, 7, None) … no answer" in extend.trace
    assert report.verdict is Verdict.FAILED


def test_a_harness_that_hangs_is_3() -> None:
    report = short(faulty.HangingWorld(), "EXTEND-001")

    assert [result.status for result in report.results] == [Status.ERROR]
    assert report.verdict is Verdict.COULD_NOT_RUN


# What is common to all rows.


@pytest.mark.parametrize(
    "harness",
    [
        ReferenceHarness,
        faulty.NoServer,
        faulty.CrashingOpen,
        faulty.CrashingWorld,
        faulty.LeakyWorlds,
        faulty.Exiting,
    ],
)
def test_a_harness_is_opened_once_and_closed(harness: Any) -> None:
    made = harness()

    check_subjects([Subject("x", made)], CheckRequest(select=("START-*",)))

    assert (made.opened, made.closed) == (1, 1)


def test_a_later_backend_that_cannot_run_closes_the_earlier_ones() -> None:
    first, second = ReferenceHarness(), faulty.NoServer()

    report = check_subjects([Subject("a", first), Subject("b", second)], CheckRequest())

    assert report.verdict is Verdict.COULD_NOT_RUN
    assert not report.results
    assert first.closed == second.closed == 1


def test_the_stand_in_is_shown_as_what_it_is() -> None:
    stand_in = ReferenceHarness()
    subject = Subject("real", faulty.NoServer(), fallback=lambda: Subject("toy", stand_in))

    report = check_subjects([subject], CheckRequest(select=("START-001",)))

    assert [backend.name for backend in report.backends] == ["toy"]
    assert report.backends[0].simulated
    assert [r.status for r in report.results] == [Status.PASS]
    assert report.notes == (
        "real cannot run here, toy stands in for it: no server answers on port 9; start one",
    )
    assert stand_in.closed == 1


def test_help_teaches_and_version_tells() -> None:
    assert "Exit codes:" in whale_ready("check", "--help").output
    assert "whale-ready" in whale_ready("--version").output
    assert whale_ready("--help").exit_code == 0
