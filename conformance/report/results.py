"""What a run measured, and the verdict on it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

from msgspec import Meta

from conformance.harness import KnownDeviation
from conformance.spec.rules import RULES, SPEC_VERSION, Profile, RuleId
from engines.typed_input import Count

MINIMUM_EXECUTED = {Profile.CORE: 30, Profile.FULL: 40}
"""Scenarios each backend must have passed before a verdict is more than an impression. There are
fewer rules in ``core``, and a larger part of them is needed."""


class Status(str, Enum):
    """How one scenario ended on one backend."""

    PASS = "pass"  # noqa: S105 - a status, not a password
    FAIL = "fail"
    """The backend broke a rule."""
    ERROR = "error"
    """Harness or suite failed: nothing is known about the backend."""
    WAIVED = "waived"
    """The backend broke a rule, and a waiver says that this is known and until when it may be."""
    KNOWN_DEVIATION = "known_deviation"
    """The backend broke a rule, and its harness declares that it is known to."""
    NOT_APPLICABLE = "not_applicable"
    """The harness offers no such hook, or the backend declares no such capability."""


EXCUSED = (Status.KNOWN_DEVIATION, Status.WAIVED)
"""Broken rules that do not make a run fail. They are no passes."""


@dataclass(frozen=True)
class ScenarioResult:
    """One scenario on one backend."""

    rule: RuleId
    scenario: str
    backend: str
    status: Status
    duration_s: Annotated[float, Meta(ge=0)]
    message: str = ""
    """Why it failed, erred or did not apply; empty for a pass."""
    trace: tuple[str, ...] = ()
    """What was called and answered, without secrets."""
    story: str = ""
    """What the scenario tells, for people."""
    waiver: str = ""
    """Why and until when a waived failure is excused; empty for any other status."""
    deviation: str = ""
    """Why and until when a failure is a known deviation; empty for any other status."""

    @property
    def id(self) -> str:
        return f"{self.scenario}[{self.backend}]"

    @property
    def group(self) -> str:
        return self.rule.partition("-")[0]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "status": self.status.value, "trace": list(self.trace)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ScenarioResult:
        return cls(**{**data, "status": Status(data["status"]), "trace": tuple(data["trace"])})


@dataclass(frozen=True)
class BackendInfo:
    """What a backend said about itself when the run began."""

    name: str
    kind: str
    simulated: bool
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    known_deviations: tuple[KnownDeviation, ...] = ()
    """Rules that its harness declares it to break, broken in this run or not."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "simulated": self.simulated,
            "capabilities": dict(self.capabilities),
            "versions": dict(self.versions),
            "known_deviations": [
                {**asdict(deviation), "expires": deviation.expires.isoformat()}
                for deviation in self.known_deviations
            ],
        }


class Verdict(str, Enum):
    """What the run amounts to."""

    PASSED = "passed"
    NO_WORSE = "no_worse"
    """Rules are broken, but only those which the baseline has as broken too."""
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    COULD_NOT_RUN = "could_not_run"
    INTERRUPTED = "interrupted"

    @property
    def exit_code(self) -> int:
        return _EXIT_CODES[self]


_EXIT_CODES = {
    Verdict.PASSED: 0,
    Verdict.NO_WORSE: 0,
    Verdict.FAILED: 1,
    Verdict.INCONCLUSIVE: 2,
    Verdict.COULD_NOT_RUN: 3,
    Verdict.INTERRUPTED: 130,
}


@dataclass(frozen=True)
class ContainerLedger:
    """What became of the containers that one backend made in a run."""

    backend: str
    made: Count
    """Containers that a start told of."""
    ended: Count | None
    """Those that no longer ran when their scenario was over; None where nobody can tell."""
    swept: Count | None
    """Those that the harness removed with the scenario's world; None where nobody can tell."""
    untold: Count | None
    """Containers that ran at the end of a scenario though no start had told of them, as those of a
    warm pool, companions, and what a start leaked; swept too. None where nobody can tell."""
    left: tuple[str, ...] | None
    """Ids of what still ran after all; None where the harness cannot tell."""


@dataclass(frozen=True)
class Report:
    """A finished run."""

    tool_version: str
    started_at: datetime
    duration_s: float
    profile: Profile
    environment: Mapping[str, str]
    """Where it ran: Python, system and the packages that matter, by name."""
    backends: tuple[BackendInfo, ...]
    results: tuple[ScenarioResult, ...]
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    """Why the verdict is not ``passed``, one sentence each."""
    notes: tuple[str, ...] = ()
    """What a reader must know besides, as that a backend was simulated for want of Docker."""
    ledgers: tuple[ContainerLedger, ...] = ()
    spec_version: int = SPEC_VERSION
    """Version of the contract that it was measured by."""

    @property
    def exit_code(self) -> int:
        return self.verdict.exit_code

    def of(self, backend: str) -> list[ScenarioResult]:
        return [result for result in self.results if result.backend == backend]

    def to_dict(self) -> dict[str, Any]:
        """The content of ``report.json``."""
        return {
            "spec_version": self.spec_version,
            "tool_version": self.tool_version,
            "started_at": self.started_at.isoformat(),
            "duration_s": self.duration_s,
            "profile": self.profile.value,
            "environment": dict(self.environment),
            "backends": {backend.name: backend.to_dict() for backend in self.backends},
            "rules": [
                {
                    "id": rule.id,
                    "title": rule.title,
                    "since": rule.since,
                }
                for rule in RULES
                if rule.since <= self.spec_version
            ],
            "results": [result.to_dict() for result in self.results],
            "ledgers": [
                {**asdict(ledger), "left": None if ledger.left is None else list(ledger.left)}
                for ledger in self.ledgers
            ],
            "notes": list(self.notes),
            "reasons": list(self.reasons),
            "verdict": self.verdict.value,
            "exit_code": self.exit_code,
        }


Broken = tuple[str, str]
"""Name of a backend and id of a rule that it breaks."""


@dataclass(frozen=True)
class Judgement:
    """The verdict and why it is not better."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()


def count(results: Iterable[ScenarioResult], status: Status) -> int:
    """How many of the results have this status."""
    return sum(result.status is status for result in results)


def judge(
    backends: Iterable[str],
    results: Iterable[ScenarioResult],
    *,
    problems: Iterable[str] = (),
    failures: Iterable[str] = (),
    known: Collection[Broken] = frozenset(),
    interrupted: bool = False,
    minimum: int = MINIMUM_EXECUTED[Profile.FULL],
    left_out: int = 0,
) -> Judgement:
    """The verdict on a run; nothing skipped, excused or not applicable ever counts as a pass.

    Args:
        backends: names of the backends that were to be measured.
        problems: what went wrong outside of any scenario; each one makes the run "could not run".
        failures: what makes the run fail beside the rules that are broken: waivers, known
            deviations, a baseline.
        known: what the baseline has as broken; that alone does not make the run fail.
        minimum: scenarios each backend must have passed for a verdict.
        left_out: rules that were not selected; a part is no verdict.
    """
    names, results = list(backends), list(results)
    problems, failures = list(problems), list(failures)
    broken = [r for r in results if r.status is Status.FAIL]
    failed = count((r for r in broken if (r.backend, r.rule) not in known), Status.FAIL)
    erred = count(results, Status.ERROR)
    reasons = [*problems, *failures]
    if failed:
        reasons.append(f"{_times(failed, 'rule')} broken")
    if erred:
        reasons.append(f"{_times(erred, 'scenario')} could not be carried out")
    if interrupted:
        return Judgement(Verdict.INTERRUPTED, ("the run was interrupted", *reasons))
    if failed or failures:
        return Judgement(Verdict.FAILED, tuple(reasons))
    if not names:
        reasons.append("there is no backend to check")
    if erred or problems or not names:
        return Judgement(Verdict.COULD_NOT_RUN, tuple(reasons))
    reasons += _too_little(names, results, minimum, left_out)
    if reasons:
        return Judgement(Verdict.INCONCLUSIVE, tuple(reasons))
    if broken:
        still = f"{_times(len(broken), 'rule')} broken as in the baseline"
        return Judgement(Verdict.NO_WORSE, (still,))
    return Judgement(Verdict.PASSED)


def _too_little(
    names: list[str], results: list[ScenarioResult], minimum: int, left_out: int
) -> Iterator[str]:
    for name in names:
        passed = count((r for r in results if r.backend == name), Status.PASS)
        if passed < minimum:
            yield f"{name}: {_times(passed, 'scenario')} executed, {minimum} are needed"
    if left_out:
        yield f"{_times(left_out, 'rule')} not selected, and a part is no verdict"


def _times(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
