"""The migration's rows: every cell is what was measured, and nothing is kept that was not."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import replace

import pytest
from support.made_report import backend, failed, made_report, passed

from conformance import scenarios
from conformance.report.compatibility import (
    ASKED_IF,
    ROWS,
    CompatibilityCell,
    CompatibilityFinding,
    PromiseRow,
    cell,
    compatibility,
)
from conformance.report.results import BackendInfo, ScenarioResult, Status
from conformance.spec import scenario as parts
from conformance.spec.rules import BY_ID
from conformance.spec.scenario import Scenario, scenario_of

BY_KEY = {row.key: row for row in ROWS}
DECLARED_NEEDS = {
    parts.ONE_AT_A_TIME,
    parts.TWO_AT_ONCE,
    parts.ADDITIVE,
    parts.RESET,
    parts.EXTENDS,
    parts.FEW_EXTENSIONS,
    parts.READY_ON_START,
    parts.TEAMS,
    parts.FLAG_GRACE,
    parts.DETECTS_LOSS,
    parts.MULTI_NODE,
    parts.SUBDOMAIN,
}
"""What a scenario needs and a backend declares; what else it needs is for the harness to offer."""


def all_scenarios() -> list[Scenario]:
    modules = [
        importlib.import_module(f"{scenarios.__name__}.{info.name}")
        for info in pkgutil.iter_modules(scenarios.__path__)
    ]
    functions = [member for module in modules for _, member in inspect.getmembers(module)]
    return [each for each in map(scenario_of, functions) if each is not None]


def all_pass(row: PromiseRow, name: str = "x") -> list[ScenarioResult]:
    return [passed(BY_ID[rule], name) for rule in row.rules]


def found(
    key: str, results: list[ScenarioResult], info: BackendInfo | None = None
) -> CompatibilityCell:
    return cell(BY_KEY[key], info or backend("x"), results)


def test_the_rows_are_those_of_the_plan() -> None:
    assert [row.title for row in ROWS] == [
        "Start",
        "Extend",
        "Stop",
        "Auto-cleanup",
        "Audit",
        "Multi-node",
        "Subdomain",
        "Extension limits",
        "Flags",
    ]


def test_every_rule_of_a_row_exists_and_stands_there_once() -> None:
    for row in ROWS:
        assert row.rules, row.key
        assert len(set(row.rules)) == len(row.rules), row.key
        assert set(row.rules) <= set(BY_ID), row.key
    assert set(ASKED_IF) <= {rule for row in ROWS for rule in row.rules}


def test_a_rule_is_conditional_exactly_when_its_scenario_needs_what_a_backend_declares() -> None:
    in_rows = {rule for row in ROWS for rule in row.rules}
    conditional = {
        scenario.id
        for scenario in all_scenarios()
        if scenario.id in in_rows and DECLARED_NEEDS & {*scenario.needs}
    }

    assert set(ASKED_IF) == conditional


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.key)
def test_a_row_is_kept_when_all_that_is_asked_passed(row: PromiseRow) -> None:
    assert cell(row, backend("x"), all_pass(row)).finding is CompatibilityFinding.KEPT


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_a_row_without_results_is_not_measured(row: PromiseRow) -> None:
    assert cell(row, backend("x"), []).finding is CompatibilityFinding.NOT_MEASURED


@pytest.mark.parametrize("status", [Status.NOT_APPLICABLE, Status.ERROR])
def test_what_did_not_apply_or_erred_is_a_gap(status: Status) -> None:
    results = all_pass(BY_KEY["audit"])
    results[3] = replace(results[3], status=status)

    measured = found("audit", results)

    assert measured.finding is CompatibilityFinding.PARTLY
    assert measured.unmeasured == (results[3].rule,)


@pytest.mark.parametrize("status", [Status.FAIL, Status.WAIVED])
def test_one_broken_rule_breaks_the_row_waived_or_not(status: Status) -> None:
    results = all_pass(BY_KEY["flags"])
    results[0] = failed(BY_ID[results[0].rule], "x", "broken", status, "known")

    measured = found("flags", results)

    assert measured.finding is CompatibilityFinding.BROKEN
    assert results[0].rule in (*measured.broken, *measured.waived)


def test_what_is_not_declared_is_not_offered() -> None:
    declared = {**backend().capabilities, "addressing": ["host_port"], "multi_node": False}
    info = replace(backend("x"), capabilities=declared)

    for key in ("subdomain", "multi-node"):
        assert found(key, all_pass(BY_KEY[key]), info).finding is CompatibilityFinding.NOT_OFFERED


def test_multi_node_is_measured_by_where_instances_ran_and_not_on_one_machine() -> None:
    row = BY_KEY["multi-node"]
    assert found("multi-node", all_pass(row)).finding is CompatibilityFinding.KEPT
    one = [replace(each, status=Status.NOT_APPLICABLE) for each in all_pass(row)]
    assert found("multi-node", one).finding is CompatibilityFinding.NOT_MEASURED


def test_there_is_a_cell_for_every_backend() -> None:
    table = compatibility(made_report(3))

    assert [row for row, _ in table] == list(ROWS)
    assert {len(cells) for _, cells in table} == {2}
    assert table[0][1][1].finding is CompatibilityFinding.BROKEN
