"""``readiness.md``: the same answer for a job summary or a wiki."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from conformance.report.markdown import md
from conformance.report.matrix import Matrix
from conformance.report.pages import plain
from whale_ready.readiness.answers import age
from whale_ready.readiness.decision import Reason
from whale_ready.readiness.evidence import BenchFile, CheckFile, PreflightFile
from whale_ready.readiness.result import ReadinessReport

LONGEST = 1_000
"""Characters of one text of a file; the page and the file have more."""


def to_markdown(result: ReadinessReport) -> str:
    """Verdict, answers, reasons, what is excused, the evidence and the plan."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: ReadinessReport) -> Iterator[str]:
    decision = result.decision
    yield f"# {decision.verdict.words}: from CRE to Whale"
    yield f"\n**{result.words}** Whale: {_md(result.whale_words)}."
    yield (
        f"Made {result.made_at:%Y-%m-%d %H:%M} UTC by whale-ready {result.tool_version}; "
        f"exit code {decision.verdict.exit_code}.\n"
    )
    yield from _table(
        ("", "", "what it rests on"),
        ((e.question, f"{e.symbol} {e.word}", e.basis) for e in result.answers),
    )
    if decision.reasons:
        yield "\n## Why, and what would change it\n"
    for number, reason in enumerate(decision.reasons, start=1):
        yield from _reason(number, reason)
    if decision.known or decision.waived or decision.accepted:
        yield "\n## What is excused\n"
    for rule in decision.known:
        yield f"- known deviation: {_md(f'{rule.rule} on {rule.backend}, {rule.deviation}')}"
    for rule in decision.waived:
        yield f"- waived: {_md(f'{rule.rule} on {rule.backend}, {rule.waiver}')}"
    for item, why in decision.accepted:
        yield f"- accepted: {_md(f'{item.title} ({item.id}), {item.state.words}: {why}')}"
    if result.cautions:
        yield "\n## To bear in mind\n"
    yield from (f"- {_md(caution)}" for caution in result.cautions)
    evidence = result.evidence
    yield from _speed(evidence.bench) if evidence.bench else ()
    yield from _contract(evidence.check) if evidence.check else ()
    yield from _deployment(evidence.preflight) if evidence.preflight else ()
    yield "\n## What the answer is made of\n"
    yield from _table(
        ("evidence", "made", "age", "whale-ready", "SHA-256"),
        (
            (f"{name} ({e.file})", e.made_at.isoformat(), age(result.made_at - e.made_at),
             e.whale_ready, e.sha256)
            for name, e in evidence.sources.items()
        ),
    )  # fmt: skip
    yield from _plan(result)


def _reason(number: int, reason: Reason) -> Iterator[str]:
    found = reason.found
    yield f"{number}. **{reason.rule.verdict.words}** {_md(found.text)}"
    yield from (f"   - {_md(detail)}" for detail in found.details)
    yield f"\n   What would change it: {_md(found.change.rstrip('.'))}."
    if found.command:
        yield from ("\n   ````text", f"   {_code(found.command)}", "   ````")


def _speed(bench: BenchFile) -> Iterator[str]:
    yield "\n## Is it fast enough?\n"
    yield from _table(
        ("call", "figure", "Whale to CRE [interval]", "margin", "decision"),
        (
            (e.call, e.figure, str(e), f"{e.margin:g}", e.decision)
            for e in bench.ratios
            if e.margin is not None
        ),
    )


def _contract(check: CheckFile) -> Iterator[str]:
    matrix = Matrix.of(check.report)
    yield "\n## Does it keep the contract?\n"
    rows = [(name, *map(str, cells)) for name, cells in matrix.rows]
    yield from _table(("group", *matrix.headings), [*rows, ("all", *map(str, matrix.totals))])


def _deployment(preflight: PreflightFile) -> Iterator[str]:
    yield "\n## Is this deployment ready?\n"
    yield from _table(
        ("item", "state", "what was seen"),
        (
            (f"{e.title} ({e.id})", e.state.value.replace("_", " "), e.evidence)
            for e in preflight.items
        ),
    )


def _plan(result: ReadinessReport) -> Iterator[str]:
    plan = result.plan
    yield f"\n## {result.plan_heading}\n"
    for number, step in enumerate(plan.steps, start=1):
        yield f"{number}. {step.what}: `{step.command}`"
    yield f"\n{plan.go_on}\n\nIt stops:\n"
    for stop in plan.stops:
        yield f"- when, {stop.when}: {stop.then} ({_md(stop.setting)})"
    yield "\nThe way back, at any time:\n"
    for step in plan.back:
        yield f"- {step.what}: `{step.command}`"
    yield f"\nAs a file for `whale-ready rollout plan`:\n\n```toml\n{plan.file}```"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(map(_md, headings))} |"
    yield "|---" * len(headings) + "|"
    for row in rows:
        yield f"| {' | '.join(map(_md, row))} |"


def _md(text: str) -> str:
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
    return str(plain(md(cut)))


def _code(text: str) -> str:
    return str(plain(" ".join(text.replace("````", "").split())))
