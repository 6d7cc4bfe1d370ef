"""Tells a story to a backend and to the model side by side, and stops where they part."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

from conformance.harness import Hook, Options, Player, World
from conformance.model.calls import UNASKED, Act, CallAnswer, ModelCall
from conformance.model.rulebook import Rulebook
from conformance.model.states import ModelState, Span, clock
from conformance.model.stories import HOOKS, StepKind, Story, StoryCast, StoryError, StoryStep
from conformance.spec.context import ScenarioContext
from conformance.spec.shape import RuleBroken
from conformance.spec.steps import says_when
from conformance.spec.trace import Trace
from engines.contract import ActionResult
from engines.errors import BackendUnavailable

USED = frozenset({*HOOKS.values(), Hook.OUTAGE, Hook.GROUND_TRUTH})
"""The hooks that stories make use of."""


class Parted(Exception):
    """The backend did what the model does not allow."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got = got


@dataclass(frozen=True)
class CheckedStep:
    """A step and what came of it."""

    step: StoryStep
    sentence: str
    answer: CallAnswer | None
    """None where nothing was asked."""
    words: frozenset[str]
    """What the model would have allowed."""
    short: str
    """The answer in short."""
    moved: float | None = None
    """By how much the clock was moved on."""
    trace: tuple[str, ...] = ()


@dataclass(frozen=True)
class Telling:
    """A story as far as it was told."""

    steps: tuple[CheckedStep, ...]
    parted: Parted | None = None
    """Where the last step went wrong, if it did."""


class ModelRunner:
    """One world, and the model of what goes on in it."""

    def __init__(self, world: World, hooks: frozenset[Hook], options: Options) -> None:
        self._trace = Trace()
        self._hooks = hooks & USED
        self.stage = ScenarioContext(world, self._trace, self._hooks)
        self.cast = StoryCast.of(world)
        ids = self.cast.challenges
        self.rules = Rulebook(
            world.backend.capabilities,
            [ids["first"], ids["second"]],
            failing=[ids[part] for part in ("missing_image", "exits_at_once") if part in ids],
            capacity=options.capacity,
        )
        self.states = frozenset({ModelState()})
        self._names: dict[str, str] = {}
        self._noted = 0
        self._clock = time.perf_counter()

    def tell(self, step: StoryStep) -> CheckedStep:
        """Do one step.

        Raises:
            Parted: what came of it is not allowed.
            StoryError: a part of it is not in this world.
        """
        seconds, self._clock = time.perf_counter() - self._clock, time.perf_counter()
        self.states = frozenset(state.passed(seconds) for state in self.states)
        match step.kind:
            case StepKind.CALL:
                told = self._call(step)
            case StepKind.INVALID:
                told = self._invalid(step)
            case StepKind.ADVANCE:
                told = self._advance(step, step.seconds)
            case StepKind.EXPIRY:
                told = self._to_expiry(step)
            case StepKind.WORKER:
                self.stage.run_worker()
                self.states = frozenset(state.cleared() for state in self._views())
                told = self._plain(step, "done")
            case StepKind.REMOVE:
                told = self._remove(step)
        self._compare_with_truth()
        return replace(told, trace=self.new_lines())

    def new_lines(self) -> tuple[str, ...]:
        """What the trace has got since the last time, without secrets."""
        lines = self._trace.lines()
        fresh, self._noted = lines[self._noted :], len(lines)
        return tuple(line for line in fresh if not line.startswith("· really running"))

    # The steps.

    def _call(self, step: StoryStep) -> CheckedStep:
        call = self._meant(step)
        states = self.states
        expected = sorted(
            {
                self._named(str(outcome))
                for state in states
                for outcome in self.rules.outcomes(state, call)
            }
        )
        with self.stage.outage() if step.outage else nullcontext():
            answer = self._asked(call)
        self.states = self.rules.follow(states, call, answer)
        short = self._short(answer)
        if not self.states:
            raise Parted(" or ".join(expected), short)
        words = frozenset(
            word
            for state in states
            for outcome in self.rules.outcomes(state, call)
            for word in outcome.words
        )
        return CheckedStep(step, step.sentence, answer, words, short)

    def _meant(self, step: StoryStep) -> ModelCall:
        player = self.cast.players.get(step.who)
        challenge = self.cast.challenges.get(step.what)
        if player is None or challenge is None:
            known = ", ".join((*self.cast.players, *self.cast.challenges))
            raise StoryError(f"{step}: this backend's world has {known}")
        return ModelCall(step.act, player, challenge, step.outage)

    def _asked(self, call: ModelCall) -> CallAnswer:
        stage, who, what = self.stage, call.player, call.challenge
        calls: dict[Act, Callable[[Player, int], ActionResult]] = {
            Act.EXTEND: stage.extend,
            Act.STOP: stage.stop,
            Act.CLEAN_UP: stage.clean_up,
        }
        try:
            if call.act is Act.STATUS:
                return CallAnswer.of_status(stage.status(who, what))
            if call.act is Act.START:
                started = stage.start(who, what)
                says_when(started)
                return CallAnswer.of_start(started)
            done = calls[call.act](who, what)
            says_when(done)
            return CallAnswer.of_action(done)
        except AssertionError as broken:
            if call.act is Act.STATUS and isinstance(broken.__cause__, BackendUnavailable):
                return CallAnswer(UNASKED)
            raise Parted("an answer of the contract's shape", str(broken)) from broken

    def _invalid(self, step: StoryStep) -> CheckedStep:
        player = self.cast.players[step.who]
        backend = self.stage.backend
        calls: dict[Act, Callable[..., object]] = {
            Act.START: backend.start_instance,
            Act.EXTEND: backend.extend_instance,
            Act.STATUS: backend.get_instance_status,
        }
        try:
            with backend.expects(ValueError, "INPUT-001"):
                calls.get(step.act, backend.stop_instance)(player.user_id, 0, player.team_id)
        except RuleBroken as broken:
            raise Parted("ValueError", str(broken)) from broken
        return self._plain(step, "ValueError")

    def _advance(self, step: StoryStep, seconds: float) -> CheckedStep:
        self.stage.advance(seconds)
        self.states = frozenset(state.moved(seconds) for state in self.states)
        return replace(self._plain(step, f"{seconds:.0f} s later"), moved=seconds)

    def _to_expiry(self, step: StoryStep) -> CheckedStep:
        earliest = min(state.now.lo for state in self.states)
        latest = max(state.now.hi for state in self.states)
        spans = {held.expires for state in self.states for held in state.held if held.container}
        coming = [span for span in spans if span.hi > earliest]
        if not coming:
            return self._plain(step, "nothing is live")
        span = min(coming, key=lambda each: each.hi)
        before = step.seconds < 0
        seconds = step.seconds + (span.lo - latest if before else span.hi - earliest)
        return self._advance(step, seconds) if seconds > 0 else self._plain(step, "too late")

    def _remove(self, step: StoryStep) -> CheckedStep:
        call = self._meant(step)
        found = [state.find(call.account, call.challenge) for state in self._views()]
        if not found or any(held is None or held.lost or not held.container for held in found):
            return self._plain(step, "nothing is live")
        (container,) = {held.container for held in found if held is not None}
        self.stage.remove_behind(container)
        self.states = frozenset(self._removed(state, call) for state in self._views())
        return self._plain(step, "removed")

    def _removed(self, state: ModelState, call: ModelCall) -> ModelState:
        held = state.find(call.account, call.challenge)
        if held is None:
            return state
        left = state.without(held)
        noticed = self.rules.capabilities.detects_loss
        return left if noticed else state.without(held, ends=False).having(replace(held, lost=True))

    # What really runs.

    def _compare_with_truth(self) -> None:
        if Hook.GROUND_TRUTH not in self._hooks:
            return
        running = self.stage.running()
        agreeing = frozenset(state for state in self._views() if _agrees(state, running))
        if not agreeing:
            wanted = sorted(
                {
                    ", ".join(sorted(self._name(held.container) for held in state.held))
                    or "nothing"
                    for state in self._views()
                }
            )
            shown = ", ".join(sorted(map(self._name, running))) or "nothing"
            raise Parted(f"really running: {' or '.join(wanted)}", f"really running: {shown}")
        self.states = agreeing

    def _views(self) -> Iterator[ModelState]:
        for state in self.states:
            yield from self.rules.views(state)

    # In words.

    def _plain(self, step: StoryStep, short: str) -> CheckedStep:
        return CheckedStep(step, step.sentence, None, frozenset(), short)

    def _name(self, container: str) -> str:
        return self._names.setdefault(container, f"c{len(self._names) + 1}")

    def _named(self, text: str) -> str:
        for container, name in self._names.items():
            text = text.replace(container[:12], name)
        return text

    def _short(self, answer: CallAnswer) -> str:
        seen = answer.seen
        doubt = "" if answer.definite else ", not definite"
        if seen is None:
            return answer.word + doubt
        until = clock(Span.at(seen.expires_at))
        about = f"{seen.extensions} extensions, expiry {until}, {seen.remaining} s left"
        return f"{answer.word}: {self._name(seen.container)}, {about}{doubt}"


def tell(teller: ModelRunner, story: Story) -> Telling:
    """Tell a story to its end, or to where backend and model part."""
    steps: list[CheckedStep] = []
    for step in story:
        try:
            steps.append(teller.tell(step))
        except Parted as parted:
            lines = teller.new_lines()
            last = CheckedStep(step, step.sentence, None, frozenset(), parted.got, trace=lines)
            return Telling((*steps, last), parted)
    return Telling(tuple(steps))


def _agrees(state: ModelState, running: set[str]) -> bool:
    """Whether just that runs which the state holds, besides what expired a while ago."""
    if any(not held.container for held in state.held):
        return True
    must = {held.container for held in state.held if not held.lost}
    may = must | state.lingering | {held.container for held in state.held}
    return must <= running <= may
