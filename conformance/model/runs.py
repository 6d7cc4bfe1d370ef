"""Tells many stories to a backend, each in a world of its own, until one goes wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from conformance.harness import Harness, Hook, Options, World
from conformance.model.model_runner import USED, ModelRunner, Parted, Telling, tell
from conformance.model.shrinking import shortest
from conformance.model.stories import Story, StoryCast, invent
from conformance.spec.trace import HarnessFault

SHRINKING_TRIES = 400
"""How often, at most, a story is told again to make it shorter."""


@dataclass(frozen=True)
class StoryPlan:
    """Which stories are told."""

    seed: int = 1
    stories: int = 50
    steps: int = 25
    only: int | None = None
    """The number of the one story to tell; None for all, from 1."""
    tries: int = SHRINKING_TRIES

    def numbers(self) -> range:
        return range(1, self.stories + 1) if self.only is None else range(self.only, self.only + 1)


@dataclass(frozen=True)
class StoryFinding:
    """A story that went wrong: as short as it could be made."""

    number: int
    story: Story
    telling: Telling
    options: Options
    original: int
    """How many steps it had at first."""


@dataclass
class Count:
    """What was told, for whoever watches."""

    stories: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)

    def add(self, telling: Telling) -> None:
        self.stories += 1
        for told in telling.steps:
            self.steps[told.step.kind.value] += 1
            if told.answer is not None:
                self.words[f"{told.step.act.value} {told.answer.word}"] += 1


Progress = Callable[[int], None]
"""Told the number of each story that is over."""


def options_for(random: Random, hooks: frozenset[Hook]) -> Options:
    """How a story's backend is set up: few extensions, so that they run out, one place or two."""
    most = random.choice((1, 2)) if Hook.ACCOUNT_LIMIT in hooks else 1
    return Options(account_limit=most, max_extensions=2)


def invented(
    plan: StoryPlan, number: int, cast: StoryCast, hooks: frozenset[Hook]
) -> tuple[Story, Options]:
    """The story of this number and how its backend is set up; the same for the same seed."""
    random = Random(f"whale-ready {plan.seed}/{number}")  # noqa: S311 - stories, no secrets
    options = options_for(random, hooks)
    return invent(random, plan.steps, cast, hooks & USED), options


def told(harness: Harness, story: Story, options: Options) -> Telling:
    """Tell one story in a fresh world.

    Raises:
        HarnessFault: the world could not be made or closed.
    """
    world = opened(harness, options)
    try:
        return tell(ModelRunner(world, harness.hooks, options), story)
    finally:
        closed(world)


def search(
    harness: Harness,
    plan: StoryPlan,
    progress: Progress = lambda number: None,
    count: Count | None = None,
) -> StoryFinding | None:
    """Tell the stories of a plan until one goes wrong; that one is made short.

    Raises:
        HarnessFault: the harness failed, which says nothing about the backend.
    """
    cast = cast_of(harness)
    for number in plan.numbers():
        story, options = invented(plan, number, cast, harness.hooks)
        telling = told(harness, story, options)
        if count is not None:
            count.add(telling)
        if telling.parted is not None:
            return _shortened(harness, plan, number, story, options, telling)
        progress(number)
    return None


def cast_of(harness: Harness) -> StoryCast:
    """Who and what there is in the worlds of a harness."""
    world = opened(harness, Options())
    try:
        return StoryCast.of(world)
    finally:
        closed(world)


def _shortened(
    harness: Harness, plan: StoryPlan, number: int, story: Story, options: Options, telling: Telling
) -> StoryFinding:
    def fails(candidate: Story) -> bool:
        return told(harness, candidate, options).parted is not None

    short = shortest(story, fails, plan.tries, known_until=len(telling.steps) - 1)
    again = told(harness, short, options)
    if again.parted is None:  # it comes and goes: what was seen at first is what there is to show
        return StoryFinding(number, story, telling, options, len(story))
    return StoryFinding(number, short, again, options, len(story))


def opened(harness: Harness, options: Options) -> World:
    """A fresh world."""
    try:
        return harness.world(options)
    except Exception as error:
        raise HarnessFault(f"no world could be made: {type(error).__name__}: {error}") from error


def closed(world: World) -> None:
    """Remove what a world made."""
    try:
        world.close()
    except Exception as error:
        raise HarnessFault(f"the world was not closed: {type(error).__name__}: {error}") from error


__all__ = ["Count", "Parted", "StoryFinding", "StoryPlan", "cast_of", "invented", "search", "told"]
