"""A rollout's plan, from a TOML file: one ``[[step]]`` after another, the next while healthy."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from engines.errors import SettingsError
from engines.hybrid.dial import Position, RolloutStep, parse_share

HOLD_MINUTES, STARTS = 30, 20
"""How long a step is held, and how many starts it must see, where the file does not say."""
_FIELDS = {"challenges", "percent", "accounts", "hold_minutes", "starts"}


def read_plan(path: Path) -> tuple[RolloutStep, ...]:
    """The plan's steps, each a position of the dial.

    Raises:
        SettingsError: the file cannot be read or says something else; names the place and the fix.
    """
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: this is not TOML: {error}") from None
    tables = content.get("step")
    if set(content) != {"step"} or not isinstance(tables, list) or not tables:
        raise SettingsError(f"{path}: write one or more [[step]] tables, and nothing else")
    steps: list[RolloutStep] = []
    for number, table in enumerate(tables, start=1):
        try:
            step = _step(table)
            if steps and not steps[-1].position.within(step.position):
                raise ValueError("a step sends at least what the one before it does")
        except ValueError as error:
            raise SettingsError(f"{path}: step {number}: {error}") from None
        steps.append(step)
    return tuple(steps)


def _step(table: Any) -> RolloutStep:
    unknown = set(table) - _FIELDS
    if unknown:
        raise ValueError(f"{min(unknown)} is no field; there are {', '.join(sorted(_FIELDS))}")
    position = Position(
        percent=parse_share(str(table.get("percent", 0))),
        cohort=parse_share(str(table.get("accounts", 0))),
        challenges=dict.fromkeys(_challenges(table.get("challenges", [])), True),
    )
    if position.nothing:
        raise ValueError("write challenges, percent or accounts")
    minutes = _whole(table, "hold_minutes", HOLD_MINUTES)
    return RolloutStep(position, 60 * minutes, _whole(table, "starts", STARTS))


def _challenges(value: Any) -> list[int]:
    ids = value if isinstance(value, list) else [value]
    if not all(type(each) is int and each >= 1 for each in ids):
        raise ValueError("challenges: write a list of ids, as [5, 7]")
    return ids


def _whole(table: Any, name: str, default: int) -> int:
    value = table.get(name, default)
    if type(value) is not int or value < 0:
        raise ValueError(f"{name}: write a whole number")
    return value
