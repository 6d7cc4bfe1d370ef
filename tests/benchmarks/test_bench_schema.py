"""bench.json keeps its published schema, and the schema notices when it does not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.made_evidence import bench

from benchmarks.bench_file import FORMAT, VERSION, bench_schema
from benchmarks.cells import CALLS
from benchmarks.decisions import QUANTILES, MarginDecision

Change = Callable[[dict[str, Any]], Any]


def validate(data: object) -> None:
    jsonschema.Draft202012Validator(bench_schema()).validate(data)


def test_the_schema_is_one_and_knows_every_word() -> None:
    schema = bench_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    top, parts = schema["properties"], schema["$defs"]
    assert (top["format"]["enum"], top["version"]["enum"]) == ([FORMAT], [VERSION])
    ratio = parts["RatioFigure"]["properties"]
    assert set(ratio["decision"]["enum"]) == {each.value for each in MarginDecision}
    assert set(ratio["figure"]["enum"]) == {*QUANTILES, "errors"}
    for part in ("CellRow", "RatioFigure"):
        assert set(parts[part]["properties"]["call"]["enum"]) == set(CALLS)


def test_what_tests_of_readiness_are_given_keeps_it() -> None:
    validate(bench())


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("notes"),
        lambda data: data.update(more=1),
        lambda data: data.update(version=2),
        lambda data: data.update(verdict="nothing"),
        lambda data: data.update(ended="yesterday"),
        lambda data: data["backends"].pop(),
        lambda data: data["backends"][0].update(role="C"),
        lambda data: data["ratios"][0].update(decision="pass"),
        lambda data: data["ratios"][2].update(decision="nothing"),
        lambda data: data["cells"][0]["quantiles"].pop("p95"),
        lambda data: data["cells"][0]["quantiles"].update(p95={"n_too_small": "few"}),
        lambda data: data["cells"][0].update(call="pause"),
        lambda data: data["plan"].pop("rate"),
    ],
)
def test_what_is_missing_or_too_much_is_noticed(change: Change) -> None:
    broken = copy.deepcopy(bench())
    change(broken)
    with pytest.raises(jsonschema.ValidationError):
        validate(broken)


def test_every_key_is_explained() -> None:
    text = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    missing = [name for name in bench_schema()["properties"] if f"`{name}`" not in text]
    assert missing == []
