"""The process that is killed.

Children are forked from a server that has the imports already, so a kill costs no start of an
interpreter; connections are opened in the child alone.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection

import docker

from crash.boundaries import Boundaries, Boundary
from crash.operations import OPERATIONS
from crash.parts import Parts
from engines.clock import VirtualClock

OPERATION_SECONDS = 60.0

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        *("docker", "psycopg2", "pymysql", "pytest"),
        *("sqlalchemy.dialects.mysql", "sqlalchemy.dialects.postgresql"),
        *("engines.cre", "conformance.harnesses.cre_docker"),
    ]
)


@dataclass(frozen=True)
class Died:
    """How a child ended."""

    killed: bool
    passed: list[Boundary]
    """All boundaries of a child that was not killed, the last one of a child that was."""


def run(
    parts: Parts, moment: datetime, operation: str, users: Sequence[int], kill_at: int | None
) -> Died:
    """Carry out an operation in a child; ``kill_at`` is the boundary where it dies.

    Raises:
        AssertionError: the child failed by itself, or took longer than a minute.
    """
    here, there = _context.Pipe(duplex=False)
    child = _context.Process(
        target=_work, args=(parts, moment, operation, users, kill_at, there), daemon=True
    )
    child.start()
    there.close()
    try:
        if not here.poll(OPERATION_SECONDS):
            raise AssertionError(f"{operation}: nothing within {OPERATION_SECONDS:g} s")
        passed: list[Boundary] = here.recv()
        child.join(OPERATION_SECONDS)
    except EOFError:
        child.join(OPERATION_SECONDS)
        raise AssertionError(f"{operation} failed by itself; its error is on stderr") from None
    finally:
        child.kill()
        child.join()
        here.close()
    killed = child.exitcode == -signal.SIGKILL
    if not killed and child.exitcode != 0:
        raise AssertionError(f"{operation} ended with code {child.exitcode}")
    return Died(killed, passed)


def _work(
    parts: Parts,
    moment: datetime,
    operation: str,
    users: Sequence[int],
    kill_at: int | None,
    pipe: Connection,
) -> None:
    logging.disable(logging.WARNING)  # that something fails or is repaired is what is wanted here
    client = docker.from_env(timeout=60)
    boundaries = Boundaries(kill_at, lambda last: pipe.send([last]))
    with parts.engine(client, VirtualClock(moment)) as (engine, database):
        boundaries.watch_database(database.engine)
        boundaries.watch_docker(client)
        boundaries.watch_programs()
        chosen = OPERATIONS[operation]
        chosen.act(engine, users, chosen.challenge)
        passed = list(boundaries.passed)
    client.close()
    pipe.send(passed)
