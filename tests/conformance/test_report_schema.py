"""report.json keeps its published schema, and the schema notices when it does not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from reference.breakages import ForgetfulStop
from reference.world import ReferenceHarness
from support.made_report import made_report

from conformance.registry.backends import Subject
from conformance.report.results import Status, Verdict
from conformance.report.schema import report_schema
from conformance.report.writers import to_json, write_reports
from conformance.run.runner import CheckRequest, check_subjects
from conformance.spec.rules import SPEC_VERSION
from engines import __version__

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run with failures has written."""
    folder = tmp_path_factory.mktemp("report")
    request = CheckRequest(select=("STOP-*", "EXTEND-*"))
    write_reports(check_subjects([Subject("x", ReferenceHarness(ForgetfulStop))], request), folder)
    loaded: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return loaded


def validate(report: object) -> None:
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(report_schema(), format_checker=checker).validate(report)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(report_schema())


def test_a_report_keeps_it(measured: dict[str, Any]) -> None:
    validate(measured)
    assert {row["status"] for row in measured["results"]} == {"pass", "fail", "not_applicable"}
    assert (measured["spec_version"], measured["tool_version"]) == (SPEC_VERSION, __version__)


def test_one_with_waivers_and_one_without_anything_keep_it() -> None:
    validate(json.loads(to_json(made_report(2, waived=2, hostile=True))))
    validate(json.loads(to_json(check_subjects([], CheckRequest()))))


def test_every_status_and_verdict_is_in_it() -> None:
    schema = report_schema()

    parts = schema["$defs"]
    assert set(parts["Status"]["enum"]) == {each.value for each in Status}
    assert set(parts["Verdict"]["enum"]) == {each.value for each in Verdict}
    codes = {each.exit_code for each in Verdict}
    assert set(schema["properties"]["exit_code"]["enum"]) == codes


@pytest.mark.parametrize(
    "change",
    [
        lambda report: report.pop("ledgers"),
        lambda report: report.update(more=1),
        lambda report: report.update(verdict="fine"),
        lambda report: report.update(started_at="yesterday"),
        lambda report: report["backends"]["x"].pop("simulated"),
        lambda report: report["results"][0].pop("waiver"),
        lambda report: report["results"][0].update(more=1),
        lambda report: report["results"][0].update(status="skipped"),
        lambda report: report["results"][0].update(status="waived"),
        lambda report: report["results"][0].update(waiver="a pass needs none"),
        lambda report: report["rules"][0].update(id="start-1"),
        lambda report: report["ledgers"][0].update(left=3),
        lambda report: report["ledgers"][0].pop("untold"),
    ],
)
def test_what_is_missing_or_too_much_is_noticed(change: Change, measured: dict[str, Any]) -> None:
    broken = copy.deepcopy(measured)
    change(broken)

    with pytest.raises(jsonschema.ValidationError):
        validate(broken)


def test_every_field_is_explained() -> None:
    text = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
    schema = report_schema()
    parts = [schema, *(part for part in schema["$defs"].values() if "properties" in part)]

    missing = [name for part in parts for name in part["properties"] if f"`{name}`" not in text]

    assert not missing
