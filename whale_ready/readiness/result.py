"""The answer with all that a page of it shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from conformance.spec.redaction import cleaned
from engines import __version__
from engines.printable import json_text
from whale_ready.readiness.answers import QuestionAnswer, answers, cautions
from whale_ready.readiness.commands import whale_url
from whale_ready.readiness.decision import (
    Policy,
    ReadinessDecision,
    ReadinessVerdict,
    Reason,
    decide,
)
from whale_ready.readiness.evidence import BackendRole, Evidence, part_of
from whale_ready.readiness.plan import RolloutPlan, rollout_plan
from whale_ready.readiness.rules import RULES

KIND, VERSION = "whale-ready readiness", 1
WORDS = {
    ReadinessVerdict.GO: "The rollout may begin, step by step.",
    ReadinessVerdict.NO_GO: "Something that was measured speaks against the rollout.",
    ReadinessVerdict.NOT_ENOUGH: (
        "Nothing speaks against the rollout, and not enough speaks for it."
    ),
}


@dataclass(frozen=True)
class ReadinessReport:
    """The answer, what it was made of, and when."""

    decision: ReadinessDecision
    evidence: Evidence
    policy: Policy
    made_at: datetime

    @property
    def words(self) -> str:
        return WORDS[self.decision.verdict]

    @property
    def answers(self) -> list[QuestionAnswer]:
        return answers(self.decision, self.evidence, self.made_at)

    @property
    def cautions(self) -> list[str]:
        return cautions(self.evidence)

    @property
    def whale(self) -> str | None:
        """Address of the Whale that was looked at; None where no file names one."""
        return whale_url(self.evidence)

    @property
    def whale_words(self) -> str:
        """The same for people."""
        if self.whale is not None:
            return self.whale
        seen = any(
            part_of(backend) is BackendRole.WHALE
            for file in (self.evidence.check, self.evidence.bench)
            for backend in (file.backends if file is not None else ())
        )
        return "not named by any of these files" if seen else "none was looked at"

    @property
    def plan(self) -> RolloutPlan:
        return rollout_plan()

    @property
    def plan_heading(self) -> str:
        """A plan is only what may be begun."""
        go = self.decision.verdict is ReadinessVerdict.GO
        return "The rollout plan" if go else "The rollout plan, once the answer is GO"

    @property
    def tool_version(self) -> str:
        return __version__


def readiness(evidence: Evidence, policy: Policy, now: datetime) -> ReadinessReport:
    """The answer by all rules.

    Raises:
        PolicyError: something is accepted that cannot be.
    """
    return ReadinessReport(decide(evidence, policy, now, RULES), evidence, policy, now)


def to_json(result: ReadinessReport) -> str:
    """The answer for programs; docs/readiness.md has its keys."""
    decision = result.decision
    content: dict[str, Any] = {
        "kind": KIND,
        "schema_version": VERSION,
        "made_at": result.made_at.isoformat(),
        "whale_ready": result.tool_version,
        "verdict": decision.verdict.value,
        "exit_code": decision.verdict.exit_code,
        "whale": result.whale,
        "answers": [{"question": e.question, "answer": e.word} for e in result.answers],
        "reasons": [_reason(reason) for reason in decision.reasons],
        "known_deviations": [
            {"rule": e.rule, "backend": e.backend, "deviation": e.deviation} for e in decision.known
        ],
        "waived": [
            {"rule": e.rule, "backend": e.backend, "waiver": e.waiver} for e in decision.waived
        ],
        "accepted": [
            {"id": item.id, "title": item.title, "state": item.state.value, "why": why}
            for item, why in decision.accepted
        ],
        "policy": {
            "max_age_days": result.policy.max_age.total_seconds() / 86400,
            "fallback": result.policy.fallback,
        },
        "evidence": {
            name: {
                "file": source.file,
                "sha256": source.sha256,
                "made_at": source.made_at.isoformat(),
                "whale_ready": source.whale_ready,
            }
            for name, source in result.evidence.sources.items()
        },
        "cautions": result.cautions,
        "plan": [{"step": e.what, "command": e.command} for e in result.plan.steps],
    }
    return json_text(cleaned(content)) + "\n"


def _reason(each: Reason) -> dict[str, Any]:
    return {
        "rule": each.rule.key,
        "verdict": each.rule.verdict.value,
        "text": each.found.text,
        "details": list(each.found.details),
        "change": each.found.change,
        "command": each.found.command,
    }
