"""docs/known-failures.md is true: every bug it names is failed by a rule of its row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mutants.registry import KILLED_BY
from reference.breakages import CAUGHT_BY

from conformance.spec.rules import BY_ID

DOCUMENT = Path(__file__).parents[2] / "docs" / "known-failures.md"
CAUGHT = {each.__name__: set(rules) for each, rules in CAUGHT_BY.items()}
KILLED = {name: {rule} for name, rule in KILLED_BY.items()}

ASKED_FOR = (
    "two containers for one key",
    "orphans",
    "port collisions",
    "extend that shortens",
    "expiry that differs between store and reaper",
    "naive local time",
    "daylight saving time",
    "day wrap",
    '"daemon down" told as "stopped"',
    "success with an error body",
    "lock is lost during a slow pull",
    "stale read after a stop",
)


def rows() -> list[tuple[str, set[str], list[str]]]:
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    cells = [line.strip("|").split("|") for line in lines if line.startswith("|")][2:]
    return [
        (failure.strip(), set(re.findall(r"[A-Z]+-\d{3}", rules)), re.findall(r"`(\w+)`", bugs))
        for failure, rules, bugs in cells
    ]


@pytest.mark.parametrize("failure", ASKED_FOR)
def test_every_known_failure_has_rules_and_a_bug_that_shows_them(failure: str) -> None:
    (row,) = [each for each in rows() if failure in each[0]]
    assert row[1]
    assert row[2]


def test_every_rule_is_one_and_every_bug_is_failed_by_a_rule_of_its_row() -> None:
    for failure, rules, bugs in rows():
        assert rules <= set(BY_ID), failure
        for bug in bugs:
            assert rules & (CAUGHT.get(bug) or KILLED[bug]), f"{failure}: {bug}"
