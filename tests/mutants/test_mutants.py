"""Every broken program is failed by the scenario that is named for it, or else CI fails.

A mutant runs its own rule and the few of the plain life; all rules on all mutants are the long run
of ``python -m mutants --measure``.
"""

from __future__ import annotations

import logging
from collections import Counter

import pytest

from conformance.harness import Harness
from conformance.harnesses.cre import MemoryHarness
from conformance.harnesses.hybrid import HybridHarness
from conformance.harnesses.whale import FakeWhaleHarness
from conformance.report.results import Status
from mutants.kinds import Mutant, Part
from mutants.registry import MUTANTS
from mutants.runs import PLAIN, differing, measured, results
from mutants.table import DOCUMENT, table


def _hybrid() -> Harness:
    return HybridHarness("cre")


SOUND = {
    "cre:memory": Mutant("cre:memory", Part.CRE, "", "", "", "START-001", MemoryHarness),
    "whale:fake": Mutant("whale:fake", Part.FAKE, "", "", "", "START-001", FakeWhaleHarness),
    "hybrid:cre": Mutant("hybrid:cre", Part.FRONT, "", "", "", "START-001", _hybrid),
}


LETS_IN = {"SWAP-031"}
"""Rules of the front that only a backend can show which lets a user in or not: ``whale:fake``."""


def named(*parts: Part) -> list[str]:
    """The rules that are named for the mutants of these parts."""
    mine = [mutant for mutant in MUTANTS if mutant.part in parts and not mutant.by_session]
    rules = {mutant.killed_by for mutant in mine} - LETS_IN | set(PLAIN)
    return sorted(rules | LETS_IN if Part.ADAPTER in parts else rules)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_named_scenario_finds_the_bug(mutant: Mutant, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    if mutant.by_session:
        assert differing(mutant, mutant.killed_by) == [mutant.killed_by], "it survives"
        return
    found = {result.rule: result for result in results(mutant, mutant.killed_by, *PLAIN)}
    killer = found[mutant.killed_by]
    assert killer.status is Status.FAIL, f"it survives: {killer.status.value} {killer.message}"
    assert "did not return" not in killer.message, "found by a time-out, and not by the rule"
    erred = [result for result in found.values() if result.status is Status.ERROR]
    assert not erred, erred


@pytest.mark.parametrize(
    ("sound", "parts"),
    [
        ("cre:memory", (Part.CRE, Part.ENDPOINTS)),
        ("whale:fake", (Part.ADAPTER, Part.FAKE)),
        ("hybrid:cre", (Part.FRONT,)),
    ],
)
def test_the_sound_program_passes_the_same(sound: str, parts: tuple[Part, ...]) -> None:
    found = results(SOUND[sound], *named(*parts))
    assert [f"{r.id}: {r.message}" for r in found if r.status is not Status.PASS] == []


def test_the_sound_fake_passes_the_same_sessions() -> None:
    sessions = [mutant.killed_by for mutant in MUTANTS if mutant.by_session]
    assert differing(SOUND["whale:fake"], *sessions) == []


def test_there_are_enough_of_each_part() -> None:
    count = Counter(mutant.part for mutant in MUTANTS)
    assert count[Part.CRE] >= 24
    assert count[Part.ADAPTER] >= 12
    assert count[Part.FAKE] >= 6
    assert count[Part.FRONT] >= 12
    assert count[Part.ENDPOINTS] >= 8
    assert len(MUTANTS) >= 120
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_the_published_table_is_the_registrys() -> None:
    seen = measured()
    assert list(seen) == [mutant.name for mutant in MUTANTS], "run python -m mutants --measure"
    unmeasured = [each.name for each in MUTANTS if each.killed_by not in seen[each.name]]
    assert not unmeasured, f"run python -m mutants --measure {' '.join(unmeasured)}"
    assert DOCUMENT.read_text(encoding="utf-8") == table(seen), "run python -m mutants --write"
