"""Stories: what happens to a backend, step by step, as data that can be written and cut short."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random

from conformance.harness import Hook, Player, World
from conformance.model.calls import VERBS, Act


class Kind(str, Enum):
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
class Step:
    """One step; ``who`` and ``what`` are parts, the same in every backend's world."""

    kind: Kind
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
            case Kind.CALL:
                during = ", out of reach" if self.outage else ""
                return f"{self.who} {VERBS[self.act]} {self.what}{during}"
            case Kind.INVALID:
                return f"{self.who} {VERBS[self.act]} a challenge with an id that is none"
            case Kind.ADVANCE:
                return f"the clock moves on by {self.seconds:g} s"
            case Kind.EXPIRY:
                side = "before" if self.seconds < 0 else "past"
                return f"the clock moves to {abs(self.seconds):g} s {side} the next expiry"
            case Kind.WORKER:
                return "the worker runs"
            case Kind.REMOVE:
                return f"somebody removes the container of {self.who}'s {self.what} by hand"


Story = tuple[Step, ...]


class StoryError(ValueError):
    """A written story cannot be read; the message names the step."""


@dataclass(frozen=True)
class Cast:
    """Who and what takes part, by the names stories use."""

    players: dict[str, Player]
    challenges: dict[str, int]

    @classmethod
    def of(cls, world: World) -> Cast:
        players = dict(zip(("alice", "bob"), world.players, strict=False))
        if world.mates and world.backend.capabilities.teams:
            players |= dict(zip(("mate", "other", "rival"), world.mates, strict=False))
            players["leaver"] = world.mates[0].leaves()
        parts = ("first", "second", "hidden", "unknown", "missing_image", "exits_at_once")
        ids = {part: getattr(world.challenges, part) for part in parts}
        return cls(players, {part: each for part, each in ids.items() if each is not None})


HOOKS = {
    Kind.ADVANCE: Hook.CLOCK,
    Kind.EXPIRY: Hook.CLOCK,
    Kind.WORKER: Hook.WORKER,
    Kind.REMOVE: Hook.REMOVE_BEHIND,
}
"""The hooks that steps need; an outage needs one too."""

_WEIGHTS = {
    Kind.CALL: 70,
    Kind.ADVANCE: 8,
    Kind.EXPIRY: 8,
    Kind.WORKER: 6,
    Kind.REMOVE: 3,
    Kind.INVALID: 2,
}
_ACTS = {Act.START: 4, Act.STATUS: 4, Act.EXTEND: 3, Act.STOP: 2, Act.CLEAN_UP: 1}
_PARTS = {"first": 20, "second": 8, "alice": 5, "mate": 3, "other": 3}
"""How often a part is chosen; any other counts one."""
_SAME_AGAIN = 0.65
"""How often a step is about what the one before was about."""
_OUTAGES = 0.06
_SECONDS = (1.0, 60.0, 600.0, 1500.0)
_PAST = (-5.0, 5.0, 40.0)


def invent(random: Random, steps: int, cast: Cast, hooks: frozenset[Hook]) -> Story:
    """A story of so many steps that needs none but these hooks."""
    kinds = [kind for kind in _WEIGHTS if HOOKS.get(kind) in (None, *hooks)]
    weights = [_WEIGHTS[kind] for kind in kinds]
    story: list[Step] = []
    who, what = "alice", "first"
    for _ in range(steps):
        kind = random.choices(kinds, weights)[0]
        if random.random() > _SAME_AGAIN:
            who, what = _part(random, cast.players), _part(random, cast.challenges)
        match kind:
            case Kind.CALL:
                act = random.choices(list(_ACTS), list(_ACTS.values()))[0]
                outage = Hook.OUTAGE in hooks and random.random() < _OUTAGES
                story.append(Step(kind, act, who, what, outage=outage))
            case Kind.INVALID:
                story.append(Step(kind, random.choice(list(Act)), who))
            case Kind.ADVANCE:
                story.append(Step(kind, seconds=random.choice(_SECONDS)))
            case Kind.EXPIRY:
                story.append(Step(kind, seconds=random.choice(_PAST)))
            case Kind.WORKER:
                story.append(Step(kind))
            case Kind.REMOVE:
                story.append(Step(kind, who=who, what=what))
    return tuple(story)


def _part(random: Random, parts: Iterable[str]) -> str:
    names = list(parts)
    return random.choices(names, [_PARTS.get(name, 1) for name in names])[0]


def written(story: Sequence[Step]) -> str:
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


def _written(step: Step) -> str:
    match step.kind:
        case Kind.CALL:
            return f"{step.act.value} {step.who} {step.what}{' outage' if step.outage else ''}"
        case Kind.INVALID:
            return f"invalid {step.act.value} {step.who}"
        case Kind.ADVANCE | Kind.EXPIRY:
            return f"{step.kind.value} {step.seconds:g}"
        case Kind.WORKER:
            return "worker"
        case Kind.REMOVE:
            return f"remove {step.who} {step.what}"


def _read(text: str) -> Step:
    if call := _CALL.fullmatch(text):
        act, who, what, outage = call.groups()
        return Step(Kind.CALL, Act(act), who, what, outage=bool(outage))
    if move := _MOVE.fullmatch(text):
        return Step(Kind(move[1]), seconds=float(move[2]))
    match text.split():
        case ["worker"]:
            return Step(Kind.WORKER)
        case ["remove", who, what]:
            return Step(Kind.REMOVE, who=who, what=what)
        case ["invalid", act, who] if act in {each.value for each in Act}:
            return Step(Kind.INVALID, Act(act), who)
    raise StoryError(
        f"{text!r} is no step; steps are 'start alice first', 'status bob second outage', "
        "'advance 60', 'expiry -5', 'worker', 'remove alice first', 'invalid start alice'"
    )
