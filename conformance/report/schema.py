"""The JSON Schema of ``report.json``, for who reads reports with a program."""

from __future__ import annotations

from typing import Any

from conformance.report.report_file import ReportFile
from engines.typed_input import schema_of


def report_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of this version's reports."""
    schema = schema_of(ReportFile, "report")
    schema["$defs"]["ScenarioResult"]["allOf"] = [
        {
            "if": {"properties": {"status": {"const": status}}},
            "then": {"properties": {why: {"minLength": 1}}},
            "else": {"properties": {why: {"const": ""}}},
        }
        for status, why in (("waived", "waiver"), ("known_deviation", "deviation"))
    ]
    return schema
