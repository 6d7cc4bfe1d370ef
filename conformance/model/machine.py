"""The model beside any backend as a hypothesis state machine, for a test suite that has hypothesis.

``whale-ready story`` tells the same steps without it; what the two share is the teller.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from conformance.harness import Harness, Hook, Options
from conformance.model.calls import Act
from conformance.model.model_runner import USED, ModelRunner, Parted
from conformance.model.runs import cast_of, closed, opened
from conformance.model.stories import HOOKS, StepKind, StoryCast, StoryStep

SECONDS = st.sampled_from([1.0, 60.0, 600.0, 1500.0])
AROUND = st.sampled_from([-5.0, 5.0, 40.0])
"""Seconds after the next expiry."""


def machine_for(harness: Harness, options: Options | None = None) -> type[RuleBasedStateMachine]:
    """A state machine for ``hypothesis.stateful.run_state_machine_as_test``.

    Each run has a fresh world of ``harness``, which is the caller's to open and close. Where
    backend and model part it fails, and hypothesis prints the shortest story that it finds.
    """
    cast = cast_of(harness)
    return _machine(harness, options or Options(), cast, harness.hooks & USED)


def _machine(  # noqa: C901 - eight rules of one line each
    harness: Harness, options: Options, cast: StoryCast, hooks: frozenset[Hook]
) -> type[RuleBasedStateMachine]:
    # Most steps are about one instance: two that never meet show nothing.
    players = st.one_of(st.just("alice"), st.sampled_from(sorted(cast.players)))
    challenges = st.one_of(st.just("first"), st.sampled_from(list(cast.challenges)))
    acts = st.sampled_from(list(Act))

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.world = opened(harness, options)
            self.teller = ModelRunner(self.world, hooks, options)

        @rule(act=acts, who=players, what=challenges)
        def call(self, act: Act, who: str, what: str) -> None:
            self.tell(StoryStep(StepKind.CALL, act, who, what))

        @precondition(lambda _machine: Hook.OUTAGE in hooks)
        @rule(act=acts, who=players, what=challenges)
        def call_out_of_reach(self, act: Act, who: str, what: str) -> None:
            self.tell(StoryStep(StepKind.CALL, act, who, what, outage=True))

        @rule(act=acts, who=players)
        def call_with_no_id(self, act: Act, who: str) -> None:
            self.tell(StoryStep(StepKind.INVALID, act, who))

        @precondition(lambda _machine: HOOKS[StepKind.ADVANCE] in hooks)
        @rule(seconds=SECONDS)
        def advance(self, seconds: float) -> None:
            self.tell(StoryStep(StepKind.ADVANCE, seconds=seconds))

        @precondition(lambda _machine: HOOKS[StepKind.EXPIRY] in hooks)
        @rule(seconds=AROUND)
        def to_expiry(self, seconds: float) -> None:
            self.tell(StoryStep(StepKind.EXPIRY, seconds=seconds))

        @precondition(lambda _machine: HOOKS[StepKind.WORKER] in hooks)
        @rule()
        def worker(self) -> None:
            self.tell(StoryStep(StepKind.WORKER))

        @precondition(lambda _machine: HOOKS[StepKind.REMOVE] in hooks)
        @rule(who=players, what=challenges)
        def remove_by_hand(self, who: str, what: str) -> None:
            self.tell(StoryStep(StepKind.REMOVE, who=who, what=what))

        def tell(self, step: StoryStep) -> None:
            try:
                self.teller.tell(step)
            except Parted as parted:
                raise AssertionError(f"{step.sentence}: {parted}") from parted

        def teardown(self) -> None:
            closed(self.world)

    return Machine
