"""Stories: green on sound backends, red on broken ones with the shortest story there is."""

from __future__ import annotations

import pytest
from mutants import registry as mutants
from reference import breakages
from reference.backend import ReferenceBackend, ResettingBackend
from reference.world import ReferenceHarness

from conformance.harness import Harness, Options
from conformance.model.runs import Count, StoryPlan, cast_of, invented, search, told
from conformance.model.shrinking import shortest
from conformance.model.stories import StoryError, read, written
from conformance.registry.backends import resolve
from conformance.spec.trace import HarnessFault

SHORT = StoryPlan(seed=3, stories=6, steps=20)
"""Green takes a while on real HTTP."""
ENOUGH = StoryPlan(seed=1, stories=80, steps=25)


def searched(harness: Harness, plan: StoryPlan, count: Count | None = None):  # type: ignore[no-untyped-def] # as search
    harness.open()
    try:
        return search(harness, plan, count=count)
    finally:
        harness.close()


@pytest.mark.parametrize("backend", [ReferenceBackend, ResettingBackend])
def test_a_backend_that_keeps_the_contract_goes_as_the_model_says(
    backend: type[ReferenceBackend],
) -> None:
    count = Count()
    found = searched(ReferenceHarness(backend), ENOUGH, count)

    assert found is None, found
    assert sum(count.steps.values()) == 80 * 25
    # Every kind of answer has come up: a model that is asked nothing agrees with everything.
    for word in (
        *("start ok", "start already_running", "start limit_reached", "start unavailable"),
        *("extend ok", "extend extension_limit", "extend not_found", "stop ok", "stop not_found"),
        *("clean_up ok", "status live", "status none", "status unasked"),
    ):
        assert count.words[word] > 0, word


@pytest.mark.parametrize(
    "spec",
    [
        *("cre:memory", "whale:fake", "whale:fake:documented", "whale:fake:legacy"),
        "whale:fake:teams",
    ],
)
def test_the_backends_of_this_project_go_as_the_model_says(spec: str) -> None:
    found = searched(resolve(spec).harness, SHORT)

    assert found is None, found and (written(found.story), found.telling.parted)


SHORTEST = {
    "SecondContainer": "start alice first; start alice first",
    "RenewedByStart": None,
    "ForgetfulStop": "start alice first; stop alice first",
    "ShorteningExtend": None,
    "OneExtensionMore": None,
    "ErrorAsSuccess": "start alice first; stop alice first outage",
    "UnknownAsNone": "start alice first; status alice first outage",
    "NoMates": "start mate first; start other first",
    "BelievesItsRecords": "start alice first; remove alice first; status alice first",
    "OneRoundBehind": "start alice first; expiry 5; worker",
}
"""What is left of the story; None where another one is as short."""
LENGTHS = {"RenewedByStart": 3, "ShorteningExtend": 3, "OneExtensionMore": 4}
BROKEN = {each.__name__: each for each in breakages.CAUGHT_BY}


@pytest.mark.parametrize("name", SHORTEST)
def test_a_broken_backend_is_found_with_the_shortest_story(name: str) -> None:
    found = searched(ReferenceHarness(BROKEN[name]), ENOUGH)

    assert found is not None
    if SHORTEST[name] is not None:
        assert written(found.story) == SHORTEST[name]
    assert len(found.story) == LENGTHS.get(name, len(found.story))
    assert found.telling.parted is not None


@pytest.mark.parametrize(
    ("name", "length"),
    [("starts_twice", 2), ("stop_forgets", 2), ("extend_shortens", 3), ("swallows_errors", 2)],
)
def test_a_broken_engine_is_found_with_a_short_story(name: str, length: int) -> None:
    found = searched(getattr(mutants, name)(), ENOUGH)

    assert found is not None
    assert len(found.story) == length, written(found.story)


def test_the_same_seed_tells_the_same_stories() -> None:
    harness = ReferenceHarness()
    cast = cast_of(harness)

    twice = [invented(ENOUGH, 7, cast, harness.hooks) for _ in range(2)]

    assert twice[0] == twice[1]
    other = StoryPlan(seed=2, stories=80, steps=25)
    assert invented(other, 7, cast, harness.hooks) != twice[0]


def test_a_story_that_was_written_is_read_as_it_was() -> None:
    harness = ReferenceHarness()
    cast = cast_of(harness)
    for number in ENOUGH.numbers():
        story, _ = invented(ENOUGH, number, cast, harness.hooks)
        assert read(written(story)) == story


def test_what_is_no_step_is_named() -> None:
    with pytest.raises(StoryError, match="'dance alice first' is no step"):
        read("start alice first; dance alice first")


def test_a_part_that_is_not_there_is_named() -> None:
    with pytest.raises(StoryError, match="alice, bob"):
        told(ReferenceHarness(), read("start zoe first"), Options())


def test_a_harness_that_fails_is_no_finding() -> None:
    class Failing(ReferenceHarness):
        def world(self, options: Options):  # type: ignore[no-untyped-def] # it never returns
            raise RuntimeError("no world today")

    with pytest.raises(HarnessFault, match="no world today"):
        search(Failing(), SHORT)


def test_cutting_a_story_short_ends_at_what_matters_and_within_its_tries() -> None:
    story = read("; ".join(["worker"] * 9 + ["start bob second", "advance 600", "worker"] * 3))
    tries = 0

    def fails(candidate: object) -> bool:
        nonlocal tries
        tries += 1
        return "start" in written(candidate) and "advance" in written(candidate)  # type: ignore[arg-type] # a story

    assert written(shortest(story, fails, 500)) == "start alice first; advance 1"
    tries = 0
    shortest(story, fails, 5)
    assert tries == 5
