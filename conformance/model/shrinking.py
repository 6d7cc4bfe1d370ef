"""Makes a failing story as short as it can be, by telling shorter ones again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from conformance.model.stories import StepKind, Story, StoryStep


def shortest(
    story: Story, fails: Callable[[Story], bool], tries: int, known_until: int | None = None
) -> Story:
    """A shorter story that still fails; no step of it can be left out or made simpler.

    Args:
        fails: tells a story and says whether it still goes wrong.
        tries: how often a story may be told for this.
        known_until: index of the step at which it goes wrong.
    """
    if known_until is not None:
        story = story[: known_until + 1]
    left = tries
    again = True
    while again and left > 0:
        again = False
        for candidate in _candidates(story):
            if left <= 0:
                break
            left -= 1
            if fails(candidate):
                story, again = candidate, True
                break
    return story


def _candidates(story: Story) -> Iterator[Story]:
    """Shorter stories first, big cuts before small ones; then simpler ones."""
    size = len(story) // 2
    while size >= 1:
        for at in range(0, len(story), size):
            cut = story[:at] + story[at + size :]
            if cut:
                yield cut
        size //= 2
    for at, step in enumerate(story):
        for simpler in _simpler(step):
            yield (*story[:at], simpler, *story[at + 1 :])
    yield from _with_fewer_names(story)


def _simpler(step: StoryStep) -> Iterator[StoryStep]:
    if step.kind is StepKind.CALL:
        if step.outage:
            yield replace(step, outage=False)
        if step.act.value == "clean_up":
            yield replace(step, act=type(step.act).STOP)
    if step.kind is StepKind.ADVANCE and step.seconds > 1:
        yield replace(step, seconds=1.0)


def _with_fewer_names(story: Story) -> Iterator[Story]:
    """The same story about others, everywhere at once: who does not matter is alice."""
    for name in dict.fromkeys(step.who for step in story):
        if name not in ("", "alice"):
            yield tuple(replace(s, who="alice") if s.who == name else s for s in story)
    for part in dict.fromkeys(step.what for step in story):
        if part not in ("", "first"):
            yield tuple(replace(s, what="first") if s.what == part else s for s in story)
