"""Runs mutants, in this process: the short run for CI, the long one for the published table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from conformance.registry.backends import Subject
from conformance.report.results import ScenarioResult, Status
from conformance.run.runner import CheckRequest, check_subjects
from fake_whale import WhaleWorld
from fake_whale.sessions.recording import RecordedSession, read_sessions
from fake_whale.sessions.verify import verify
from mutants.fake import UNTRUTHS
from mutants.kinds import Mutant

PLAIN = ("START-001", "STOP-001")
"""Asked of every mutant besides: one that cannot even be asked these has no bug, it is a wreck."""
SECONDS_PER_SCENARIO = 20.0
MEASURED = Path(__file__).with_name("measured.json")
"""What the long run saw fail, rules and sessions by the mutant's name."""
_DATA = Path(__file__).parents[1] / "fake_whale" / "data"


def results(mutant: Mutant, *select: str) -> Sequence[ScenarioResult]:
    """What these rules' scenarios say of a mutant; those of all rules when none is named."""
    request = CheckRequest(select=select, seconds_per_scenario=SECONDS_PER_SCENARIO)
    report = check_subjects([Subject(mutant.name, mutant.harness())], request)
    if report.verdict.value == "could_not_run" or not report.results:
        raise AssertionError(f"{mutant.name} could not be run: {report.reasons}")
    return report.results


def failed(found: Iterable[ScenarioResult]) -> list[str]:
    """The rules that were broken."""
    return [result.rule for result in found if result.status is Status.FAIL]


def differing(mutant: Mutant, *names: str) -> list[str]:
    """The recorded sessions (all when none is named) that an untrue fake answers otherwise."""
    wanted = [session for session in _sessions() if not names or session.id in names]
    with ExitStack() as stack:
        for untruth in UNTRUTHS.get(mutant.name, ()):
            stack.enter_context(untruth.made())
        fidelity = verify(_world(), wanted)
    return sorted(
        {difference.session for difference in fidelity.differences if difference.limit is None}
    )


def measured() -> dict[str, list[str]]:
    """What the last long run has seen."""
    found: dict[str, list[str]] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return found


@cache
def _sessions() -> list[RecordedSession]:
    return read_sessions(_DATA / "whale-sessions.jsonl")


@cache
def _world() -> WhaleWorld:
    return WhaleWorld.from_file(_DATA / "whale-world.json")
