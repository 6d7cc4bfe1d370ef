"""The state machine: green on sound backends, red on broken ones with a short story."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from mutants import registry as mutants
from reference.breakages import ForgetfulStop
from reference.world import ReferenceHarness

from conformance.harness import Harness
from conformance.model.machine import machine_for
from conformance.registry.backends import resolve

BOUNDED = settings(
    max_examples=60,
    stateful_step_count=20,
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=False,
    phases=[Phase.generate, Phase.shrink],
)


def run(harness: Harness, bounds: settings) -> None:
    harness.open()
    try:
        run_state_machine_as_test(machine_for(harness), settings=bounds)
    finally:
        harness.close()


@pytest.mark.parametrize(
    ("harness", "examples"),
    [
        (lambda: ReferenceHarness(), 60),
        (lambda: resolve("cre:memory").harness, 15),
        (lambda: resolve("whale:fake").harness, 5),
    ],
    ids=["reference", "cre:memory", "whale:fake"],
)
def test_a_backend_that_keeps_the_contract_goes_as_the_model_says(harness, examples) -> None:  # type: ignore[no-untyped-def] # parametrised
    run(harness(), settings(BOUNDED, max_examples=examples))


@pytest.mark.parametrize(
    "harness", [lambda: ReferenceHarness(ForgetfulStop), lambda: mutants.starts_twice()]
)
def test_a_broken_one_is_found_and_its_story_is_short(
    harness,  # type: ignore[no-untyped-def] # parametrised
) -> None:
    with pytest.raises(AssertionError) as failed:
        run(harness(), settings(BOUNDED, max_examples=400, stateful_step_count=40))

    story = "\n".join(getattr(failed.value, "__notes__", []))
    steps = story.count("\nstate.") - story.count("\nstate.teardown(")
    assert 2 <= steps <= 3, story
