"""What a harness declares its backend to break: named, counted apart, and as strict as a waiver."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from reference.backend import ReferenceBackend
from reference.breakages import ForgetfulStop, NamelessLimit
from reference.faulty import LeakyWorlds
from reference.world import ReferenceHarness

from conformance.harness import Hook, KnownDeviation
from conformance.registry.backends import Subject
from conformance.report.annotations import annotations_of
from conformance.report.html import to_html
from conformance.report.report_file import from_dict
from conformance.report.results import Report, Status, Verdict
from conformance.report.schema import report_schema
from conformance.report.waivers import NO_WAIVERS, Waivers, load_waivers
from conformance.report.writers import to_badge, to_junit, to_markdown
from conformance.run.runner import CheckRequest, check_subjects

ROOT = Path(__file__).parents[2]
TODAY = date(2030, 6, 15)
DECLARED = KnownDeviation(
    rule="STOP-002",
    reason="The machine keeps what was stopped.",
    source="https://example.org/issues/1",
    expires=TODAY,
)
SAID = "until 2030-06-15: The machine keeps what was stopped. (https://example.org/issues/1)"
WAIVER = """
[[waivers]]
rule = "STOP-002"
backend = "x"
versions = { whale-ready = ">=0" }
reason = "agreed"
owner = "ops"
link = "https://example.org/agreed"
expires = 2031-01-01
"""


class Declaring(ReferenceHarness):
    def __init__(
        self, backend: type[ReferenceBackend] = ForgetfulStop, *declared: KnownDeviation
    ) -> None:
        super().__init__(backend)
        self.known_deviations = declared or (DECLARED,)


def checked(
    harness: ReferenceHarness, *select: str, waivers: Waivers = NO_WAIVERS, today: date = TODAY
) -> Report:
    request = CheckRequest(select=select or ("STOP-002",), waivers=replace(waivers, today=today))
    return check_subjects([Subject("x", harness)], request)


def status(report: Report, rule: str = "STOP-002") -> Status:
    return next(result.status for result in report.results if result.rule == rule)


# What it is worth.


def test_a_known_deviation_is_neither_pass_nor_fail() -> None:
    report = checked(Declaring(), "STOP-002", "START-001")

    (known,) = (result for result in report.results if result.status is Status.KNOWN_DEVIATION)
    assert (known.rule, known.deviation, known.waiver) == ("STOP-002", SAID, "")
    assert "still runs" in known.message
    assert known.trace
    assert report.verdict is Verdict.INCONCLUSIVE, "a part, as ever"
    assert not any("known deviation" in reason for reason in report.reasons)


def test_it_excuses_that_rule_alone() -> None:
    report = checked(Declaring(), "STOP-002", "EXPIRY-007")

    assert status(report) is Status.KNOWN_DEVIATION
    assert status(report, "EXPIRY-007") is Status.FAIL
    assert report.verdict is Verdict.FAILED


def test_it_does_not_excuse_a_harness_that_goes_wrong_beside_it() -> None:
    harness = LeakyWorlds(ForgetfulStop)
    harness.known_deviations = (DECLARED,)

    (result,) = checked(harness).results
    assert result.status is Status.ERROR
    assert "beside a failure that is known: " in result.message


def test_one_that_is_not_needed_fails_the_run() -> None:
    report = checked(Declaring(ReferenceBackend))

    assert (status(report), report.verdict) == (Status.PASS, Verdict.FAILED)
    assert report.reasons[0] == (
        "x: the known deviation STOP-002 of its harness is not needed: the rule is kept; take it "
        "out of the harness"
    )


def test_one_that_is_over_fails_the_run() -> None:
    report = checked(Declaring(), today=TODAY + timedelta(days=1))

    assert (status(report), report.verdict) == (Status.FAIL, Verdict.FAILED)
    assert report.reasons[0].startswith(
        "x: the known deviation STOP-002 of its harness expired on 2030-06-15; "
    )


@pytest.mark.parametrize("today", [TODAY, TODAY + timedelta(days=1)])
def test_one_that_was_not_run_or_did_not_apply_is_let_be(today: date) -> None:
    without = Declaring(ReferenceBackend)
    without.hooks = without.hooks - {Hook.GROUND_TRUTH}

    for report in (
        checked(Declaring(), "START-001", today=today),
        checked(without, "STOP-002", today=today),
    ):
        assert report.verdict is Verdict.INCONCLUSIVE
        assert not any("deviation" in reason for reason in report.reasons)


@pytest.mark.parametrize(
    ("versions", "wanted"),
    [
        ({"python": "<3"}, Status.KNOWN_DEVIATION),
        ({"whale-ready": ">=0", "python": ">=2"}, Status.KNOWN_DEVIATION),
        ({"python": ">=3"}, Status.FAIL),
        ({"docker": ">=1"}, Status.FAIL),
    ],
)
def test_it_applies_in_its_versions_only(versions: dict[str, str], wanted: Status) -> None:
    class Versioned(Declaring):
        def versions(self) -> dict[str, str]:
            return {"python": "2.7"}

    report = checked(Versioned(ForgetfulStop, replace(DECLARED, versions=versions)))
    assert status(report) is wanted
    kept = checked(Versioned(ReferenceBackend, replace(DECLARED, versions=versions)))
    assert (kept.verdict is Verdict.FAILED) is (wanted is Status.KNOWN_DEVIATION)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rule": "STOP-999"}, "rule: STOP-999 is no rule"),
        ({"reason": " "}, "reason: must be a text that is not empty"),
        ({"source": "ticket 5"}, "source: must be the address where"),
        ({"expires": "2030-01-01"}, "expires: must be a day"),
        ({"versions": {"docker": "new"}}, "versions: 'new' is no range"),
    ],
)
def test_a_wrong_declaration_is_no_run(changes: dict[str, Any], said: str) -> None:
    report = checked(Declaring(ForgetfulStop, replace(DECLARED, **changes)))

    assert report.verdict is Verdict.COULD_NOT_RUN
    (reason,) = report.reasons
    assert "its known deviation 'STOP-" in reason
    assert said in reason


def test_two_for_one_rule_are_no_run() -> None:
    report = checked(Declaring(ForgetfulStop, DECLARED, DECLARED))

    assert report.reasons == (
        "x: its known deviation 'STOP-002': is declared twice; make them one",
    )


def test_a_waiver_beside_it_is_not_needed_until_it_is_over(tmp_path: Path) -> None:
    file = tmp_path / "waivers.toml"
    file.write_text(WAIVER, encoding="utf-8")
    waivers = load_waivers(file, TODAY)

    beside = checked(Declaring(), waivers=waivers)
    assert (status(beside), beside.verdict) == (Status.KNOWN_DEVIATION, Verdict.FAILED)
    assert "is not needed: its harness declares this as known" in beside.reasons[0]

    after = checked(Declaring(), waivers=waivers, today=TODAY + timedelta(days=1))
    assert (status(after), after.verdict) == (Status.WAIVED, Verdict.INCONCLUSIVE)


# Where it is shown.


@pytest.fixture(scope="module")
def whole() -> Report:
    """A run that passes except for what is declared."""
    declared = replace(DECLARED, rule="START-007")
    request = CheckRequest(waivers=Waivers(today=TODAY))
    return check_subjects([Subject("x", Declaring(NamelessLimit, declared))], request)


def test_every_file_names_it_apart(whole: Report) -> None:
    assert whole.verdict is Verdict.PASSED, whole.reasons
    text = to_markdown(whole)
    assert "**PASSED: every executed scenario passed, except for 1 known deviation" in text
    assert "### START-007\\[x\\]: known deviation" in text
    assert f"Known: {SAID}" in text
    assert re.search(r"\| START \| \d+ pass, 1 known deviation", text)

    page = to_html(whole)
    assert '<h2 id="known">Known deviations</h2>' in page
    assert f"<dt>Known</dt><dd>{SAID}</dd>" in page
    assert "≠ KNOWN DEVIATION" in page

    assert "passed · full · simulated · 1 known deviation" in to_badge(whole)

    root = ET.fromstring(to_junit(whole))  # noqa: S314 - our own file
    (case,) = (each for each in root.iter("testcase") if each.find("system-out") is not None)
    skipped = case.find("skipped")
    assert skipped is not None
    assert skipped.attrib["message"] == f"known deviation: {SAID}"
    assert root.attrib["failures"] == "0"

    (line,) = [each for each in annotations_of(whole) if "START-007" in each]
    assert line.startswith("::warning title=KNOWN DEVIATION START-007 on x::")
    assert line.endswith(f"%0Aknown {SAID}")


def test_report_json_has_it_with_its_source(whole: Report) -> None:
    data = json.loads(json.dumps(whole.to_dict()))

    assert data["backends"]["x"]["known_deviations"] == [
        {
            "rule": "START-007",
            "reason": DECLARED.reason,
            "source": DECLARED.source,
            "expires": "2030-06-15",
            "versions": {},
        }
    ]
    (known,) = (result for result in data["results"] if result["status"] == "known_deviation")
    assert (known["rule"], known["deviation"], known["waiver"]) == ("START-007", SAID, "")
    assert from_dict(data) == whole
    assert "known_deviation" in report_schema()["$defs"]["Status"]["enum"]
