"""The verdict on every mix of results; nothing but executed passes makes a good one."""

from __future__ import annotations

import pytest

from conformance.report.results import ScenarioResult, Status, Verdict, judge


def results(backend: str = "a", **counts: int) -> list[ScenarioResult]:
    return [
        ScenarioResult("START-001", "START-001", backend, Status(status), 0.0)
        for status, times in counts.items()
        for _ in range(times)
    ]


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (results(**{"pass": 40}), Verdict.PASSED),
        (results(**{"pass": 39}), Verdict.INCONCLUSIVE),
        (results(**{"pass": 39, "not_applicable": 100}), Verdict.INCONCLUSIVE),
        (results(not_applicable=100), Verdict.INCONCLUSIVE),
        ([], Verdict.INCONCLUSIVE),
        (results(**{"pass": 40, "fail": 1}), Verdict.FAILED),
        (results(**{"pass": 40, "fail": 1, "error": 1}), Verdict.FAILED),
        (results(**{"pass": 40, "error": 1}), Verdict.COULD_NOT_RUN),
        (results(error=1), Verdict.COULD_NOT_RUN),
    ],
)
def test_results_to_verdict(measured: list[ScenarioResult], verdict: Verdict) -> None:
    assert judge(["a"], measured).verdict is verdict


def test_waived_failures_are_neither_passes_nor_failures() -> None:
    assert judge(["a"], results(**{"pass": 40, "waived": 5})).verdict is Verdict.PASSED
    assert judge(["a"], results(**{"pass": 39, "waived": 5})).verdict is Verdict.INCONCLUSIVE


def test_a_part_of_the_rules_is_no_verdict() -> None:
    judgement = judge(["a"], results(**{"pass": 100}), left_out=3)

    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.reasons == ("3 rules not selected, and a part is no verdict",)


def test_what_the_baseline_has_as_broken_is_no_failure_but_no_pass_either() -> None:
    known = {("a", "START-001")}
    measured = results(**{"pass": 40, "fail": 1})

    judgement = judge(["a"], measured, known=known)

    assert judgement.verdict is Verdict.NO_WORSE
    assert judgement.reasons == ("1 rule broken as in the baseline",)
    assert judge(["a"], [*measured, *results(error=1)], known=known).verdict is (
        Verdict.COULD_NOT_RUN
    )
    assert judge(["a"], measured, known=known, minimum=41).verdict is Verdict.INCONCLUSIVE


def test_what_was_agreed_and_does_not_hold_fails() -> None:
    judgement = judge(["a"], results(**{"pass": 40}), failures=["a waiver has expired"])

    assert judgement.verdict is Verdict.FAILED
    assert judgement.reasons == ("a waiver has expired",)


def test_every_backend_needs_the_minimum() -> None:
    measured = [*results("a", **{"pass": 100}), *results("b", **{"pass": 39})]

    judgement = judge(["a", "b"], measured)

    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.reasons == ("b: 39 scenarios executed, 40 are needed",)


def test_without_backends_nothing_could_run() -> None:
    assert judge([], []).verdict is Verdict.COULD_NOT_RUN


def test_a_problem_outside_of_scenarios_could_not_run() -> None:
    judgement = judge(["a"], results(**{"pass": 100}), problems=["a: was not closed"])

    assert judgement.verdict is Verdict.COULD_NOT_RUN
    assert judgement.reasons == ("a: was not closed",)


def test_a_broken_rule_wins_over_a_problem() -> None:
    judgement = judge(["a"], results(fail=1), problems=["a: was not closed"])

    assert judgement.verdict is Verdict.FAILED


def test_an_interrupted_run_is_never_a_verdict() -> None:
    for measured in (results(**{"pass": 100}), results(fail=1), []):
        assert judge(["a"], measured, interrupted=True).verdict is Verdict.INTERRUPTED


def test_the_exit_codes_are_the_documented_ones() -> None:
    assert {verdict.value: verdict.exit_code for verdict in Verdict} == {
        "passed": 0,
        "no_worse": 0,
        "failed": 1,
        "inconclusive": 2,
        "could_not_run": 3,
        "interrupted": 130,
    }


def test_a_result_travels_as_plain_data() -> None:
    result = ScenarioResult(
        "STOP-001", "STOP-001", "a", Status.FAIL, 0.5, "message", ("one", "two"), "story"
    )

    assert ScenarioResult.from_dict(result.to_dict()) == result
