"""Stories: what happens to a backend, step by step, as data that can be written and cut short."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random

from conformance.harness import Hook, Player, World
from conformance.model.calls import VERBS, Act


class StepKind(str, Enum):
    """What a step is."""

    CALL = "call"
    INVALID = "invalid"
    """A call with an id that is none."""
    ADVANCE = "advance"
    """The clock moves on by ``seconds``."""
    EXPIRY = "expiry"
    """The clock moves to ``seconds`` after the next expiry, before it when that is negative."""
    WORKER = "worker"
    REMOVE = "remove"
    """Somebody removes an instance's container by hand."""


@dataclass(frozen=True)
class StoryStep:
    """One step; ``who`` and ``what`` are parts, the same in every backend's world."""

    kind: StepKind
    act: Act = Act.START
    who: str = ""
    what: str = ""
    seconds: float = 0
    outage: bool = False

    def __str__(self) -> str:
        return _written(self)

    @property
    def sentence(self) -> str:
        """The step for people."""
        match self.kind:
            case StepKind.CALL:
                during = ", out of reach" if self.outage else ""
                return f"{self.who} {VERBS[self.act]} {self.what}{during}"
            case StepKind.INVALID:
                return f"{self.who} {VERBS[self.act]} a challenge with an id that is none"
            case StepKind.ADVANCE:
                return f"the clock moves on by {self.seconds:g} s"
            case StepKind.EXPIRY:
                side = "before" if self.seconds < 0 else "past"
                return f"the clock moves to {abs(self.seconds):g} s {side} the next expiry"
            case StepKind.WORKER:
                return "the worker runs"
            case StepKind.REMOVE:
                return f"somebody removes the container of {self.who}'s {self.what} by hand"


Story = tuple[StoryStep, ...]


class StoryError(ValueError):
    """A written story cannot be read; the message names the step."""


@dataclass(frozen=True)
class StoryCast:
    """Who and what takes part, by the names stories use."""

    players: dict[str, Player]
    challenges: dict[str, int]

    @classmethod
    def of(cls, world: World) -> StoryCast:
        players = dict(zip(("alice", "bob"), world.players, strict=False))
        if world.mates and world.backend.capabilities.teams:
            players |= dict(zip(("mate", "other", "rival"), world.mates, strict=False))
            players["leaver"] = world.mates[0].leaves()
        parts = ("first", "second", "hidden", "unknown", "missing_image", "exits_at_once")
        ids = {part: getattr(world.challenges, part) for part in parts}
        return cls(players, {part: number for part, number in ids.items() if number is not None})


HOOKS = {
    StepKind.ADVANCE: Hook.CLOCK,
    StepKind.EXPIRY: Hook.CLOCK,
    StepKind.WORKER: Hook.WORKER,
    StepKind.REMOVE: Hook.REMOVE_BEHIND,
}
"""The hooks that steps need; an outage needs one too."""

_WEIGHTS = {
    StepKind.CALL: 70,
    StepKind.ADVANCE: 8,
    StepKind.EXPIRY: 8,
    StepKind.WORKER: 6,
    StepKind.REMOVE: 3,
    StepKind.INVALID: 2,
}
_ACTS = {Act.START: 4, Act.STATUS: 4, Act.EXTEND: 3, Act.STOP: 2, Act.CLEAN_UP: 1}
_PARTS = {"first": 20, "second": 8, "alice": 5, "mate": 3, "other": 3}
"""How often a part is chosen; any other counts one."""
_SAME_AGAIN = 0.65
"""How often a step is about what the one before was about."""
_OUTAGES = 0.06
_SECONDS = (1.0, 60.0, 600.0, 1500.0)
_PAST = (-5.0, 5.0, 40.0)


def invent(random: Random, steps: int, cast: StoryCast, hooks: frozenset[Hook]) -> Story:
    """A story of so many steps that needs none but these hooks."""
    kinds = [kind for kind in _WEIGHTS if HOOKS.get(kind) in (None, *hooks)]
    weights = [_WEIGHTS[kind] for kind in kinds]
    story: list[StoryStep] = []
    who, what = "alice", "first"
    for _ in range(steps):
        kind = random.choices(kinds, weights)[0]
        if random.random() > _SAME_AGAIN:
            who, what = _part(random, cast.players), _part(random, cast.challenges)
        match kind:
            case StepKind.CALL:
                act = random.choices(list(_ACTS), list(_ACTS.values()))[0]
                outage = Hook.OUTAGE in hooks and random.random() < _OUTAGES
                story.append(StoryStep(kind, act, who, what, outage=outage))
            case StepKind.INVALID:
                story.append(StoryStep(kind, random.choice(list(Act)), who))
            case StepKind.ADVANCE:
                story.append(StoryStep(kind, seconds=random.choice(_SECONDS)))
            case StepKind.EXPIRY:
                story.append(StoryStep(kind, seconds=random.choice(_PAST)))
            case StepKind.WORKER:
                story.append(StoryStep(kind))
            case StepKind.REMOVE:
                story.append(StoryStep(kind, who=who, what=what))
    return tuple(story)


def _part(random: Random, parts: Iterable[str]) -> str:
    names = list(parts)
    return random.choices(names, [_PARTS.get(name, 1) for name in names])[0]


def written(story: Sequence[StoryStep]) -> str:
    """The story on one line, as :func:`read` takes it."""
    return "; ".join(map(str, story))


def read(text: str) -> Story:
    """A story that was written down.

    Raises:
        StoryError: a step of it is none.
    """
    return tuple(_read(part.strip()) for part in text.split(";") if part.strip())


_CALL = re.compile(r"(start|extend|stop|clean_up|status) (\w+) (\w+)( outage)?")
_MOVE = re.compile(r"(advance|expiry) (-?\d+(?:\.\d+)?)")


def _written(step: StoryStep) -> str:
    match step.kind:
        case StepKind.CALL:
            return f"{step.act.value} {step.who} {step.what}{' outage' if step.outage else ''}"
        case StepKind.INVALID:
            return f"invalid {step.act.value} {step.who}"
        case StepKind.ADVANCE | StepKind.EXPIRY:
            return f"{step.kind.value} {step.seconds:g}"
        case StepKind.WORKER:
            return "worker"
        case StepKind.REMOVE:
            return f"remove {step.who} {step.what}"


def _read(text: str) -> StoryStep:
    if call := _CALL.fullmatch(text):
        act, who, what, outage = call.groups()
        return StoryStep(StepKind.CALL, Act(act), who, what, outage=bool(outage))
    if move := _MOVE.fullmatch(text):
        return StoryStep(StepKind(move[1]), seconds=float(move[2]))
    match text.split():
        case ["worker"]:
            return StoryStep(StepKind.WORKER)
        case ["remove", who, what]:
            return StoryStep(StepKind.REMOVE, who=who, what=what)
        case ["invalid", act, who] if act in {each.value for each in Act}:
            return StoryStep(StepKind.INVALID, Act(act), who)
    raise StoryError(
        f"{text!r} is no step; steps are 'start alice first', 'status bob second outage', "
        "'advance 60', 'expiry -5', 'worker', 'remove alice first', 'invalid start alice'"
    )
