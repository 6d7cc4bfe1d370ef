"""The rules of an answer: what is green is GO, and each thing that is not gets its own reason."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from support.made_evidence import (
    CRE,
    CRE_VERSIONS,
    FAKE_VERSIONS,
    NOW,
    WHALE,
    WHALE_VERSIONS,
    bench,
    check,
    decided,
    item,
    preflight,
    results,
    written,
)

from conformance.report.results import BackendInfo, Status
from conformance.report.results import Verdict as Ended
from conformance.spec.rules import RULES as CONTRACT
from whale_ready.readiness.answers import answers, cautions
from whale_ready.readiness.decision import Policy, PolicyError, ReadinessDecision, ReadinessVerdict
from whale_ready.readiness.evidence import Evidence
from whale_ready.readiness.evidence_files import read_bench, read_check, read_preflight
from whale_ready.readiness.result import readiness
from whale_ready.readiness.rules import RULES

FAILED = (Status.FAIL, "a second container ran", "")
FAKE = BackendInfo(
    "whale:fake", "WhaleAPIManager over HTTP to a fake Whale", False, {}, FAKE_VERSIONS
)
MEMORY = replace(CRE, name="cre:memory", simulated=True)
HYBRID = BackendInfo("hybrid", "both", False, {}, {"dialect": "ctfd-whale"})
COVERED: set[str] = set()
_READ: dict[tuple[str, str], Any] = {}
_T = TypeVar("_T", bound=Callable[..., None])
Files = dict[str, dict[str, Any]]


def rule(key: str) -> Callable[[_T], _T]:
    """Mark a test as one of this rule."""
    COVERED.add(key)
    return lambda test: test


def green() -> Files:
    return {"check": check(), "bench": bench(), "preflight": preflight()}


class Asked:
    """Answers about files that are written and read as the command does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def evidence(self, files: Mapping[str, dict[str, Any]]) -> Evidence:
        return Evidence(**{name: self._read(name, content) for name, content in files.items()})

    def _read(self, name: str, content: dict[str, Any]) -> Any:
        """Most tests have most files in common: one of the same content is read once."""
        key = name, json.dumps(content)
        if key not in _READ:
            (_, path) = written(self._folder, **{name: content})
            readers = {"check": read_check, "bench": read_bench, "preflight": read_preflight}
            _READ[key] = readers[name](Path(path))
        return _READ[key]

    def __call__(self, files: Mapping[str, dict[str, Any]], **policy: Any) -> ReadinessDecision:
        return readiness(self.evidence(files), Policy(**policy), NOW).decision


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def keys(decision: ReadinessDecision) -> list[str]:
    return [reason.rule.key for reason in decision.reasons]


def assert_only(decision: ReadinessDecision, key: str, said: str = "", *, times: int = 1) -> None:
    """One rule speaks, says so, and says what would change it; the verdict is its own."""
    assert keys(decision) == [key] * times
    first = decision.reasons[0]
    assert decision.verdict is first.rule.verdict
    assert said in "\n".join((first.found.text, *first.found.details))
    for reason in decision.reasons:
        assert reason.found.change
        assert reason.found.command.startswith("whale-ready ")


def test_all_green_is_go(asked: Asked) -> None:
    decision = asked(green())
    assert decision.reasons == ()
    assert decision.verdict is ReadinessVerdict.GO


# NO-GO


@rule("whale-broken")
@pytest.mark.parametrize("backend", [WHALE, FAKE, HYBRID])
def test_a_rule_that_is_broken_on_whale_or_before_it(asked: Asked, backend: BackendInfo) -> None:
    files = green()
    backends = list({each.name: each for each in (CRE, WHALE, backend)}.values())
    found = [e for b in backends if b is not backend for e in results(b.name)]
    found += results(backend.name, START_001=FAILED)
    files["check"] = check(backends, found, Ended.FAILED, ("1 rule broken",))
    decision = asked(files)
    assert_only(decision, "whale-broken", f"{backend.name} breaks 1 rule")
    assert decision.reasons[0].found.details[0].startswith("START-001 ")
    assert decision.reasons[0].found.details[0].endswith("a second container ran")


@rule("whale-broken")
def test_a_baseline_excuses_nothing(asked: Asked) -> None:
    files = green()
    found = [*results("cre"), *results("whale", START_001=FAILED)]
    files["check"] = check(found=found, verdict=Ended.NO_WORSE, reasons=("as in the baseline",))
    assert_only(asked(files), "whale-broken")


@rule("cre-broken")
def test_a_broken_cre_counts_while_starts_fall_back_to_it(asked: Asked) -> None:
    files = green()
    found = [*results("cre", STOP_002=FAILED), *results("whale")]
    files["check"] = check(found=found, verdict=Ended.FAILED)
    assert_only(asked(files), "cre-broken", "cre breaks 1 rule")
    assert_only(asked(files, fallback=False), "others-failed", "failed on cre")


@rule("check-failed")
def test_a_check_that_failed_without_a_broken_rule(asked: Asked) -> None:
    files = green()
    files["check"] = check(verdict=Ended.FAILED, reasons=("waiver entry 1 has expired",))
    assert_only(asked(files), "check-failed", "waiver entry 1 has expired")


@rule("others-failed")
def test_what_others_break_is_not_ours_and_hides_what_is(asked: Asked) -> None:
    files = green()
    mine = BackendInfo("mine", "another one", False)
    found = [*results("cre"), *results("whale"), *results("mine", START_001=FAILED)]
    files["check"] = check((CRE, WHALE, mine), found, Ended.FAILED, ("1 rule broken",))
    assert_only(asked(files), "others-failed", "The check failed on mine")
    # an earlier report has it as broken: then nothing else went wrong
    files["check"] = check((CRE, WHALE, mine), found, Ended.NO_WORSE, ("as in the baseline",))
    assert asked(files).verdict is ReadinessVerdict.GO


@rule("too-slow")
@pytest.mark.parametrize(("call", "figure"), [("start", "p95"), ("stop", "errors")])
def test_a_margin_that_is_passed(asked: Asked, call: str, figure: str) -> None:
    files = green()
    decided(files["bench"], call, figure, "fail", "all of the interval is above the margin")
    assert_only(asked(files), "too-slow", f"{call} {figure}: 1.6 [1.3, 2], margin")


@rule("too-slow")
def test_a_whale_that_never_answers_is_infinitely_slower(asked: Asked) -> None:
    files = green()
    decided(files["bench"], "ready", "p95", "fail", "all of the interval is above the margin")
    files["bench"]["ratios"][7].update(value=None, low=None, high=None)
    assert_only(asked(files), "too-slow", "ready p95: ∞ [∞, ∞], margin 1.2: all of the")


@rule("not-ok")
def test_an_item_that_is_not_ok(asked: Asked) -> None:
    files = green()
    files["preflight"] = preflight(item(), item("tls", "not_ok", "expired", "renew it"))
    decision = asked(files)
    assert_only(decision, "not-ok", "expired")
    assert decision.reasons[0].found.change == "renew it"


# Not enough evidence


@rule("missing")
@pytest.mark.parametrize("names", [("check",), ("bench",), ("preflight",), tuple(green())])
def test_a_file_that_is_missing(asked: Asked, names: tuple[str, ...]) -> None:
    files = {name: each for name, each in green().items() if name not in names}
    assert_only(asked(files), "missing", f"There is no {names[0]}", times=len(names))


@rule("missing")
def test_bad_news_counts_without_the_other_files(asked: Asked) -> None:
    decision = asked({"preflight": preflight(item("tls", "not_ok", "expired", "renew it"))})
    assert keys(decision) == ["not-ok", "missing", "missing"]
    assert decision.verdict is ReadinessVerdict.NO_GO


@rule("wrong-subject")
@pytest.mark.parametrize(("there", "lacks"), [(CRE, "Whale"), (WHALE, "CRE")])
def test_a_check_without_whale_or_without_cre(asked: Asked, there: BackendInfo, lacks: str) -> None:
    files = green()
    files["check"] = check((there,))
    assert_only(asked(files), "wrong-subject", f"not of {lacks}, but of {there.name}")
    allowed = asked(files, fallback=False).verdict is ReadinessVerdict.GO
    assert allowed is (lacks == "CRE")


@rule("wrong-subject")
@pytest.mark.parametrize("pair", [(WHALE, CRE), (CRE, replace(CRE, name="cre:swarm"))])
def test_a_bench_of_others(asked: Asked, pair: tuple[BackendInfo, BackendInfo]) -> None:
    files = green()
    files["bench"] = bench(pair)
    assert_only(asked(files), "wrong-subject", "not Whale against CRE")


@rule("fake-whale")
@pytest.mark.parametrize("name", ["whale:fake", "whale:fake:docker", "whale", "mine"])
def test_a_fake_whale_says_nothing_of_the_whale_here(asked: Asked, name: str) -> None:
    fake = replace(FAKE, name=name)
    files = {**green(), "check": check((CRE, fake)), "bench": bench((CRE, fake))}
    decision = asked(files)
    assert_only(decision, "fake-whale", "it says nothing of the Whale here", times=2)


@rule("fake-whale")
def test_a_fake_beside_the_real_one_does_no_harm(asked: Asked) -> None:
    files = {**green(), "check": check((CRE, FAKE, WHALE))}
    assert asked(files).verdict is ReadinessVerdict.GO


@rule("simulated")
def test_simulated_containers(asked: Asked) -> None:
    files = {**green(), "check": check((MEMORY, WHALE))}
    assert_only(asked(files), "simulated", "In the check, cre:memory")
    assert asked(files, fallback=False).verdict is ReadinessVerdict.GO
    files = {**green(), "bench": bench((MEMORY, WHALE))}
    assert_only(asked(files, fallback=False), "simulated", "In the bench, cre:memory")
    files = {**green(), "check": check((CRE, replace(WHALE, simulated=True)))}
    assert_only(asked(files), "simulated", "In the check, whale")


@rule("simulated")
def test_a_simulated_cre_beside_a_real_one_does_no_harm(asked: Asked) -> None:
    files = {**green(), "check": check((CRE, MEMORY, WHALE))}
    assert asked(files).verdict is ReadinessVerdict.GO


@rule("cut-short")
@pytest.mark.parametrize("ended", [Ended.INTERRUPTED, Ended.COULD_NOT_RUN])
def test_a_check_that_was_cut_short(asked: Asked, ended: Ended) -> None:
    files = {**green(), "check": check(verdict=ended, reasons=("left behind: a container",))}
    assert_only(asked(files), "cut-short", "left behind: a container")


@rule("cut-short")
def test_a_bench_that_was_interrupted(asked: Asked) -> None:
    files = green()
    files["bench"].update(interrupted=True, verdict="inconclusive", exit_code=2)
    assert_only(asked(files), "cut-short", "The bench was interrupted")


@rule("part-of-rules")
@pytest.mark.parametrize("lacking", ["whale", "cre"])
def test_rules_that_were_left_out(asked: Asked, lacking: str) -> None:
    files = green()
    found = [
        result
        for name in ("cre", "whale")
        for result in results(name)
        if name != lacking or result.group != "FAULT"
    ]
    files["check"] = check(found=found)
    number = sum(each.group == "FAULT" for each in CONTRACT)
    said = f"{number} of {len(CONTRACT)} rules were left out on {lacking}"
    assert_only(asked(files), "part-of-rules", said)


@rule("too-few")
def test_a_whale_to_which_little_applies(asked: Asked) -> None:
    files = green()
    na = (Status.NOT_APPLICABLE, "no such hook", "")
    special = {each.id.replace("-", "_"): na for each in CONTRACT[39:]}
    files["check"] = check(found=[*results("cre"), *results("whale", **special)])
    assert_only(asked(files), "too-few", "whale: 39 scenarios passed, 40 are needed")
    special.popitem()
    files["check"] = check(found=[*results("cre"), *results("whale", **special)])
    assert asked(files).verdict is ReadinessVerdict.GO


@rule("too-few")
def test_a_minimum_of_its_own_that_was_not_reached(asked: Asked) -> None:
    files = green()
    said = "whale: 287 scenarios executed, 300 are needed"
    files["check"] = check(verdict=Ended.INCONCLUSIVE, reasons=(said,))
    assert_only(asked(files), "too-few", said)


@rule("no-margin")
@pytest.mark.parametrize(("figure", "said"), [("p95", "time of a start"), ("errors", "errors")])
def test_a_margin_that_was_not_agreed(asked: Asked, figure: str, said: str) -> None:
    files = green()
    for ratio in files["bench"]["ratios"]:
        if ratio["figure"] == figure:
            ratio.update(margin=None, decision="nothing")
    assert_only(asked(files), "no-margin", said)


@rule("bench-inconclusive")
def test_a_bench_that_cannot_tell(asked: Asked) -> None:
    files = green()
    decided(files["bench"], "start", "p95", "inconclusive", "the margin is inside the interval")
    assert_only(asked(files), "bench-inconclusive", "start p95: 1.2 [0.9, 1.6], margin 1.2: the")
    files["bench"]["ratios"][2].update(value=None, low=None, high=None, why="measure longer")
    assert_only(asked(files), "bench-inconclusive", "start p95: n too small, margin 1.2: measure")


@rule("bench-inconclusive")
def test_a_bench_without_a_call_on_both(asked: Asked) -> None:
    files = green()
    files["bench"].update(verdict="inconclusive", exit_code=2, ratios=[])
    assert keys(asked(files)) == ["no-margin", "bench-inconclusive"]


@rule("not-checkable")
def test_an_item_that_cannot_be_checked_unless_it_is_accepted(asked: Asked) -> None:
    files = green()
    files["preflight"] = preflight(item(), item("frp", "not_checkable", "not shown", "ask it"))
    assert_only(asked(files), "not-checkable", "not shown")
    decision = asked(files, accepted={"frp": "we watch it"})
    assert decision.verdict is ReadinessVerdict.GO
    assert [(each.id, why) for each, why in decision.accepted] == [("frp", "we watch it")]


@rule("not-ok")
def test_what_nothing_of_ours_rests_on_may_be_accepted_though_it_is_not_ok(asked: Asked) -> None:
    files = green()
    files["preflight"] = preflight(item(), item("list", "not_ok", "500", "mend it", needed=False))
    decision = asked(files)
    assert_only(decision, "not-ok", "500")
    assert decision.reasons[0].found.change == "mend it; or accept it, with the reason"
    decision = asked(files, accepted={"list": "nobody looks at it"})
    assert decision.verdict is ReadinessVerdict.GO
    assert [(each.id, why) for each, why in decision.accepted] == [("list", "nobody looks at it")]


@pytest.mark.parametrize(
    ("name", "said"), [("tls", "tls: is not ok"), ("frp", "frp: is not there"), ("up", "up: is ok")]
)
def test_nothing_else_can_be_accepted(asked: Asked, name: str, said: str) -> None:
    files = green()
    states = {"tls": "not_ok", "up": "ok", "redis": "not_checkable"}
    files["preflight"] = preflight(*(item(each, state) for each, state in states.items()))
    with pytest.raises(PolicyError, match=f"{said}.*which is: redis"):
        asked(files, accepted={name: "because"})


@rule("other-whale")
@pytest.mark.parametrize("name", ["check", "bench"])
def test_files_of_different_whales(asked: Asked, name: str) -> None:
    other = replace(WHALE, versions={**WHALE_VERSIONS, "url": "https://other.example.org"})
    files = {**green(), name: {"check": check, "bench": bench}[name]((CRE, other))}
    assert_only(asked(files), "other-whale", f"{name} (whale): https://other.example.org")


@rule("other-whale")
@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://whale.example.org/", True),
        ("HTTPS://Whale.Example.ORG:443", True),
        ("http://whale.example.org", False),
        ("https://whale.example.org:8443", False),
        ("https://whale.example.org/ctf", False),
    ],
)
def test_one_address_written_in_several_ways(asked: Asked, url: str, same: bool) -> None:
    files = green()
    files["preflight"]["whale"]["url"] = url
    assert (asked(files).verdict is ReadinessVerdict.GO) is same


@rule("other-whale")
@pytest.mark.parametrize("url", [None, "nowhere", "https://x:y"])
def test_a_file_that_does_not_say_of_which_whale(asked: Asked, url: str | None) -> None:
    versions = {**WHALE_VERSIONS, "url": url} if url else {"dialect": "ctfd-whale"}
    files = {**green(), "check": check((CRE, replace(WHALE, versions=versions)))}
    assert_only(asked(files), "other-whale", "does not say at which address")


@rule("versions-differ")
def test_files_of_different_versions(asked: Asked) -> None:
    for change, said in (
        ({"preflight": {"whale_ready": "0.0.9"}}, "0.0.9 in the preflight"),
        ({"check": {"tool_version": "0.0.9"}}, "0.0.9 in the check"),
    ):
        files = green()
        for name, values in change.items():
            files[name].update(values)
        assert_only(asked(files), "versions-differ", said)
    old = replace(CRE, versions={**CRE_VERSIONS, "docker": "20.10.24"})
    files = {**green(), "bench": bench((old, WHALE))}
    said = "CRE: docker: 26.1.4 in the check, 20.10.24 in the bench"
    assert_only(asked(files), "versions-differ", said)
    files = green()
    files["preflight"]["whale"]["dialect"] = "legacy"
    assert_only(asked(files), "versions-differ", "legacy in the preflight")


@rule("versions-differ")
def test_a_check_on_another_database_is_a_caution_only(asked: Asked) -> None:
    mysql = [replace(e, versions={**e.versions, "database": "MariaDB 10.11"}) for e in (CRE, WHALE)]
    files = {**green(), "check": check(mysql)}
    assert asked(files).verdict is ReadinessVerdict.GO
    said = cautions(asked.evidence(files))
    assert "CRE kept its state in MariaDB 10.11 and in SQLite 3.40.1" in said


@rule("stale")
@pytest.mark.parametrize("name", list(green()))
def test_evidence_that_is_too_old(asked: Asked, name: str) -> None:
    files = green()
    key = {"check": "started_at", "bench": "began", "preflight": "made_at"}[name]
    files[name][key] = (NOW - timedelta(days=7, minutes=1)).isoformat()
    assert_only(asked(files), "stale", f"The {name} is 7.0 days old; at most 7 are allowed")
    assert asked(files, max_age=timedelta(days=8)).verdict is ReadinessVerdict.GO
    files[name][key] = (NOW - timedelta(days=7)).isoformat()
    assert asked(files).verdict is ReadinessVerdict.GO


@rule("stale")
def test_evidence_from_the_future(asked: Asked) -> None:
    files = green()
    files["preflight"]["made_at"] = (NOW + timedelta(minutes=6)).isoformat()
    assert_only(asked(files), "stale", "from the future")
    files["preflight"]["made_at"] = (NOW + timedelta(minutes=4)).isoformat()
    assert asked(files).verdict is ReadinessVerdict.GO


# What holds for all.


def test_a_waived_failure_is_listed_beside_a_go(asked: Asked) -> None:
    files = green()
    waived = (Status.WAIVED, "shortens", "until 2026-12-31 by ops: known")
    files["check"] = check(found=[*results("cre"), *results("whale", EXTEND_005=waived)])
    decision = asked(files)
    assert decision.verdict is ReadinessVerdict.GO
    assert [each.rule for each in decision.waived] == ["EXTEND-005"]


def test_what_weighs_most_comes_first(asked: Asked) -> None:
    found = [*results("cre", STOP_002=FAILED), *results("whale", START_001=FAILED)]
    files = {"check": check(found=found, verdict=Ended.FAILED), "bench": bench((MEMORY, FAKE))}
    decided(files["bench"], "stop", "p95", "fail", "above")
    decision = asked(files)
    assert decision.verdict is ReadinessVerdict.NO_GO
    order = [each.key for each in RULES]
    assert keys(decision) == sorted(keys(decision), key=order.index)
    assert keys(decision)[:3] == ["whale-broken", "cre-broken", "too-slow"]
    assert set(keys(decision)[3:]) == {"missing", "fake-whale", "simulated"}


def test_the_answers_say_yes_only_where_nothing_speaks_against_their_file(asked: Asked) -> None:
    def words(files: Files) -> list[str]:
        evidence = asked.evidence(files)
        return [e.word for e in answers(asked(files), evidence, NOW)]

    assert words(green()) == ["yes", "yes", "yes", "sure enough"]
    assert words({}) == ["not shown", "not shown", "not shown", "not sure enough"]
    fake = {**green(), "check": check((CRE, FAKE))}
    assert words(fake) == ["not shown", "yes", "yes", "not sure enough"]
    slow = green()
    decided(slow["bench"], "start", "p95", "fail", "above")
    assert words(slow) == ["yes", "no", "yes", "sure enough"]
    other = green()
    other["preflight"]["whale"]["url"] = "https://other.example.org"
    assert words(other) == ["not shown", "not shown", "not shown", "not sure enough"]


def test_a_closed_loop_is_a_caution(asked: Asked) -> None:
    files = green()
    files["bench"]["plan"]["rate"] = None
    assert asked(files).verdict is ReadinessVerdict.GO
    assert any("closed loop" in caution for caution in cautions(asked.evidence(files)))


def test_a_command_is_one_line_of_words_whatever_a_file_holds(asked: Asked) -> None:
    evil = replace(WHALE, versions={**WHALE_VERSIONS, "url": "https://x/;\nrm -rf '~'"})
    decision = asked({"check": check((CRE, evil))})
    commands = [reason.found.command for reason in decision.reasons]
    assert not any("\n" in command for command in commands)
    assert any("'https://x/; rm -rf '\"'\"'~'\"'\"''" in command for command in commands)


def test_every_rule_has_a_test() -> None:
    assert {each.key for each in RULES} == COVERED


def test_the_documents_table_is_the_rules() -> None:
    text = (Path(__file__).parents[2] / "docs" / "readiness.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+) \| (.+) \|$", text, re.MULTILINE)
    assert rows == [(each.key, each.verdict.words, each.when) for each in RULES]
