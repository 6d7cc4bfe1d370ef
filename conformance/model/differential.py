"""Tells one story to two backends and shows where they part.

Each is judged by a model of its own, made of its own capabilities. Answers that differ because
these do are declared differences. Where the contract leaves an answer open both may be right. All
else is a difference that a call site would meet.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields
from enum import Enum

from conformance.harness import Harness, Hook, Options
from conformance.model.calls import CallAnswer
from conformance.model.model_runner import USED, CheckedStep, ModelRunner, Parted
from conformance.model.runs import Progress, StoryPlan, cast_of, closed, invented, opened
from conformance.model.shrinking import shortest
from conformance.model.stories import StepKind, Story, StoryCast, StoryStep
from engines.contract import Capabilities

_EARLY_SECONDS = 3
"""By how much remaining times may differ for reasons of rounding."""


class DifferenceCause(str, Enum):
    """What an answer that differs comes from."""

    DECLARED = "declared"
    """The backends declare that they differ here, or did before in the same story."""
    OPEN = "open"
    """The contract allows both answers."""
    BROKEN = "broken"
    """One of them did what its model does not allow."""


@dataclass(frozen=True)
class AnswerDifference:
    """One step that two backends answered otherwise."""

    at: int
    sentence: str
    one: str
    other: str
    why: DifferenceCause
    about: str
    """Which capabilities differ, or what was expected."""


@dataclass(frozen=True)
class StoryComparison:
    """A story as two backends told it, up to a difference that breaks the contract."""

    story: Story
    steps: tuple[tuple[CheckedStep, CheckedStep], ...]
    differences: tuple[AnswerDifference, ...]

    @property
    def broken(self) -> AnswerDifference | None:
        return next(
            (
                difference
                for difference in self.differences
                if difference.why is DifferenceCause.BROKEN
            ),
            None,
        )


def declared(one: Capabilities, other: Capabilities) -> tuple[str, ...]:
    """The capabilities that differ, as ``extend additive/reset``."""
    values = [
        (field.name, getattr(one, field.name), getattr(other, field.name)) for field in fields(one)
    ]
    return tuple(f"{name} {_shown(a)}/{_shown(b)}" for name, a, b in values if a != b)


def compared(one: Harness, other: Harness, story: Story, options: Options) -> StoryComparison:
    """Tell a story to both, in a fresh world each."""
    hooks = one.hooks & other.hooks
    with ExitStack() as stack:
        tellers = []
        for harness in (one, other):
            world = opened(harness, options)
            stack.callback(closed, world)
            tellers += [ModelRunner(world, hooks, options)]
        return _side_by_side(tellers[0], tellers[1], story)


def search(
    one: Harness, other: Harness, plan: StoryPlan, progress: Progress = lambda number: None
) -> Iterator[StoryComparison]:
    """Tell both the stories of a plan; one that is broken is the last, and made short."""
    casts = cast_of(one), cast_of(other)
    cast = StoryCast(
        {name: player for name, player in casts[0].players.items() if name in casts[1].players},
        {
            name: challenge
            for name, challenge in casts[0].challenges.items()
            if name in casts[1].challenges
        },
    )
    hooks = one.hooks & other.hooks & (USED | {Hook.ACCOUNT_LIMIT})
    for number in plan.numbers():
        story, options = invented(plan, number, cast, hooks)
        comparison = compared(one, other, story, options)
        broken = comparison.broken
        if broken is not None:
            short = shortest(
                story,
                lambda each, options=options: (
                    compared(one, other, each, options).broken is not None
                ),  # type: ignore[misc] # bound at once
                plan.tries,
                known_until=broken.at,
            )
            yield compared(one, other, short, options)
            return
        progress(number)
        yield comparison


def _side_by_side(one: ModelRunner, other: ModelRunner, story: Story) -> StoryComparison:
    capabilities = [runner.stage.capabilities for runner in (one, other)]
    declares = declared(*capabilities)
    steps: list[tuple[CheckedStep, CheckedStep]] = []
    differences: list[AnswerDifference] = []
    for at, step in enumerate(story):
        here, here_parted = _told(one, step)
        if step.kind is StepKind.EXPIRY and here.moved is not None:
            step = StoryStep(
                StepKind.ADVANCE, seconds=here.moved
            )  # as far on both, whatever each declares
        there, there_parted = _told(other, step)
        steps.append((here, there))
        parted = here_parted or there_parted
        if parted is not None:
            about = f"expected {parted.expected}"
            differences.append(
                AnswerDifference(
                    at, here.sentence, here.short, there.short, DifferenceCause.BROKEN, about
                )
            )
            break
        if not _same(here.answer, there.answer):
            why, about = _judged(here, there, declares, after=bool(differences))
            differences.append(
                AnswerDifference(at, here.sentence, here.short, there.short, why, about)
            )
            if why is DifferenceCause.BROKEN:
                break
    return StoryComparison(story, tuple(steps), tuple(differences))


def _told(teller: ModelRunner, step: StoryStep) -> tuple[CheckedStep, Parted | None]:
    try:
        return teller.tell(step), None
    except Parted as parted:
        lines = teller.new_lines()
        return CheckedStep(step, step.sentence, None, frozenset(), parted.got, trace=lines), parted


def _same(one: CallAnswer | None, other: CallAnswer | None) -> bool:
    if one is None or other is None:
        return one is other
    if one.word != other.word or (one.seen is None) != (other.seen is None):
        return False
    if one.seen is None or other.seen is None:
        return True
    near = abs(one.seen.remaining - other.seen.remaining) <= _EARLY_SECONDS
    return near and one.seen.extensions == other.seen.extensions


_OF_WORDS = ("scope", "account_limit", "max_extensions", "detects_loss", "timeout_seconds")
_OF_TIMES = ("extend", "extension_seconds", "timeout_seconds")


def _judged(
    one: CheckedStep, other: CheckedStep, declares: tuple[str, ...], *, after: bool
) -> tuple[DifferenceCause, str]:
    """What a difference comes from; ``after`` others, it may be what one of these has led to."""
    words_differ = (
        one.answer is None or other.answer is None or one.answer.word != other.answer.word
    )
    if words_differ and one.words == other.words:
        return DifferenceCause.OPEN, f"the contract allows {' and '.join(sorted(one.words))}"
    kinds = (*_OF_WORDS, *_OF_TIMES) if words_differ else _OF_TIMES
    reasons = [line for line in declares if line.partition(" ")[0] in kinds]
    if reasons:
        return DifferenceCause.DECLARED, ", ".join(reasons)
    if after:
        return DifferenceCause.OPEN, "it follows from a difference before"
    return DifferenceCause.BROKEN, "nothing they declare accounts for it"


def _shown(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, frozenset):
        return "+".join(sorted(_shown(each) for each in value)) or "none"
    return str(value)
