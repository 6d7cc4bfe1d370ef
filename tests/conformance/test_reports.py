"""The files a run leaves: complete, valid, written whole, and without secrets."""

from __future__ import annotations

import json
import os
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from reference.backend import ReferenceBackend
from reference.breakages import FlagInTheMessage, ForgetfulStop
from reference.machine import Container, Machine
from reference.world import ReferenceHarness, ReferenceWorld
from support.made_report import HOSTILE, made_report

from conformance.harness import Options, World
from conformance.registry.backends import Subject
from conformance.report.html import to_html
from conformance.report.matrix import spans
from conformance.report.results import BackendInfo, Report, ScenarioResult, Status, Verdict
from conformance.report.writers import FILES, to_badge, to_junit, to_markdown, write_reports
from conformance.run.runner import CheckRequest, check_subjects
from conformance.spec.redaction import Secrets
from conformance.spec.rules import RULES, Profile


@pytest.fixture(scope="module")
def broken() -> Report:
    subject = Subject("broken", ReferenceHarness(ForgetfulStop))
    return check_subjects([subject], CheckRequest())


def report_of(*results: ScenarioResult) -> Report:
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


def test_the_five_files_are_written(broken: Report, tmp_path: Path) -> None:
    write_reports(broken, tmp_path / "new" / "folder")

    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == set(FILES)
    assert FILES == ("report.html", "report.json", "matrix.md", "junit.xml", "badge.svg")


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
    assert set(report["backends"]["broken"]) == {
        *("kind", "simulated", "capabilities", "versions", "known_deviations")
    }
    assert report["backends"]["broken"]["simulated"] is True
    assert report["backends"]["broken"]["capabilities"]["addressing"] == ["host_port", "subdomain"]
    assert [rule["id"] for rule in report["rules"]] == [rule.id for rule in RULES]
    assert set(report["rules"][0]) == {"id", "title", "since"}
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
            "deviation",
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

    root = ET.fromstring(to_junit(report_of(result)))  # noqa: S314 - our own file

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


def test_the_matrix_shows_rows_waivers_and_containers() -> None:
    text = to_markdown(made_report(2, waived=1))

    assert "| Audit | ✓ kept | ◐ partly measured: " in text
    assert "| Start | ✓ kept | ✗ broken: " in text
    assert "Waived: known at their tracker, until 2026-03-01; owner ops" in text
    assert "| cre:memory | 210 | 180 | 30 | 2 | none |" in text
    assert "| whale:fake | 190 | cannot tell |" in text


def test_the_matrix_stays_below_what_a_job_summary_may_have() -> None:
    report = made_report(len(RULES), hostile=True)
    results = tuple(
        replace(result, message="all is lost\n" * 10_000) if result.message == HOSTILE else result
        for result in report.results
    )

    text = to_markdown(replace(report, results=results))

    assert len(text.encode()) < 2**20
    assert "the rest is in report.json" in text
    assert "98000 characters more" in to_markdown(made_report(2, hostile=True))
    assert "## Containers" in text, "traces are cut, not what comes after them"
    assert text.count("````") % 2 == 0


def test_a_waived_failure_is_skipped_and_keeps_its_evidence() -> None:
    root = ET.fromstring(to_junit(made_report(1, waived=1)))  # noqa: S314 - our own file

    waived = [case for case in root.iter("testcase") if case.find("system-out") is not None]
    assert len(waived) == 1
    skipped = waived[0].find("skipped")
    assert skipped is not None
    assert skipped.attrib["message"].startswith("waived: known at their tracker")
    assert "the container still runs after the stop" in (waived[0].findtext("system-out") or "")
    assert (root.attrib["failures"], root.attrib["tests"]) == ("1", str(2 * len(RULES)))


@pytest.mark.parametrize("verdict", Verdict)
def test_a_badge_says_its_verdict_and_is_green_for_passed_only(verdict: Verdict) -> None:
    badge = to_badge(replace(made_report(), verdict=verdict))

    root = ET.fromstring(badge)  # noqa: S314 - our own file
    words = f"whale-ready: {verdict.value.replace('_', ' ')} · full · partly simulated"
    assert root.attrib["aria-label"] == words
    assert root.attrib["role"] == "img"
    assert root.findtext("{http://www.w3.org/2000/svg}title") == words
    assert ("#1a7f37" in badge) == (verdict is Verdict.PASSED)


def test_a_badge_tells_of_waivers() -> None:
    assert "passed · full · partly simulated · 2 waived" in to_badge(made_report(waived=2))


def test_what_a_backend_sends_is_text_on_the_page() -> None:
    page = to_html(made_report(2, hostile=True))

    assert page.count("<script>") == 1, "our own"
    assert "<img" not in page
    assert "&lt;script&gt;document.title" in page
    assert "{{ 7 * 7 }}" in page, "never read as a template"
    assert "\u202e" not in page
    assert "\x00" not in page
    assert "92000 more characters are in report.json" in page
    assert page.count("x" * 8_001) == 0


def test_names_that_a_backend_chose_are_text_in_every_file(tmp_path: Path) -> None:
    report = made_report(1)
    nasty = replace(report.backends[1], kind=HOSTILE, versions={HOSTILE: HOSTILE})

    write_reports(replace(report, backends=(report.backends[0], nasty)), tmp_path)

    assert "<img" not in (tmp_path / "report.html").read_text(encoding="utf-8")
    ET.parse(tmp_path / "junit.xml")  # noqa: S314 - our own file
    json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))


def test_the_page_loads_nothing() -> None:
    page = to_html(made_report(3, waived=1))

    assert not re.findall(r"(?:src|href)=\"(?!#)", page)
    assert "url(" not in page
    assert "@import" not in page
    assert 'style="' not in page, "the policy forbids it"
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_every_link_of_the_page_leads_somewhere() -> None:
    page = to_html(made_report(20, waived=3))

    ids = re.findall(r"\bid=\"([^\"]+)\"", page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"href=\"#([^\"]+)\"", page)) <= set(ids)


class Telltale(ReferenceBackend):
    """Gives away whatever it knows, in messages and exceptions."""

    secrets = (
        "Authorization: Token s3cr3t-token-1",
        "Set-Cookie: session=s3cr3t-cookie-2; HttpOnly",
        "nonce=s3cr3t-nonce-3",
        "password=s3cr3t-word-4",
        "mysql://ctfd:s3cr3t-word-5@db/ctfd",
        "flag{s3cr3t-flag-6}",
    )

    def stop_instance(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"<b>it went wrong</b>: {'; '.join(self.secrets)}")

    def extend_instance(self, *args: Any, **kwargs: Any) -> Any:
        done = super().extend_instance(*args, **kwargs)
        flags = [container.flag for container in self.machine.containers.values()]
        told = "\n".join((*self.secrets, *flags))
        return type(done)(done.ok, told, code=done.code)


class TelltaleWorld(ReferenceWorld):
    def exchanges(self) -> list[str]:
        return list(Telltale.secrets)

    def close(self) -> None:
        raise RuntimeError(f"not closed: {Telltale.secrets[3]}")


class TelltaleHarness(ReferenceHarness):
    """Says secrets of itself too, and at its end."""

    kind = f"a server at {Telltale.secrets[4]}"

    def versions(self) -> dict[str, str]:
        return {"server": Telltale.secrets[0]}

    def world(self, options: Options) -> World:
        self.worlds += 1
        world = TelltaleWorld if self.worlds > 1 else ReferenceWorld
        return world(self.backend(options))

    def leftovers(self) -> list[str]:
        return [f"container {Telltale.secrets[5]}"]


def test_no_file_holds_what_a_backend_gives_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[str] = []
    run = Machine.run

    def remembering(machine: Machine, *given: Any, **named: Any) -> Container:
        made = run(machine, *given, **named)
        met.append(made.flag)
        return made

    monkeypatch.setattr(Machine, "run", remembering)
    request = CheckRequest(select=("STOP-*", "EXTEND-*", "FLAG-*"))
    report = check_subjects([Subject("telltale", TelltaleHarness(Telltale))], request)
    excused = replace(
        report.results[0], status=Status.WAIVED, waiver=f"known: {Telltale.secrets[2]}"
    )
    report = replace(report, results=(excused, *report.results[1:]), notes=Telltale.secrets)
    write_reports(report, tmp_path)

    assert {result.status for result in report.results} >= {Status.FAIL, Status.ERROR}
    assert met
    for name in FILES:
        text = (tmp_path / name).read_text(encoding="utf-8")
        given_away = [flag for flag in met if flag in text]
        assert (name, given_away) == (name, [])
        assert "s3cr3t" not in text, name
        if name != "badge.svg":
            assert "it went wrong" in text, f"{name} shows the failure itself"


def test_flags_never_reach_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[str] = []
    run = Machine.run

    def remembering(machine: Machine, *given: Any, **named: Any) -> Container:
        made = run(machine, *given, **named)
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
