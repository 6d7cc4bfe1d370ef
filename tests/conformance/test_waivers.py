"""Waivers excuse a failure that is known, and nothing else; a file that is wrong is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference.breakages import ForgetfulStop
from reference.faulty import LeakyWorlds
from reference.world import ReferenceHarness

from conformance.registry.backends import Subject
from conformance.report.results import BackendInfo, Report, ScenarioResult, Status, Verdict
from conformance.report.waivers import Waivers, WaiversError, load_waivers
from conformance.report.writers import to_junit, to_markdown
from conformance.run.runner import CheckRequest, check_subjects

TODAY = date(2030, 6, 15)
FIELDS = {
    "rule": '"STOP-002"',
    "backend": '"x"',
    "versions": '{ docker = ">=24,<27" }',
    "reason": '"upstream bug"',
    "owner": '"ops"',
    "link": '"https://example.org/issues/1"',
    "expires": "2030-06-15",
}
INFO = BackendInfo("x", "kind", simulated=False, versions={"docker": "26.1.5", "db": "SQLite 3"})
RULES = {"STOP-002", "STOP-001"}


def entry(**changes: str | None) -> str:
    fields = {**FIELDS, **changes}
    lines = [f"{name} = {value}" for name, value in fields.items() if value is not None]
    return "\n".join(["[[waivers]]", *lines]) + "\n"


def waivers(tmp_path: Path, *entries: str, today: date = TODAY) -> Waivers:
    file = tmp_path / "waivers.toml"
    file.write_text("\n".join(entries), encoding="utf-8")
    return load_waivers(file, today)


def result(status: Status, backend: str = "x", rule: str = "STOP-002") -> ScenarioResult:
    return ScenarioResult(rule, rule, backend, status, 0.1, "got", ("trace",), "story")


# The file.


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (entry(rule='"STOP-999"'), "entry 1: rule: STOP-999 is no rule"),
        (entry(rule='"STOP-*"'), "entry 1: rule: STOP-* is no rule"),
        (entry(rule="2"), "entry 1: rule: must be a text"),
        (entry() + entry(backend='" "'), "entry 2: backend: must be a text that is not empty"),
        (entry(owner=None), "entry 1: owner: is missing"),
        (entry(until='"x"'), "entry 1: until: is no field; the fields are rule"),
        (entry(link='"ticket 5"'), "entry 1: link: must be the address where"),
        (entry(expires='"2030-06-15"'), "entry 1: expires: must be a day without quotes"),
        (entry(expires="2030-06-15T10:00:00Z"), "entry 1: expires: must be a day"),
        (entry() + entry(expires="2030-13-01"), "entry 2: expires: "),
        (entry(versions='">=24"'), "entry 1: versions: must be a version and its range"),
        (entry(versions="{}"), "entry 1: versions: must be a version and its range"),
        (entry(versions='{ docker = "24 or so" }'), "versions: '24 or so' is no range"),
        (entry(versions='{ docker = "" }'), "versions: must be a version and its range"),
        (entry() + entry(), "entry 2: rule: STOP-002 on x is entry 1 already"),
        ("waivers = 5", "waivers must be tables; write [[waivers]]"),
        ("[[waiver]]\n", "waiver means nothing here; write [[waivers]]"),
    ],
)
def test_a_wrong_file_names_entry_field_and_fix(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(WaiversError) as raised:
        waivers(tmp_path, content)

    assert str(raised.value).startswith("waivers.toml: ")
    assert said in str(raised.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WaiversError, match=r"nope\.toml: No such file or directory; name a file"):
        load_waivers(tmp_path / "nope.toml", TODAY)


# What they do.


def test_a_waived_failure_keeps_its_evidence(tmp_path: Path) -> None:
    waived = waivers(tmp_path, entry()).applied(result(Status.FAIL), [INFO])

    assert waived.status is Status.WAIVED
    assert (waived.message, waived.trace, waived.story) == ("got", ("trace",), "story")
    assert waived.waiver == ("until 2030-06-15 by ops: upstream bug (https://example.org/issues/1)")


@pytest.mark.parametrize("status", [each for each in Status if each is not Status.FAIL])
def test_nothing_but_a_failure_is_waived(tmp_path: Path, status: Status) -> None:
    measured = result(status)

    assert waivers(tmp_path, entry()).applied(measured, [INFO]) == measured


def test_a_harness_error_beside_a_waived_failure_is_left(tmp_path: Path) -> None:
    left = waivers(tmp_path, entry()).applied(result(Status.FAIL), [INFO], "was not closed")

    assert left.status is Status.ERROR
    assert left.message.startswith("was not closed\nbeside a failure that is waived: got")


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"expires": "2030-06-14"}, Status.FAIL, "expired on 2030-06-14"),
        ({"expires": "2030-06-14"}, Status.PASS, "expired on 2030-06-14"),
        ({}, Status.PASS, "is not needed: the rule is kept"),
        ({}, Status.NOT_APPLICABLE, "is not needed: the rule did not apply"),
        ({"backend": '"y"'}, Status.FAIL, "is for a backend that was not checked"),
        ({"versions": '{ docker = "<26" }'}, Status.FAIL, "docker is 26.1.5, which is not <26"),
        ({"versions": '{ dock = "<27" }'}, Status.FAIL, "it may name docker, db, whale-ready"),
        ({"versions": '{ db = ">=3" }'}, Status.FAIL, "db is SQLite 3, which is not >=3"),
        ({"versions": '{ whale-ready = "<0.0.1" }'}, Status.FAIL, "whale-ready is "),
        ({"versions": '{ docker = ">=24", db = ">=3" }'}, Status.FAIL, "db is SQLite 3"),
    ],
)
def test_a_waiver_that_excuses_nothing_is_told(
    tmp_path: Path, changes: dict[str, str], status: Status, said: str
) -> None:
    loaded = waivers(tmp_path, entry(**changes))
    measured = loaded.applied(result(status), [INFO])

    assert measured.status is status, "it excuses nothing"
    (problem,) = loaded.problems([measured], [INFO], RULES)
    assert problem.startswith("waivers.toml: entry 1 (STOP-002 on ")
    assert said in problem


@pytest.mark.parametrize("changes", [{}, {"backend": '"y"'}, {"versions": '{ docker = "<9" }'}])
def test_a_waiver_of_a_rule_that_was_not_selected_waits(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    loaded = waivers(tmp_path, entry(**changes))

    assert list(loaded.problems([], [INFO], {"STOP-001"})) == []


def test_but_not_beyond_its_day(tmp_path: Path) -> None:
    loaded = waivers(tmp_path, entry(expires="2030-06-14"))

    assert list(loaded.problems([], [INFO], {"STOP-001"}))


@given(
    status=st.sampled_from(Status),
    rule=st.sampled_from(["STOP-001", "STOP-002"]),
    backend=st.sampled_from(["x", "y"]),
    beside=st.sampled_from(["", "error"]),
)
def test_a_waiver_never_makes_a_pass(
    tmp_path_factory: pytest.TempPathFactory, status: Status, rule: str, backend: str, beside: str
) -> None:
    loaded = waivers(tmp_path_factory.mktemp("w"), entry())
    before = result(status, backend, rule)

    after = loaded.applied(before, [INFO, BackendInfo("y", "kind", simulated=False)], beside)

    excused = (status, rule, backend) == (Status.FAIL, "STOP-002", "x")
    assert after.status is (status if not excused else Status.ERROR if beside else Status.WAIVED)


# A whole run.

TOOL = '{ whale-ready = ">=0" }'


def run(tmp_path: Path, harness: ReferenceHarness, *select: str, rule: str) -> Report:
    loaded = waivers(tmp_path, entry(rule=f'"{rule}"', versions=TOOL))
    request = CheckRequest(select=select, waivers=loaded, stop_at_first=True)
    return check_subjects([Subject("x", harness)], request)


def test_a_waived_failure_neither_fails_nor_stops_a_run_and_is_shown(tmp_path: Path) -> None:
    report = run(tmp_path, ReferenceHarness(ForgetfulStop), "STOP-00[23]", rule="STOP-002")

    waived, passed = report.results
    assert (waived.status, passed.status) == (Status.WAIVED, Status.PASS)
    assert report.verdict is Verdict.INCONCLUSIVE, "one of 40 passed"
    assert "x: 1 scenario executed, 40 are needed" in report.reasons
    for shown in (to_markdown(report), to_junit(report)):
        assert "until 2030-06-15 by ops" in shown
        assert "the container still runs after the stop" in shown
    assert "1 pass, 1 waived" in to_markdown(report)


def test_an_error_of_the_harness_is_not_waived(tmp_path: Path) -> None:
    harness = LeakyWorlds()
    harness.backend = ForgetfulStop

    report = run(tmp_path, harness, "STOP-002", rule="STOP-002")

    assert [each.status for each in report.results] == [Status.ERROR]
    assert report.verdict is Verdict.COULD_NOT_RUN


def test_a_run_stops_at_the_first_that_is_not_waived(tmp_path: Path) -> None:
    report = run(tmp_path, ReferenceHarness(ForgetfulStop), "STOP-00*", rule="FLAG-007")

    assert [each.status for each in report.results][-1] is Status.FAIL
    assert [each.status for each in report.results].count(Status.FAIL) == 1
    assert len(report.results) < 9


# Several backends.


def test_a_pattern_is_for_all_that_it_names_and_each_must_need_it(tmp_path: Path) -> None:
    some = waivers(tmp_path, entry(backend='"x*"'))
    infos = [INFO, replace(INFO, name="x:teams"), replace(INFO, name="y")]
    fails = [result(Status.FAIL, info.name) for info in infos]
    assert [some.applied(failure, infos).status for failure in fails] == [
        *(Status.WAIVED, Status.WAIVED, Status.FAIL)
    ]
    assert list(some.problems(fails, infos, RULES)) == []
    kept = [fails[0], result(Status.PASS, "x:teams")]
    (problem,) = some.problems(kept, infos, RULES)
    assert problem.endswith("is not needed: the rule is kept; take the entry out (x:teams)")
    (problem,) = some.problems(fails[2:], infos[2:], RULES)
    assert "was not checked" in problem
