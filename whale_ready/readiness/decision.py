"""GO, NO-GO or not enough evidence: a pure function of evidence, policy and the time it is.

Bad news counts whatever its age and wherever it was seen. Good news must be whole, fresh, of real
backends, and of the same Whale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType

from conformance.report.results import ScenarioResult, Status
from whale_ready.preflight.items import Item, ItemState
from whale_ready.readiness.evidence import Evidence


class ReadinessVerdict(str, Enum):
    """The answer."""

    GO = "go"
    NO_GO = "no_go"
    NOT_ENOUGH = "not_enough_evidence"

    @property
    def exit_code(self) -> int:
        """What the command ends with."""
        return {ReadinessVerdict.GO: 0, ReadinessVerdict.NO_GO: 1, ReadinessVerdict.NOT_ENOUGH: 2}[
            self
        ]

    @property
    def words(self) -> str:
        """As people read it."""
        return "NO-GO" if self is ReadinessVerdict.NO_GO else self.value.replace("_", " ").upper()


class Question(str, Enum):
    """What the person who signs wants to know."""

    CONTRACT = "Does Whale keep the contract here?"
    SPEED = "Is it fast enough here?"
    DEPLOYMENT = "Is this deployment ready?"
    SURE = "How sure are we?"


@dataclass(frozen=True)
class Policy:
    """What the answer is held to."""

    max_age: timedelta = timedelta(days=7)
    fallback: bool = True
    """Whether starts fall back to CRE when Whale is down (ROLLOUT_FALLBACK)."""
    accepted: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Why an item of the preflight does not stand in the way, by id (:func:`may_be_accepted`)."""


@dataclass(frozen=True)
class RuleFinding:
    """What a rule has found."""

    text: str
    change: str
    """What would change the answer."""
    command: str = ""
    """The command for it; empty where there is none."""
    details: tuple[str, ...] = ()
    file: str = ""
    """What it is about: check, bench or preflight; empty for all of them."""


Look = Callable[[Evidence, Policy, datetime], Iterator[RuleFinding]]


@dataclass(frozen=True)
class ReadinessRule:
    """One thing that stands in the way of a GO."""

    key: str
    verdict: ReadinessVerdict
    question: Question
    when: str
    """In words, as in docs/readiness.md."""
    look: Look


@dataclass(frozen=True)
class Reason:
    """Why the answer is no GO."""

    rule: ReadinessRule
    found: RuleFinding


@dataclass(frozen=True)
class ReadinessDecision:
    """The answer and all that belongs to it."""

    verdict: ReadinessVerdict
    reasons: tuple[Reason, ...]
    """Those that weigh most first."""
    known: tuple[ScenarioResult, ...]
    """Broken rules that a harness declares its backend to break; they stand beside a GO, too."""
    waived: tuple[ScenarioResult, ...]
    """Broken rules that a waiver of the check excuses; they stand beside a GO, too."""
    accepted: tuple[tuple[Item, str], ...]
    """Items that are not ok or could not be checked, and why that does not stand in the way."""

    def about(self, question: Question) -> list[Reason]:
        """The reasons that belong to a question."""
        return [reason for reason in self.reasons if reason.rule.question is question]


class PolicyError(ValueError):
    """An acceptance means nothing; the message says what may be accepted."""


def decide(
    evidence: Evidence, policy: Policy, now: datetime, rules: tuple[ReadinessRule, ...]
) -> ReadinessDecision:
    """The answer by these rules; a GO is what none of them speaks against.

    Raises:
        PolicyError: something is accepted that is not there, or that was checked.
    """
    reasons = tuple(
        Reason(rule, found) for rule in rules for found in rule.look(evidence, policy, now)
    )
    verdicts = {reason.rule.verdict for reason in reasons}
    if ReadinessVerdict.NO_GO in verdicts:
        verdict = ReadinessVerdict.NO_GO
    else:
        verdict = ReadinessVerdict.NOT_ENOUGH if verdicts else ReadinessVerdict.GO
    results = evidence.check.report.results if evidence.check else ()
    return ReadinessDecision(
        verdict,
        reasons,
        known=tuple(result for result in results if result.status is Status.KNOWN_DEVIATION),
        waived=tuple(result for result in results if result.status is Status.WAIVED),
        accepted=_accepted(evidence, policy),
    )


def may_be_accepted(item: Item) -> bool:
    """Whether a person may say that it does not stand in the way: it could not be checked, or it
    is not ok and nothing of ours rests on it."""
    return item.state is ItemState.NOT_CHECKABLE or (
        item.state is ItemState.NOT_OK and not item.needed
    )


def _accepted(evidence: Evidence, policy: Policy) -> tuple[tuple[Item, str], ...]:
    items = {item.id: item for item in (evidence.preflight.items if evidence.preflight else ())}
    acceptable = [item.id for item in items.values() if may_be_accepted(item)]
    for name in policy.accepted:
        if name in acceptable:
            continue
        state = items[name].state.words if name in items else "not there"
        raise PolicyError(
            f"{name}: is {state}; only what could not be checked, or what nothing of ours rests "
            f"on, can be accepted, which is: {', '.join(acceptable) or 'none'}"
        )
    return tuple((items[name], why) for name, why in policy.accepted.items())
