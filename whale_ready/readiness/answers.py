"""The four questions of who signs, each with its answer, and what a reader must bear in mind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from conformance.report.matrix import MatrixCell
from conformance.report.results import Status
from whale_ready.preflight.items import ItemState
from whale_ready.readiness.decision import Question, ReadinessDecision, ReadinessVerdict
from whale_ready.readiness.evidence import BackendRole, Evidence, part_of

_FILES = {
    Question.CONTRACT: "check",
    Question.SPEED: "bench",
    Question.DEPLOYMENT: "preflight",
    Question.SURE: "",
}
_WHALES = (BackendRole.WHALE, BackendRole.FAKE_WHALE)


@dataclass(frozen=True)
class QuestionAnswer:
    """One question's."""

    question: str
    word: str
    symbol: str
    basis: str
    """What it rests on."""


def answers(decision: ReadinessDecision, evidence: Evidence, now: datetime) -> list[QuestionAnswer]:
    """An answer to each question; a yes only where nothing speaks against its file at all."""
    bases = {
        Question.CONTRACT: _contract(evidence),
        Question.SPEED: _speed(evidence),
        Question.DEPLOYMENT: _deployment(evidence),
        Question.SURE: _sure(evidence, now),
    }
    return [_answer(question, decision, basis) for question, basis in bases.items()]


def cautions(evidence: Evidence) -> list[str]:
    """What is no reason against, and must be known all the same."""
    found = list(_differences(evidence))
    if evidence.bench is not None:
        if not evidence.bench.open_loop:
            found.append(
                "The bench ran in a closed loop: a system that stalls is asked less often "
                "meanwhile, so its waiting times are too good; --rate 5 shows them"
            )
        found += [f"bench: {note}" for note in evidence.bench.notes]
    if evidence.check is not None:
        found += [f"check: {note}" for note in evidence.check.report.notes]
    return found


def _answer(question: Question, decision: ReadinessDecision, basis: str) -> QuestionAnswer:
    file = _FILES[question]
    against = [
        reason
        for reason in decision.reasons
        if reason.rule.question is question or (file and reason.found.file in ("", file))
    ]
    bad = any(
        reason.rule.verdict is ReadinessVerdict.NO_GO and reason.rule.question is question
        for reason in against
    )
    if question is Question.SURE:
        word, symbol = ("not sure enough", "?") if against else ("sure enough", "✓")
    elif bad:
        word, symbol = "no", "✗"
    else:
        word, symbol = ("not shown", "?") if against else ("yes", "✓")
    return QuestionAnswer(question.value, word, symbol, basis)


def _contract(evidence: Evidence) -> str:
    if evidence.check is None:
        return "There is no check."
    report = evidence.check.report
    said = [
        f"{backend.name}: {MatrixCell.of(report.of(backend.name))}"
        for backend in report.backends
        if part_of(backend) is not BackendRole.OTHER
    ]
    return f"{'; '.join(said)}; what did not apply is no pass."


def _speed(evidence: Evidence) -> str:
    bench = evidence.bench
    if bench is None:
        return "There is no bench."
    held = [ratio.decision for ratio in bench.ratios if ratio.margin is not None]
    counts = ", ".join(
        f"{held.count(word)} {word}" for word in ("pass", "fail", "inconclusive") if word in held
    )
    a, b = (backend.name for backend in bench.backends[:2])
    return f"{b} against {a}, {bench.loop}; margins {', '.join(bench.margins)}: {counts or 'none'}."


def _deployment(evidence: Evidence) -> str:
    if evidence.preflight is None:
        return "There is no preflight."
    items = evidence.preflight.items
    counts = ((state, sum(item.state is state for item in items)) for state in ItemState)
    said = ", ".join(f"{n} {state.value.replace('_', ' ')}" for state, n in counts if n)
    return f"{len(items)} items at {evidence.preflight.url}: {said}."


def _sure(evidence: Evidence, now: datetime) -> str:
    if not evidence.sources:
        return "There is no evidence."
    oldest = max(now - source.made_at for source in evidence.sources.values())
    said = [f"{len(evidence.sources)} of 3 files, the oldest {age(oldest)} old"]
    if evidence.check is not None:
        report = evidence.check.report
        for backend in report.backends:
            if part_of(backend) in _WHALES:
                results = report.of(backend.name)
                measured = sum(e.status is not Status.NOT_APPLICABLE for e in results)
                said.append(f"{measured} of {len(results)} rules measured on {backend.name}")
    if evidence.bench is not None:
        said.append("the bench's decisions are right together at 95 %")
    return f"{'; '.join(said)}."


def age(lasted: timedelta) -> str:
    """A time as people say it."""
    hours = lasted / timedelta(hours=1)
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.1f} days"


def _differences(evidence: Evidence) -> Iterator[str]:
    """That check and bench do not come from one machine and one database."""
    check, bench = evidence.check, evidence.bench
    if check is None or bench is None:
        return
    for name, there in bench.environment.items():
        here = check.report.environment.get(name, there)
        if here != there:
            yield f"{name} is {here} in the check, {there} in the bench"
    for part in (BackendRole.CRE, BackendRole.WHALE):
        kept = [
            backend.versions.get("database")
            for file in (check, bench)
            for backend in file.backends
            if part_of(backend) is part
        ]
        if len({each for each in kept if each}) > 1:
            yield f"{part.value} kept its state in {' and in '.join(filter(None, kept))}"
