"""Ends many instances at once: of a challenge, of an account, or all, on whatever backend they are.

It goes by what is on record, so that it also meets instances that are just starting; those say
that they are busy and are left for the next call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from engines.audit import with_detail
from engines.contract import ActionResult, Code, ContainerBackend
from engines.errors import BackendUnavailable
from engines.state.database import Database
from engines.state.figures import INSTANCE_TABLES

AT_ONCE = 4
"""Instances that one call ends at a time."""

_GONE = (Code.OK, Code.NOT_FOUND)


@dataclass(frozen=True)
class InstanceSelection:
    """Which instances; with nothing given all of them, with several what fits them all."""

    challenge_id: int | None = None
    user_id: int | None = None
    """Of whom started it, alone or for a team."""
    team_id: int | None = None

    def __str__(self) -> str:
        named = [
            f"{word} {number}"
            for word, number in (
                ("challenge", self.challenge_id),
                ("user", self.user_id),
                ("team", self.team_id),
            )
            if number is not None
        ]
        return f"all instances of {', '.join(named)}" if named else "all instances"


@dataclass(frozen=True, order=True)
class Chosen:
    """An instance on record, by what the four calls know it by."""

    user_id: int
    challenge_id: int
    team_id: int | None


@dataclass(frozen=True)
class Failure:
    """One that could not be ended now."""

    which: Chosen
    code: Code


@dataclass(frozen=True)
class EndingResult:
    """What became of a call; ``left`` were not tried for want of time."""

    ended: int
    failed: tuple[Failure, ...]
    left: int


def chosen(database: Database, selection: InstanceSelection) -> list[Chosen]:
    """Every instance on record that is meant, the oldest first.

    Raises:
        BackendUnavailable: the database cannot be read.
    """
    try:
        with database.read() as connection:
            return [
                Chosen(row.user_id, row.challenge_id, row.team_id)
                for name in INSTANCE_TABLES.values()
                for row in connection.execute(_query(name, selection))
            ]
    except SQLAlchemyError as error:
        raise BackendUnavailable("the state database cannot be read") from error


def end_all(
    backend: ContainerBackend,
    instances: list[Chosen],
    because: str,
    *,
    seconds: float | None = None,
    told: Callable[[Chosen, Code], None] | None = None,
) -> EndingResult:
    """Stop these instances, some at a time.

    Args:
        because: why, for the events of the audit log.
        seconds: none is begun after so many; None for as long as it takes.
        told: is called after each, from the thread that ended it.
    """
    until = None if seconds is None else time.monotonic() + seconds
    results: list[tuple[Chosen, Code]] = []

    def end(which: Chosen) -> None:
        if until is not None and time.monotonic() >= until:
            return
        with with_detail(reason=because):
            result: ActionResult = backend.stop_instance(
                which.user_id, which.challenge_id, which.team_id
            )
        results.append((which, result.code))
        if told is not None:
            told(which, result.code)

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="end-all") as threads:
        # Each in a copy of its own of what the audit log is to say besides, such as who did it.
        list(threads.map(lambda each: each[0].run(end, each[1]), _with_context(instances)))
    failed = sorted((Failure(*each) for each in results if each[1] not in _GONE), key=_order)
    return EndingResult(len(results) - len(failed), tuple(failed), len(instances) - len(results))


def _with_context(instances: list[Chosen]) -> Iterator[tuple[Any, Chosen]]:
    for instance in instances:
        yield copy_context(), instance


def _order(failure: Failure) -> tuple[int, int]:
    return failure.which.challenge_id, failure.which.user_id


def _query(name: str, selection: InstanceSelection) -> Any:
    table = sa.table(
        name,
        sa.column("id"),
        sa.column("user_id", sa.BigInteger),
        sa.column("challenge_id", sa.BigInteger),
        sa.column("team_id", sa.BigInteger),
    )
    query = sa.select(table).order_by(table.c.id)
    for column, wanted in (
        (table.c.challenge_id, selection.challenge_id),
        (table.c.user_id, selection.user_id),
        (table.c.team_id, selection.team_id),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    return query
