"""The JSON Schema of ``report.json``, for who reads reports with a program."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def report_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of this version's reports."""
    text = resources.files("conformance").joinpath("report.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
