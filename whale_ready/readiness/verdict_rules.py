"""How rules look at evidence: what several of them ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from conformance.report.results import BackendInfo, Status, count
from whale_ready.readiness import commands
from whale_ready.readiness.decision import (
    Look,
    Policy,
    Question,
    ReadinessRule,
    ReadinessVerdict,
    RuleFinding,
)
from whale_ready.readiness.evidence import BackendRole, BenchFile, CheckFile, Evidence, part_of


class VerdictRules:
    """Rules of one verdict, in the order in which they are written."""

    def __init__(self, verdict: ReadinessVerdict) -> None:
        self.rules: list[ReadinessRule] = []
        self._verdict = verdict

    def rule(self, key: str, question: Question, when: str) -> Callable[[Look], Look]:
        """Make a function a rule."""

        def register(look: Look) -> Look:
            self.rules.append(ReadinessRule(key, self._verdict, question, when, look))
            return look

        return register


def margins(
    evidence: Evidence, decision: str, text: str, how: str, seconds: int
) -> Iterator[RuleFinding]:
    """What the bench decided so, all of it as one reason."""
    bench = evidence.bench
    if bench is None:
        return
    found = [ratio for ratio in bench.ratios if ratio.decision == decision]
    if found or (bench.verdict == decision and not bench.interrupted):
        a, b = (backend.name for backend in bench.backends[:2])
        yield RuleFinding(
            text.format(a=a, b=b),
            how,
            commands.bench_again(evidence, seconds),
            tuple(
                f"{figure.call} {figure.figure}: {figure}, margin {figure.margin:g}: {figure.why}"
                for figure in found
            ),
            file="bench",
        )


def runs(
    evidence: Evidence,
) -> Iterator[tuple[str, CheckFile | BenchFile, Callable[[Evidence], str]]]:
    """Check and bench, where they are there, with what makes them anew."""
    if evidence.check is not None:
        yield "check", evidence.check, commands.check_again
    if evidence.bench is not None:
        yield "bench", evidence.bench, commands.bench_again


def judged(evidence: Evidence, policy: Policy) -> Iterator[tuple[BackendInfo, set[str], int]]:
    """Backends of the check that must be whole: ids of their rules, and how many passed."""
    counts = {
        BackendRole.WHALE,
        BackendRole.FAKE_WHALE,
        *([BackendRole.CRE] if policy.fallback else []),
    }
    for backend in evidence.check.backends if evidence.check else ():
        if part_of(backend) in counts and evidence.check is not None:
            results = evidence.check.report.of(backend.name)
            yield backend, {result.rule for result in results}, count(results, Status.PASS)
