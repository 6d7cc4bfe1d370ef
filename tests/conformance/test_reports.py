"""The files a run leaves: complete, valid, written whole, and without secrets."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from reference.breakages import FlagInTheMessage, ForgetfulStop
from reference.machine import Container, Machine
from reference.world import ReferenceHarness

from conformance.matrix import spans
from conformance.redact import Secrets
from conformance.registry import Subject
from conformance.reports import to_junit, to_markdown, write_reports
from conformance.results import BackendInfo, Report, ScenarioResult, Status, Verdict
from conformance.rules import RULES, Profile
from conformance.runner import CheckRequest, check_subjects

FILES = {"report.json", "matrix.md", "junit.xml"}


@pytest.fixture(scope="module")
def broken() -> Report:
    subject = Subject("broken", ReferenceHarness(ForgetfulStop))
    return check_subjects([subject], CheckRequest())


def made_report(*results: ScenarioResult) -> Report:
    return Report(
        tool_version="0",
        started_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
        duration_s=1.0,
        profile=Profile.FULL,
        environment={},
        backends=(BackendInfo("x", "kind", simulated=False),),
        results=results,
        verdict=Verdict.FAILED,
    )


def test_the_three_files_are_written(broken: Report, tmp_path: Path) -> None:
    write_reports(broken, tmp_path / "new" / "folder")

    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == FILES


def test_report_json_has_exactly_the_documented_keys(broken: Report, tmp_path: Path) -> None:
    write_reports(broken, tmp_path)
    report: dict[str, Any] = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))

    assert set(report) == {
        "spec_version",
        "tool_version",
        "started_at",
        "duration_s",
        "profile",
        "environment",
        "backends",
        "rules",
        "results",
        "ledgers",
        "notes",
        "reasons",
        "verdict",
        "exit_code",
    }
    assert set(report["backends"]["broken"]) == {"kind", "simulated", "capabilities", "versions"}
    assert report["backends"]["broken"]["simulated"] is True
    assert report["backends"]["broken"]["capabilities"]["addressing"] == ["host_port", "subdomain"]
    assert [rule["id"] for rule in report["rules"]] == [rule.id for rule in RULES]
    assert set(report["rules"][0]) == {"id", "title", "level", "since"}
    assert [r["scenario"] for r in report["results"]] == [rule.id for rule in RULES]
    for result in report["results"]:
        assert set(result) == {
            "rule",
            "scenario",
            "backend",
            "status",
            "duration_s",
            "message",
            "trace",
            "story",
            "waiver",
        }
        assert result["status"] in {"pass", "fail", "error", "not_applicable"}
    assert (report["verdict"], report["exit_code"]) == ("failed", 1)
    assert datetime.fromisoformat(report["started_at"]).utcoffset() is not None


def test_every_result_that_asked_has_a_trace(broken: Report) -> None:
    for result in broken.results:
        tried = result.rule == "EXTEND-003"  # what is not declared, and must not work
        applies = result.status is not Status.NOT_APPLICABLE
        assert bool(result.trace) == (applies or tried), result.id


def test_junit_is_valid_and_counts_what_did_not_apply_as_skipped(broken: Report) -> None:
    root = ET.fromstring(to_junit(broken))  # noqa: S314 - our own file

    suite = root.find("testsuite")
    assert suite is not None
    cases = suite.findall("testcase")
    counted = {
        "tests": len(cases),
        "failures": len(suite.findall("testcase/failure")),
        "errors": len(suite.findall("testcase/error")),
        "skipped": len(suite.findall("testcase/skipped")),
    }
    assert {name: int(suite.attrib[name]) for name in counted} == counted
    assert {name: int(root.attrib[name]) for name in counted} == counted
    assert counted["tests"] == len(RULES)
    assert counted["failures"] > 0
    skipped = [each.attrib["message"] for each in suite.findall("testcase/skipped")]
    assert len(skipped) == counted["skipped"] >= 1
    assert "the backend declares no resetting extend" in skipped


def test_junit_survives_what_xml_cannot_hold() -> None:
    nasty = "\x00\x1b[31m<&>\ud800 ]]> é"
    result = ScenarioResult("START-001", "START-001", "x", Status.FAIL, 0.0, nasty, (nasty,), nasty)

    root = ET.fromstring(to_junit(made_report(result)))  # noqa: S314 - our own file

    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    assert "<&>" in (failure.text or "")


def test_the_matrix_shows_simulated_failed_and_not_applicable(broken: Report) -> None:
    text = to_markdown(broken)

    assert "| group | broken (simulated) |" in text
    assert "### STOP-002\\[broken\\]: fail" in text
    assert "EXTEND-003: the backend declares no resetting extend" in text


def test_a_file_appears_whole_or_not_at_all(
    broken: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.json").write_text("the one before", encoding="utf-8")

    def fails(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="disk full"):
        write_reports(broken, tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    assert (tmp_path / "report.json").read_text(encoding="utf-8") == "the one before"


def test_flags_never_reach_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[str] = []
    run = Machine.run

    def remembering(machine: Machine, ports: list[str], *, companion: bool = False) -> Container:
        made = run(machine, ports, companion=companion)
        met.append(made.flag)
        return made

    monkeypatch.setattr(Machine, "run", remembering)
    report = check_subjects([Subject("leaky", ReferenceHarness(FlagInTheMessage))], CheckRequest())
    write_reports(report, tmp_path)

    assert report.verdict is Verdict.FAILED, "FLAG-007 must notice"
    everything = "".join(path.read_text(encoding="utf-8") for path in tmp_path.iterdir())
    assert met
    assert not [flag for flag in met if flag in everything]
    assert "made-up-token" not in everything, "the exchanges carry a token"
    assert "wire: Authorization" in everything


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Token s3cr3t-value-x",
        "authorization: Bearer s3cr3t-value-x; more",
        "{'Authorization': 'Token s3cr3t-value-x', 'Accept': 'json'}",
        '{"token": "s3cr3t-value-x"}',
        "Set-Cookie: session=s3cr3t-value-x; HttpOnly",
        "Cookie: a=b; session=s3cr3t-value-x",
        "GET /login?nonce=s3cr3t-value-x&next=/",
        "CSRF-Token: s3cr3t-value-x",
        "'csrfNonce': \"s3cr3t-value-x\"",
        "mysql://ctfd:s3cr3t-value-x@db/ctfd",
        "password=s3cr3t-value-x",
        "FLAG=flag{s3cr3t-value-x}",
        "CTF{s3cr3t-value-x}",
    ],
)
def test_secrets_nobody_told_us_of_are_redacted_by_their_form(text: str) -> None:
    assert "s3cr3t-value-x" not in Secrets().clean(text)


def test_what_is_no_secret_stays() -> None:
    for text in (
        "start_instance(1, 7, None) -> (True, 'Container started', {'ports': ['20001']})",
        "(False, 'Your access token is invalid') code=unauthenticated",
        "GET /api/v1/plugins/ctfd-whale/container?challenge_id=5 -> 200",
    ):
        assert Secrets().clean(text) == text


@pytest.mark.parametrize(
    ("scenarios", "shown"),
    [
        (["A-001"], "A-001"),
        (["A-001", "A-002"], "A-001, A-002"),
        (["A-001", "A-002", "A-003", "A-005"], "A-001 to A-003, A-005"),
        (["A-009", "A-010", "A-011", "B-012"], "A-009 to A-011, B-012"),
        (["A-002", "A-001"], "A-002, A-001"),
    ],
)
def test_ids_that_follow_one_another_are_one_span(scenarios: list[str], shown: str) -> None:
    assert spans(scenarios) == shown
