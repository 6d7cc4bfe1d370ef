"""The table of exit codes, a test per row, through the command itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner, Result
from reference import faulty
from reference.world import ReferenceHarness

from conformance.registry.backends import Subject
from conformance.report.results import MINIMUM_EXECUTED, Report, ScenarioResult, Status, Verdict
from conformance.run.observer import Observer
from conformance.run.runner import CheckRequest, check_subjects
from conformance.run.selection import rules_of
from conformance.spec.rules import CORE, RULES, SPEC_VERSION, Profile, Rule
from whale_ready.cli import main
from whale_ready.exit_codes import EXIT_CODES

TESTS = Path(__file__).parents[1]
COVERED: set[tuple[int, str]] = set()
_T = TypeVar("_T", bound=Callable[..., None])


def row(code: int, begin: str) -> Callable[[_T], _T]:
    """Mark a test as one of the row of the table whose meaning begins so."""
    (found,) = [each for each in EXIT_CODES if each[0] == code and each[1].startswith(begin)]
    COVERED.add(found)
    return lambda test: test


FAST = ("--profile", "core")
"""Fewer scenarios, for tests that need a whole run."""


def waiver_file(folder: Path, *rules: str, days: int = 30, **changes: str) -> tuple[str, str]:
    """The option for a file of waivers for these rules of backend x."""
    fields = {
        "backend": '"x"',
        "versions": '{ whale-ready = ">=0" }',
        "reason": '"known"',
        "owner": '"ops"',
        "link": '"https://example.org/1"',
        "expires": str(date.today() + timedelta(days=days)),  # noqa: DTZ011 - weeks away from it
        **changes,
    }
    body = "".join(f"{name} = {value}\n" for name, value in fields.items())
    text = "".join(f'[[waivers]]\nrule = "{rule}"\n{body}' for rule in rules)
    (folder / "waivers.toml").write_text(text, encoding="utf-8")
    return "--waivers", str(folder / "waivers.toml")


def baseline_of(name: str, folder: Path, *arguments: str) -> Path:
    """The report of a run."""
    check(name, *FAST, "--report", str(folder), *arguments)
    return folder / "report.json"


def whale_ready(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def check(name: str, *arguments: str) -> Result:
    """Check one backend of the tests' own package."""
    return whale_ready("check", "--backend", f"x=reference.{name}", *arguments)


# 0


@row(0, "every executed")
def test_a_good_backend_is_0() -> None:
    result = check("world:harness")

    assert result.exit_code == 0, result.output
    assert "PASSED" in result.output
    assert "x (simulated)" in result.output


@row(0, "every executed")
def test_a_waived_failure_is_0_and_shown(tmp_path: Path) -> None:
    before = json.loads(baseline_of("breakages_harnesses:forgetful_stop", tmp_path).read_text())
    broken = [each["rule"] for each in before["results"] if each["status"] == "fail"]
    waivers = waiver_file(tmp_path, *broken)

    result = check("breakages_harnesses:forgetful_stop", *FAST, *waivers)

    assert result.exit_code == 0, result.output
    for part in (
        "PASSED: every executed scenario passed, except for what is waived",
        "WAIVED STOP-002[x]",
        "waived until ",
        "got    the container still runs after the stop",
        f"{len(broken)} waived",
    ):
        assert part in result.output
    assert len(broken) > 3


@row(0, "with --baseline")
def test_what_was_broken_before_is_0_and_shown(tmp_path: Path) -> None:
    baseline = baseline_of("breakages_harnesses:forgetful_stop", tmp_path)

    result = check("breakages_harnesses:forgetful_stop", *FAST, "--baseline", str(baseline))

    assert result.exit_code == 0, result.output
    assert "PASSED" not in result.output
    for part in (
        "NO WORSE THAN THE BASELINE",
        "FAIL STOP-002[x]",
        "broken as in the baseline: x: STOP-002, ",
    ):
        assert part in result.output


def test_a_run_may_be_better_than_its_baseline(tmp_path: Path) -> None:
    baseline = baseline_of("breakages_harnesses:forgetful_stop", tmp_path)

    result = check("world:harness", *FAST, "--baseline", str(baseline))

    assert result.exit_code == 0, result.output
    assert "PASSED" in result.output
    assert "better than the baseline: x: STOP-002, " in result.output


# 1


@row(1, "a backend broke a rule")
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


@row(1, "a backend can do")
def test_what_works_without_being_declared_is_1() -> None:
    result = check("faulty:SilentAboutHosts", "--select", "REACH-008")

    assert result.exit_code == 1
    assert "works, though the backend declares no host names per instance" in result.output


@row(1, "a waiver has expired")
@pytest.mark.parametrize("name", ["world:harness", "breakages_harnesses:forgetful_stop"])
def test_an_expired_waiver_is_1_whether_or_not_the_rule_is_kept(name: str, tmp_path: Path) -> None:
    result = check(name, "--select", "STOP-002", *waiver_file(tmp_path, "STOP-002", days=-2))

    assert result.exit_code == 1
    assert "waivers.toml: entry 1 (STOP-002 on x) expired on " in result.output
    assert "waived" not in result.output


@row(1, "a waiver is no longer needed")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "is not needed: the rule is kept"),
        ({"backend": '"y"'}, "is for a backend that was not checked"),
        ({"versions": '{ python = ">=99" }'}, "python is dictionaries, which is not >=99"),
    ],
)
def test_a_waiver_that_matches_nothing_is_1(
    changes: dict[str, str], said: str, tmp_path: Path
) -> None:
    waivers = waiver_file(tmp_path, "STOP-002", **changes)

    result = check("world:harness", "--select", "STOP-002", *waivers)

    assert result.exit_code == 1
    assert said in result.output
    assert "FAILED: no rule is broken, but what was agreed does not hold" in result.output


@row(1, "a known deviation")
def test_a_known_deviation_that_is_not_true_is_1() -> None:
    result = check("breakages_harnesses:declares_what_it_keeps", "--select", "STOP-002")

    assert result.exit_code == 1
    assert "the known deviation STOP-002 of its harness is not needed" in result.output


def test_a_waiver_of_a_rule_that_was_not_selected_is_not_missed(tmp_path: Path) -> None:
    waivers = waiver_file(tmp_path, "STOP-002")

    assert check("world:harness", "--select", "START-*", *waivers).exit_code == 2


@row(1, "with --baseline")
def test_what_is_worse_than_the_baseline_is_1(tmp_path: Path) -> None:
    baseline = baseline_of("world:harness", tmp_path)

    result = check("breakages_harnesses:forgetful_stop", *FAST, "--baseline", str(baseline))

    assert result.exit_code == 1
    assert "worse than the baseline: x: STOP-002, " in result.output


@row(1, "with --baseline")
def test_a_backend_of_the_baseline_that_is_not_checked_any_more_is_1(tmp_path: Path) -> None:
    baseline = baseline_of("world:harness", tmp_path)
    options = ("--backend", "y=reference.world:harness", *FAST, "--baseline", str(baseline))

    result = whale_ready("check", *options)

    assert result.exit_code == 1
    assert "in the baseline, and not checked any more: x: START-001 to START-022" in result.output


# 2


@row(2, "inconclusive: --select")
def test_a_large_selection_is_2_too() -> None:
    result = check("world:harness", "--select", "START-*", "--select", "ACCOUNT-*", *FAST)

    assert result.exit_code == 2
    selected = sum(rule.group in ("START", "ACCOUNT") for rule in RULES)
    assert f"{selected} pass" in result.output
    left = sum(rule.group in CORE for rule in RULES) - selected
    assert f"{left} rules not selected, and a part is no verdict" in result.output


@row(2, "inconclusive: a backend passed fewer")
def test_fewer_than_the_minimum_is_2() -> None:
    result = check("world:bare", "--minimum", "200")

    assert result.exit_code == 2
    assert "scenarios executed, 200 are needed" in result.output


@row(2, "inconclusive: a backend passed fewer")
def test_a_selection_is_2() -> None:
    result = check("world:harness", "--select", "START-*")

    assert result.exit_code == 2
    assert "INCONCLUSIVE" in result.output
    assert "x: 22 scenarios executed, 40 are needed" in result.output


@row(2, "inconclusive: nothing applies")
def test_a_backend_to_which_nothing_applies_is_2() -> None:
    result = check("faulty:NothingApplies", "--select", "AUDIT-*")

    assert result.exit_code == 2
    assert "the harness offers no audit" in result.output
    assert "0 scenarios executed" in result.output


# 3


@row(3, "could not run: a bad option")
@row(3, "could not run: --select")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "--nope"], "No such option"),
        (["chek"], "No such command"),
        (["check", "--backend"], "requires an argument"),
        (["check", "--backend", "docker"], "there is no such backend"),
        (["check", "--backend", "cre:memory", "--backend", "cre:memory"], "is given twice"),
        (["check", "--backend", "cre:memory", "--select", "FOO-*"], "matches no scenario"),
        (["check", "--profile", "core", "--select", "CONC-*"], "no scenario of profile core"),
        (["check", "--backend", "cre:memory", "--report", "/proc/nope"], "--report /proc/nope"),
        (["check", "--profile", "half"], "is not one of"),
        (["check", "--spec", "0"], "there is no such version of the contract"),
        (["check", "--spec", str(SPEC_VERSION + 1)], "there is no such version of the contract"),
        (["check", "--minimum", "39"], "39 is less than the 40 of profile full"),
        (["check", "--minimum", "29", "--profile", "core"], "less than the 30 of profile core"),
    ],
)
def test_a_bad_option_is_3(arguments: list[str], said: str) -> None:
    result = whale_ready(*arguments)

    assert result.exit_code == 3, result.output
    assert said in result.output


@row(3, "could not run: the file of waivers")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"link": '"soon"'}, "waivers.toml: entry 1: link: must be the address where"),
        ({"expires": "2030-02-31"}, "waivers.toml: entry 1: expires: "),
        (
            {"expiry": "2030-02-01"},
            "waivers.toml: entry 1: expiry: is no field; did you mean expires?",
        ),
    ],
)
def test_a_wrong_waiver_is_3(changes: dict[str, str], said: str, tmp_path: Path) -> None:
    result = check("world:harness", *waiver_file(tmp_path, "STOP-002", **changes))

    assert result.exit_code == 3
    assert said in result.output
    assert "running" not in result.output, "nothing was started"


@row(3, "could not run: the baseline")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "is of profile core, contract version 1; this run is of profile full"),
        ((*FAST, "-x"), "--stop-at-first leaves rules out"),
        ((*FAST, "--baseline", "/nope.json"), "/nope.json: No such file or directory"),
    ],
)
def test_a_baseline_that_does_not_fit_is_3(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    baseline = baseline_of("world:harness", tmp_path, "--select", "START-001", "--spec", "1")

    result = check("world:harness", "--spec", "1", "--baseline", str(baseline), *arguments)

    assert result.exit_code == 3, result.output
    assert said in result.output


@row(3, "could not run: the baseline")
def test_a_baseline_that_was_broken_off_is_3(tmp_path: Path) -> None:
    baseline = baseline_of("faulty:LyingHooks", tmp_path, "--select", "START-004")

    result = check("world:harness", *FAST, "--baseline", str(baseline))

    assert result.exit_code == 3
    assert "its run ended as could not run and measured only a part; make a new one" in (
        result.output
    )


@row(3, "could not run: a harness failed")
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


@row(130, "interrupted")
@pytest.mark.parametrize("name", ["Interrupted", "Terminated", "InterruptedUnheard"])
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


# Profiles and versions of the contract.


@pytest.mark.parametrize("profile", Profile)
def test_a_profile_has_its_rules_and_stands_in_the_report(profile: Profile, tmp_path: Path) -> None:
    options = ("--profile", profile.value, "--spec", "1", "--report", str(tmp_path))

    assert check("world:harness", *options).exit_code == 0

    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert (report["profile"], report["spec_version"]) == (profile.value, 1)
    assert [result["rule"] for result in report["results"]] == [
        rule.id
        for rule in RULES
        if rule.since <= 1 and (profile is Profile.FULL or rule.group in CORE)
    ]
    assert {rule["since"] for rule in report["rules"]} == {1}
    summary = (tmp_path / "matrix.md").read_text(encoding="utf-8")
    assert f"contract version 1, profile {profile.value}" in summary


def test_a_rule_of_a_later_version_is_not_run() -> None:
    rules = [Rule("START-001", "A."), Rule("START-002", "B.", since=2), Rule("CONC-001", "C.")]

    assert list(rules_of(Profile.FULL, 1, rules)) == ["START-001", "CONC-001"]
    assert list(rules_of(Profile.FULL, 2, rules)) == ["START-001", "START-002", "CONC-001"]
    assert list(rules_of(Profile.CORE, 2, rules)) == ["START-001", "START-002"]


def test_core_needs_a_larger_part_of_its_rules() -> None:
    shares = {profile: MINIMUM_EXECUTED[profile] / len(rules_of(profile, 1)) for profile in Profile}

    assert shares[Profile.CORE] > shares[Profile.FULL]


# What is common to all rows.


def test_the_readme_and_the_help_have_the_same_table() -> None:
    readme = (TESTS.parent / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## Exit codes of `whale-ready check`")[2].partition("\n## ")[0]
    shown = re.findall(r"^\| (\d+) \| (.+) \|$", section, re.MULTILINE)
    assert [(int(code), meaning) for code, meaning in shown] == list(EXIT_CODES)

    text = whale_ready("check", "--help").output
    section = text.partition("Exit codes:")[2].partition("Examples:")[0]
    shown = re.findall(r"^ +(\d+) +(.+)$", section, re.MULTILINE)
    assert [(int(code), meaning) for code, meaning in shown] == list(EXIT_CODES)


def test_every_row_of_the_table_has_a_test() -> None:
    assert set(EXIT_CODES) == COVERED
    assert {code for code, _ in EXIT_CODES} == {verdict.exit_code for verdict in Verdict}


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


def test_an_interrupt_inside_code_from_a_string_is_130_too(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(
        "import click, os, signal, sys\n"
        "from whale_ready.command import CommandGroup\n"
        "def interrupted():\n"
        "    try:\n"
        "        exec('import os, signal\\nos.kill(os.getpid(), signal.SIGINT)\\n1 + 1')\n"
        "    except KeyboardInterrupt:\n"
        "        sys.exit(130)\n"
        "group = CommandGroup('probe')\n"
        "group.command('it')(interrupted)\n"
        "group()\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, "-m", "probe", "it"], cwd=tmp_path, check=False)

    assert done.returncode == 130  # and not the signal, of which a caller could tell no report
