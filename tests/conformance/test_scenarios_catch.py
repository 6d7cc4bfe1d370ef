"""The scenarios pass on a backend that keeps the contract, and fail on one that breaks it."""

from __future__ import annotations

import pytest
from mutants.registry import KILLED_BY
from reference.backend import BareReference, ReferenceBackend, ResettingBackend
from reference.breakages import CAUGHT_BY
from reference.world import ReferenceHarness

from conformance.harness import Options
from conformance.harnesses.bare import BareHarness
from conformance.registry.backends import Subject
from conformance.report.results import Report, ScenarioResult, Status, Verdict
from conformance.run.runner import CheckRequest, check_subjects
from conformance.spec.rules import RULES


def run(backend: type[ReferenceBackend], *select: str) -> Report:
    subject = Subject("reference", ReferenceHarness(backend))
    return check_subjects([subject], CheckRequest(select=select))


def told(results: list[ScenarioResult]) -> str:
    return "\n".join(f"{r.id} {r.status.value}: {r.message}" for r in results)


@pytest.mark.parametrize("backend", [ReferenceBackend, ResettingBackend])
def test_nothing_fails_on_a_backend_that_keeps_the_contract(
    backend: type[ReferenceBackend],
) -> None:
    report = run(backend)

    bad = [r for r in report.results if r.status in (Status.FAIL, Status.ERROR)]
    assert not bad, told(bad)
    assert report.verdict is Verdict.PASSED


def test_every_scenario_applies_to_a_backend_that_offers_everything() -> None:
    skipped = [
        {r.rule for r in run(backend).results if r.status is Status.NOT_APPLICABLE}
        for backend in (ReferenceBackend, ResettingBackend)
    ]

    assert skipped == [{"EXTEND-003"}, {"EXTEND-002"}], "additive and reset exclude one another"


@pytest.mark.parametrize("breakage", CAUGHT_BY, ids=lambda each: each.__name__)
def test_a_broken_backend_fails_the_right_scenarios(breakage: type[ReferenceBackend]) -> None:
    report = run(breakage, *CAUGHT_BY[breakage])

    statuses = {result.rule: result.status for result in report.results}
    assert statuses == dict.fromkeys(CAUGHT_BY[breakage], Status.FAIL), told(list(report.results))
    assert report.verdict is Verdict.FAILED


CAUGHT_GROUPS = (
    *("CONC", "FAULT", "ISOLATION", "RESTART", "STATE", "TIME"),
    *("LIMIT", "POOL", "PORT", "COMPANION", "NODE", "CRASH", "HTTP", "SWAP"),
)


@pytest.mark.parametrize("group", CAUGHT_GROUPS)
def test_every_scenario_of_these_groups_catches_something(group: str) -> None:
    caught = {rule for rules in CAUGHT_BY.values() for rule in rules}
    # Of the endpoints and of the front there is one kind, ours, and no backend breaks them.
    caught |= set(KILLED_BY.values())

    assert {rule.id for rule in RULES if rule.group == group} <= caught


def test_a_bare_backend_is_measured_by_what_needs_no_hook() -> None:
    def make() -> BareReference:
        return BareReference(Options())

    report = check_subjects([Subject("bare", BareHarness(make, make()))], CheckRequest())

    assert report.verdict is Verdict.PASSED, told(list(report.results))
    skipped = [r.message for r in report.results if r.status is Status.NOT_APPLICABLE]
    assert any("the harness offers no clock" in reason for reason in skipped)
