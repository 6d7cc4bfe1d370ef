"""Two backends, one story: what they declare to differ is listed, all else is a finding."""

from __future__ import annotations

from datetime import timedelta

from reference.backend import Record, ReferenceBackend, ResettingBackend
from reference.breakages import ShorteningExtend
from reference.world import ReferenceHarness

from conformance.harness import Harness, Options
from conformance.model.differential import DifferenceCause, StoryComparison, compared, search
from conformance.model.runs import StoryPlan
from conformance.model.stories import read, written
from conformance.registry.backends import resolve

PLAN = StoryPlan(seed=1, stories=5, steps=20)


class LateStart(ReferenceBackend):
    """A life begins while the container is made: half a minute of it is over by the answer."""

    def begin(self, user_id: int, challenge_id: int, team_id: int | None) -> Record:
        record = super().begin(user_id, challenge_id, team_id)
        record.expires_at -= timedelta(seconds=30)
        return record


def searched(one: Harness, other: Harness) -> list[StoryComparison]:
    harnesses = (one, other)
    for harness in harnesses:
        harness.open()
    try:
        return list(search(one, other, PLAN))
    finally:
        for harness in harnesses:
            harness.close()


def test_the_engine_and_whale_part_in_what_they_declare_only() -> None:
    comparisons = searched(resolve("cre:memory").harness, resolve("whale:fake").harness)

    differences = [difference for one in comparisons for difference in one.differences]
    assert len(comparisons) == PLAN.stories
    assert {difference.why for difference in differences} == {
        DifferenceCause.DECLARED,
        DifferenceCause.OPEN,
    }
    declared = {
        difference.about for difference in differences if difference.why is DifferenceCause.DECLARED
    }
    assert any("extend additive/reset" in about for about in declared)


def test_a_backend_does_not_differ_from_itself() -> None:
    comparisons = searched(ReferenceHarness(), ReferenceHarness())

    assert [difference for one in comparisons for difference in one.differences] == []


def test_an_extend_that_resets_is_a_declared_difference() -> None:
    story = read("start alice first; advance 600; extend alice first; status alice first")
    comparison = compared(ReferenceHarness(), ReferenceHarness(ResettingBackend), story, Options())

    (difference,) = comparison.differences
    assert (difference.at, difference.why) == (3, DifferenceCause.DECLARED)
    assert difference.about == "extend additive/reset, extension_seconds 900/3600"
    assert "3900 s left" in difference.one
    assert "3600 s left" in difference.other


def test_a_backend_that_breaks_the_contract_is_shown_with_both_answers() -> None:
    *_, last = searched(ReferenceHarness(), ReferenceHarness(ShorteningExtend))

    assert last.broken is not None
    assert len(last.story) <= 5, written(last.story)
    assert last.broken.about.startswith("expected ")
    assert last.broken.one != last.broken.other


def test_a_difference_that_neither_contract_nor_capabilities_explain_is_shown() -> None:
    *_, last = searched(ReferenceHarness(), ReferenceHarness(LateStart))

    assert written(last.story) == "start alice first"
    assert last.broken is not None
    assert last.broken.about == "nothing they declare accounts for it"
