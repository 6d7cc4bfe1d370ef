"""A rollout's plan, from a TOML file: one ``[[step]]`` after another, the next while healthy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from engines.errors import SettingsError
from engines.hybrid.dial import Position, RolloutStep, parse_share
from engines.typed_input import Unfit, toml_file, typed

HOLD_MINUTES, STARTS = 30, 20
"""How long a step is held, and how many starts it must see, where the file does not say."""
_Id = Annotated[int, Meta(ge=1)]
_Count = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True)
class _Step:
    """One table of the file."""

    challenges: Annotated[_Id | tuple[_Id, ...], Meta(description="a list of ids, as [5, 7]")] = ()
    percent: str | int | float = 0
    accounts: str | int | float = 0
    hold_minutes: _Count = HOLD_MINUTES
    starts: _Count = STARTS


def read_plan(path: Path) -> tuple[RolloutStep, ...]:
    """The plan's steps, each a position of the dial.

    Raises:
        SettingsError: the file cannot be read or says something else; names the place and the fix.
    """
    try:
        content = toml_file(path)
    except Unfit as error:
        raise SettingsError(f"{path}: {error}") from None
    tables = content.get("step")
    if set(content) != {"step"} or not isinstance(tables, list) or not tables:
        raise SettingsError(f"{path}: write one or more [[step]] tables, and nothing else")
    steps: list[RolloutStep] = []
    for number, table in enumerate(tables, start=1):
        try:
            step = _step(typed(table, _Step))
            if steps and not steps[-1].position.within(step.position):
                raise ValueError("a step sends at least what the one before it does")
        except ValueError as error:
            raise SettingsError(f"{path}: step {number}: {error}") from None
        steps.append(step)
    return tuple(steps)


def _step(step: _Step) -> RolloutStep:
    ids = (step.challenges,) if isinstance(step.challenges, int) else step.challenges
    position = Position(
        percent=parse_share(str(step.percent)),
        cohort=parse_share(str(step.accounts)),
        challenges=dict.fromkeys(ids, True),
    )
    if position.nothing:
        raise ValueError("write challenges, percent or accounts")
    return RolloutStep(position, 60 * step.hold_minutes, step.starts)
