"""What makes a NO-GO, the worst first. It counts whatever its age, and wherever it was seen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from conformance.report.results import Status, count
from conformance.report.results import Verdict as Ended
from conformance.spec.rules import BY_ID
from engines.published import document
from whale_ready.preflight.items import ItemState
from whale_ready.readiness import commands
from whale_ready.readiness.decision import (
    Policy,
    Question,
    ReadinessVerdict,
    RuleFinding,
    may_be_accepted,
)
from whale_ready.readiness.evidence import BackendRole, Evidence, part_of
from whale_ready.readiness.verdict_rules import VerdictRules, margins

_BOOK = VerdictRules(ReadinessVerdict.NO_GO)


@_BOOK.rule(
    "whale-broken",
    Question.CONTRACT,
    "a rule of the contract is broken on Whale, or on the routing in front of it, and not excused",
)
def _whale_broken(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    for part in (BackendRole.WHALE, BackendRole.FAKE_WHALE, BackendRole.ROUTING):
        yield from _broken(
            evidence, part, f"Put it right, or have it waived ({document('gating.md')})"
        )


@_BOOK.rule(
    "cre-broken",
    Question.CONTRACT,
    "the same on CRE, while starts fall back to it",
)
def _cre_broken(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    if policy.fallback:
        how = (
            f"Put it right, have it waived ({document('gating.md')}), or let no start fall back to "
            "it: ROLLOUT_FALLBACK=false, --no-fallback and a check of Whale alone"
        )
        yield from _broken(evidence, BackendRole.CRE, how)


@_BOOK.rule(
    "check-failed",
    Question.CONTRACT,
    "the check failed with no rule broken: a waiver or known deviation that is over or not "
    "needed, or what a backend can do and does not declare",
)
def _check_failed(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    check = evidence.check
    if check is None or check.report.verdict is not Ended.FAILED:
        return
    if not count(check.report.results, Status.FAIL):
        yield RuleFinding(
            "The check failed, though no rule is broken",
            "Put right what it says, then check again",
            commands.check_again(evidence),
            check.report.reasons,
            file="check",
        )


@_BOOK.rule(
    "too-slow",
    Question.SPEED,
    "a margin of the bench is passed by the whole interval",
)
def _too_slow(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    yield from margins(
        evidence,
        "fail",
        "{b} is worse than {a} by more than was agreed",
        "Make Whale faster and measure again; a margin is not changed once its figures are seen",
        240,
    )


@_BOOK.rule(
    "not-ok",
    Question.DEPLOYMENT,
    "an item of the preflight is not ok; one that nothing of ours rests on may be accepted "
    "(--accept)",
)
def _not_ok(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    for item in evidence.preflight.items if evidence.preflight else ():
        if item.state is ItemState.NOT_OK and item.id not in policy.accepted:
            how = item.fix or "Put it right"
            acceptable = may_be_accepted(item)
            yield RuleFinding(
                f"{item.title} ({item.id}): not ok",
                f"{how}; or accept it, with the reason" if acceptable else how,
                commands.accept(item.id) if acceptable else commands.preflight_again(evidence),
                (item.evidence,) if item.evidence else (),
                file="preflight",
            )


BAD_NEWS = tuple(_BOOK.rules)


def _broken(evidence: Evidence, part: BackendRole, how: str) -> Iterator[RuleFinding]:
    for backend in evidence.check.backends if evidence.check else ():
        if part_of(backend) is not part or evidence.check is None:
            continue
        broken = [
            result
            for result in evidence.check.report.of(backend.name)
            if result.status is Status.FAIL
        ]
        if broken:
            rules = "1 rule" if len(broken) == 1 else f"{len(broken)} rules"
            yield RuleFinding(
                f"{backend.name} breaks {rules} of the contract",
                f"{how}; then check again",
                commands.check_again(evidence),
                tuple(
                    f"{result.rule} {_title(result.rule)} {_line(result.message)}"
                    for result in broken
                ),
                file="check",
            )


def _title(rule: str) -> str:
    return BY_ID[rule].title if rule in BY_ID else ""


def _line(message: str) -> str:
    first = (message.splitlines() or [""])[0]
    return first if len(first) <= 200 else f"{first[:200]} …"
