"""Two reports side by side, a report read back, and the command that compares two."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st
from reference.breakages import ForgetfulStop
from reference.world import ReferenceHarness

from conformance.registry.backends import Subject
from conformance.report.comparison import Comparison, compare, gate
from conformance.report.report_file import ReportError, from_dict, load_report
from conformance.report.results import (
    EXCUSED,
    BackendInfo,
    ContainerLedger,
    Report,
    ScenarioResult,
    Status,
    Verdict,
    judge,
)
from conformance.report.writers import write_reports
from conformance.run.runner import CheckRequest, check_subjects
from conformance.spec.rules import RULES, Profile
from whale_ready.cli import main

SOME_RULES = tuple(rule.id for rule in RULES[:4])
Measured = dict[tuple[str, str], Status]


def report(measured: Measured, verdict: Verdict = Verdict.FAILED) -> Report:
    names = dict.fromkeys(backend for backend, _ in measured)
    return Report(
        tool_version="0",
        started_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
        duration_s=1.5,
        profile=Profile.FULL,
        environment={"python": "3"},
        backends=tuple(BackendInfo(name, "kind", simulated=False) for name in names),
        results=tuple(
            ScenarioResult(rule, rule, backend, status, 0.1, "m", ("t",), "s")
            for (backend, rule), status in measured.items()
        ),
        verdict=verdict,
        reasons=("why",),
        notes=("note",),
        ledgers=(
            ContainerLedger("x", 3, 2, 1, 0, ("id",)),
            ContainerLedger("y", 1, None, None, None, None),
        ),
    )


measured_runs = st.dictionaries(
    st.tuples(st.sampled_from(["x", "y"]), st.sampled_from(SOME_RULES)), st.sampled_from(Status)
)


def turned(differences: object) -> set[object]:
    return {
        (difference.backend, difference.rule, difference.after, difference.before)
        for difference in differences  # type: ignore[attr-defined] # a tuple of them
    }


def straight(differences: object) -> set[object]:
    return {
        (difference.backend, difference.rule, difference.before, difference.after)
        for difference in differences
    }  # type: ignore[attr-defined] # a tuple of them


# Properties.


@given(measured_runs)
def test_a_report_compared_with_itself_shows_no_difference(measured: Measured) -> None:
    found = compare(report(measured), report(measured))

    assert replace(found, still_broken=()) == Comparison()
    assert not found.is_worse


@given(measured_runs, measured_runs)
def test_worse_one_way_is_better_the_other(one: Measured, other: Measured) -> None:
    there, back = compare(report(one), report(other)), compare(report(other), report(one))

    assert straight(there.worse) == turned(back.better)
    assert straight(there.better) == turned(back.worse)
    assert straight(there.new) == turned(back.gone)
    assert straight(there.still_broken) == turned(back.still_broken)


@given(measured_runs, measured_runs)
def test_nothing_is_told_twice(one: Measured, other: Measured) -> None:
    found = compare(report(one), report(other))

    told = [*found.worse, *found.better, *found.new, *found.gone, *found.still_broken]
    assert len(told) == len(set(told))
    unlike = {key for key in {**one, **other} if one.get(key) is not other.get(key)}
    assert {(each.backend, each.rule) for each in told} >= unlike - unmeasured(one, other)


def unmeasured(one: Measured, other: Measured) -> set[tuple[str, str]]:
    nothing = (None, Status.ERROR)
    return {
        key for key in {**one, **other} if one.get(key) in nothing and other.get(key) in nothing
    }


SEVERITY = (
    Verdict.PASSED,
    Verdict.NO_WORSE,
    Verdict.INCONCLUSIVE,
    Verdict.COULD_NOT_RUN,
    Verdict.FAILED,
)
GOOD_TO_BAD = (
    Status.PASS,
    Status.NOT_APPLICABLE,
    Status.KNOWN_DEVIATION,
    Status.WAIVED,
    Status.ERROR,
    Status.FAIL,
)
KEY = ("x", SOME_RULES[0])


def verdict(before: Measured, after: Measured) -> Verdict:
    results = report(after).results
    held = gate(report(before), results, SOME_RULES, whole=True)
    return judge(["x", "y"], results, failures=held.failures, known=held.known, minimum=0).verdict


@st.composite
def steps_back(draw: st.DrawFn) -> tuple[Measured, Measured, tuple[str, str], Status]:
    """A baseline, a run, and one of the run's results that becomes worse."""
    before, after = draw(measured_runs), draw(measured_runs.filter(bool))
    key = draw(st.sampled_from(sorted(after)))
    worse = draw(st.sampled_from(GOOD_TO_BAD[GOOD_TO_BAD.index(after[key]) :]))
    return before, after, key, worse


@given(steps_back())
@example(({KEY: Status.PASS}, {KEY: Status.NOT_APPLICABLE}, KEY, Status.WAIVED))
@example(({KEY: Status.PASS}, {KEY: Status.NOT_APPLICABLE}, KEY, Status.KNOWN_DEVIATION))
@example(({KEY: Status.PASS}, {KEY: Status.NOT_APPLICABLE}, KEY, Status.ERROR))
def test_a_worse_result_never_makes_a_better_verdict(
    step: tuple[Measured, Measured, tuple[str, str], Status],
) -> None:
    before, after, key, worse = step
    known = before.get(key) is Status.FAIL and worse is Status.FAIL
    if known:  # the one step back that a baseline is for
        return
    lost = before.get(key) is Status.PASS and after[key] is Status.NOT_APPLICABLE
    if lost and worse is not Status.FAIL:
        # What was measured and is not any more is held against the run, as below; in the place of
        # this come an excuse, which somebody has signed, or an error, which is no measurement.
        return
    assert SEVERITY.index(verdict(before, {**after, key: worse})) >= SEVERITY.index(
        verdict(before, after)
    )


@pytest.mark.parametrize(
    ("after", "wanted"),
    [
        (Status.PASS, Verdict.PASSED),
        (Status.NOT_APPLICABLE, Verdict.FAILED),
        (Status.KNOWN_DEVIATION, Verdict.PASSED),
        (Status.WAIVED, Verdict.PASSED),
        (Status.ERROR, Verdict.COULD_NOT_RUN),
        (Status.FAIL, Verdict.FAILED),
    ],
)
def test_evidence_is_not_lost_in_silence(after: Status, wanted: Verdict) -> None:
    """A rule that was kept may be excused, by name and until a day; it may not just go missing."""
    assert verdict({KEY: Status.PASS}, {KEY: after}) is wanted


@pytest.mark.parametrize("excused", EXCUSED)
def test_what_got_worse_and_is_excused_is_noted(excused: Status) -> None:
    results = report({KEY: excused}).results
    held = gate(report({KEY: Status.PASS}), results, SOME_RULES, whole=True)

    assert held.failures == ()
    words = excused.value.replace("_", " ")
    assert held.notes == (f"worse than the baseline, and excused: x: START-001 (pass → {words})",)


def test_one_excuse_for_another_is_neither_better_nor_worse() -> None:
    found = compare(report({KEY: Status.WAIVED}), report({KEY: Status.KNOWN_DEVIATION}))

    assert (found.worse, found.better) == ((), ())
    assert [each.change for each in found.still_broken] == ["waived → known deviation"]


# The gate.


def held(before: Measured, after: Measured, *, whole: bool = True) -> tuple[str, ...]:
    return gate(report(before), report(after).results, SOME_RULES, whole=whole).failures


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (Status.PASS, Status.FAIL, "worse than the baseline: x: START-001 (pass → fail)"),
        (Status.PASS, Status.NOT_APPLICABLE, "x: START-001 (pass → not applicable)"),
        (Status.NOT_APPLICABLE, Status.FAIL, "x: START-001 (not applicable → fail)"),
        (Status.WAIVED, Status.FAIL, "x: START-001 (waived → fail)"),
        (Status.PASS, None, "not checked any more: x: START-001 (pass → not run)"),
        (Status.FAIL, None, "not checked any more: x: START-001 (fail → not run)"),
        (None, Status.FAIL, "not in the baseline, and broken: x: START-001 (not run → fail)"),
        (Status.ERROR, Status.FAIL, "and broken: x: START-001 (error → fail)"),
    ],
)
def test_what_got_worse_fails(before: Status | None, after: Status | None, said: str) -> None:
    key = ("x", "START-001")
    (failure,) = held(
        {} if before is None else {key: before}, {} if after is None else {key: after}
    )

    assert failure.endswith(said)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Status.FAIL, Status.FAIL),
        (Status.FAIL, Status.PASS),
        (Status.FAIL, Status.NOT_APPLICABLE),
        (Status.PASS, Status.WAIVED),
        (None, Status.PASS),
        (None, Status.NOT_APPLICABLE),
        (Status.PASS, Status.ERROR),  # which is told by the verdict: it could not run
    ],
)
def test_what_did_not_get_worse_does_not(before: Status | None, after: Status) -> None:
    key = ("x", "START-001")

    assert held({} if before is None else {key: before}, {key: after}) == ()


def test_what_got_better_and_what_is_still_broken_is_told() -> None:
    before = {("x", rule): Status.FAIL for rule in SOME_RULES}
    after = {**before, ("x", SOME_RULES[0]): Status.PASS}

    found = gate(report(before), report(after).results, SOME_RULES, whole=True)

    assert found.notes == (
        "better than the baseline: x: START-001 (fail → pass)",
        "broken as in the baseline: x: START-002 to START-004 (fail → fail)",
    )


def test_nothing_is_gone_from_a_run_that_broke_off() -> None:
    assert held({("x", "START-001"): Status.PASS}, {}, whole=False) == ()


def test_rules_that_the_run_is_not_about_are_not_missed() -> None:
    assert held({("x", "STOP-001"): Status.PASS}, {}) == ()


# A report read back.


@given(measured_runs)
def test_a_report_is_read_back_as_it_was(measured: Measured) -> None:
    known = {**measured, ("x", "START-001"): Status.PASS, ("y", "START-001"): Status.FAIL}
    written = report(known)

    assert from_dict(json.loads(json.dumps(written.to_dict()))) == written


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"verdict": "fine"}, "verdict: must be one of passed, no_worse"),
        ({"profile": 3}, "profile: must be one of core, full"),
        ({"spec_version": True}, "spec_version: must be a whole number from 1"),
        ({"spec_version": "1"}, "spec_version: must be a whole number from 1"),
        ({"exit_code": 0}, "exit_code is 0, its verdict's is 1"),
        ({"started_at": "yesterday"}, "started_at: must be a time with its zone"),
        ({"results": {}}, "results: must be a list"),
        ({"results": [{}]}, "results[0].rule: is missing"),
        ({"notes": [1]}, "notes[0]: must be a text"),
        ({"backends": {"x": {}}}, "backends.x.kind: is missing"),
        ({"backends": {}}, "result START-001[x] is of a backend that is not in the report"),
        ({"rules": []}, "result START-001[x] is of a rule that is not in the report"),
        ({"colour": "red"}, "colour: is no field; the fields are spec_version"),
    ],
)
def test_a_report_that_is_not_understood_is_refused(change: dict[str, Any], said: str) -> None:
    written = report({("x", "START-001"): Status.FAIL}).to_dict()

    with pytest.raises(ValueError, match=re.escape(said)):
        from_dict({**written, **change})


def test_a_result_twice_is_refused() -> None:
    written = report({("x", "START-001"): Status.FAIL}).to_dict()

    with pytest.raises(ValueError, match="is there twice"):
        from_dict({**written, "results": written["results"] * 2})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory; name a report.json I can read"),
        ("{", "is no JSON; make a new one: whale-ready check --report DIR"),
        ("[]", "must be key/value pairs; make a new one"),
    ],
)
def test_a_file_that_is_no_report_is_refused(
    tmp_path: Path, content: str | None, said: str
) -> None:
    file = tmp_path / "report.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")

    with pytest.raises(ReportError) as raised:
        load_report(file)

    assert said in str(raised.value)


@pytest.mark.parametrize("verdict", [Verdict.INTERRUPTED, Verdict.COULD_NOT_RUN])
def test_a_run_without_a_verdict_is_no_baseline(tmp_path: Path, verdict: Verdict) -> None:
    with pytest.raises(ReportError, match="measured only a part; make a new one"):
        load_report(written(tmp_path, report({}, verdict)))


def written(folder: Path, made: Report) -> Path:
    write_reports(made, folder)
    return folder / "report.json"


def test_a_real_report_is_read_back_as_it_was(tmp_path: Path) -> None:
    made = check_subjects([Subject("x", ReferenceHarness(ForgetfulStop))], CheckRequest())

    assert load_report(written(tmp_path, made)) == made


# The command.


def compared(tmp_path: Path, one: Measured, other: Measured) -> tuple[int, str]:
    files = [written(tmp_path / name, report(each)) for name, each in (("a", one), ("b", other))]
    done = CliRunner().invoke(main, ["compare", *map(str, files)])
    return done.exit_code, done.output


def test_compare_shows_what_lies_between_and_is_1_when_it_is_worse(tmp_path: Path) -> None:
    one = {("x", "START-001"): Status.PASS, ("x", "START-002"): Status.FAIL}
    other = {("x", "START-001"): Status.FAIL, ("x", "START-002"): Status.PASS}

    code, said = compared(tmp_path, one, other)

    assert code == 1
    rows = [line.split("│")[1:-1] for line in said.splitlines() if "START" in line]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["worse", "x", "START-001", "pass → fail"],
        ["better", "x", "START-002", "fail → pass"],
    ]
    assert "WORSE: 1 worse, 1 better" in said


@pytest.mark.parametrize(
    ("one", "other", "code"),
    [
        ({("x", "START-001"): Status.FAIL}, {("x", "START-001"): Status.PASS}, 0),
        ({("x", "START-001"): Status.FAIL}, {("x", "START-001"): Status.FAIL}, 0),
        ({("x", "START-001"): Status.PASS}, {("x", "START-002"): Status.PASS}, 1),
        ({}, {("x", "START-001"): Status.FAIL}, 1),
        ({}, {("x", "START-001"): Status.PASS}, 0),
    ],
)
def test_compare_ends_as_it_says(tmp_path: Path, one: Measured, other: Measured, code: int) -> None:
    assert compared(tmp_path, one, other)[0] == code


def test_compare_is_3_when_it_cannot_read(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["compare", str(tmp_path / "a"), str(tmp_path / "b")])

    assert done.exit_code == 3
    assert "name a report.json I can read" in done.output
