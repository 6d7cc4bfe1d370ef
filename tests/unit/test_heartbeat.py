"""Who works on a row keeps it, however long it takes; who dies loses it within seconds.

CTFd/CTFd#468, pwncollege/dojo#186: gunicorn kills a worker whose start takes too long.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa

from engines.catalog import ChallengeSpec, StaticCatalog
from engines.clock import SystemClock, VirtualClock
from engines.contract import Code
from engines.cre.runtimes.base import Launch, Launched
from engines.cre.runtimes.memory import MemoryRuntime
from engines.cre.tables import cre_instances
from engines.factory import Overrides, build
from engines.heartbeat import LAPSE_SECONDS, Heartbeat
from engines.hybrid import HybridBackend
from engines.hybrid.routes import routes
from engines.probe import wait_until
from engines.settings import Settings
from engines.state.database import Database

PATIENCE_SECONDS = 30.0
SPECS = [ChallengeSpec(id=number, name=str(number), image="a") for number in (1, 2)]
AT_WORK = """
import sys, threading
sys.path[:0] = sys.argv[2:]
from unit.test_heartbeat import Endless, backend
from engines.clock import SystemClock
from engines.state.database import Database
database = Database(sys.argv[1])
backend(database, SystemClock(), Endless()).start_instance(1, 1)
"""


class Endless(MemoryRuntime):
    """Says that a start has come to its container, and never makes it."""

    def launch(self, launch: Launch) -> Launched:
        sys.stdout.write("at work\n")
        sys.stdout.flush()
        threading.Event().wait()
        raise AssertionError


def backend(
    database: Database, clock: SystemClock | VirtualClock, runtime: MemoryRuntime
) -> HybridBackend:
    """As a site has it: routes before the engine."""
    ingredients = Overrides(
        catalog=StaticCatalog(SPECS), database=database, runtime=runtime, clock=clock
    )
    return build(replace(Settings(), cre_deployment="test"), ingredients)


@pytest.fixture
def killed(database: Database) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of a start."""
    database.ensure_schema()
    folders = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    command = [sys.executable, "-c", AT_WORK, str(database.engine.url), *folders]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        yield process
        process.kill()


def leases(database: Database) -> list[datetime]:
    with database.read() as connection:
        return [
            connection.execute(sa.select(table.c.lease_until)).scalar_one()
            for table in (cre_instances, routes)
        ]


def test_a_start_at_work_keeps_its_row_and_a_killed_one_loses_it_within_seconds(
    database: Database, killed: subprocess.Popen[str]
) -> None:
    first = leases(database)
    assert wait_until(
        lambda _timeout: all(now > then for now, then in zip(leases(database), first, strict=True)),
        PATIENCE_SECONDS,
    ), "the leases of a start at work are not prolonged"
    clock = VirtualClock(datetime.now(timezone.utc))
    other = backend(database, clock, MemoryRuntime())
    assert other.start_instance(1, 1).code is Code.BUSY
    killed.kill()
    killed.wait()
    clock.advance(LAPSE_SECONDS + 1)
    result = other.start_instance(1, 2)
    assert result.ok, f"another challenge, after its account's process died: {result}"
    other.close()


def test_a_row_is_prolonged_to_the_agreed_moment_and_only_in_its_version(
    database: Database,
) -> None:
    database.ensure_schema()
    clock = VirtualClock()
    with database.write() as connection:
        for number, version in ((1, 1), (2, 7)):
            connection.execute(
                routes.insert().values(
                    id=number,
                    account=f"user:{number}",
                    challenge_id=1,
                    slot=0,
                    user_id=number,
                    backend="cre",
                    state="starting",
                    version=version,
                    lease_until=clock.now(),
                )
            )

    def until() -> dict[int, timedelta]:
        with database.read() as connection:
            rows = connection.execute(sa.select(routes.c.id, routes.c.lease_until))
            return {number: ends - clock.now() for number, ends in rows}

    heart = Heartbeat(database, clock, routes, lapse=15, beat=0.01)
    assert heart.lease(timedelta(seconds=100)) == timedelta(seconds=15)
    assert heart.lease(timedelta(seconds=2)) == timedelta(seconds=2)
    with heart.kept(1, 1, timedelta(seconds=20)), heart.kept(2, 6, timedelta(seconds=20)):
        assert wait_until(lambda _: until()[1] == timedelta(seconds=15), PATIENCE_SECONDS)
        clock.advance(10)
        assert wait_until(lambda _: until()[1] == timedelta(seconds=10), PATIENCE_SECONDS)
        clock.advance(100)
    assert until()[1] == timedelta(seconds=-90), "prolonged beyond the agreed moment"
    assert until()[2] == timedelta(seconds=-110), "another's version"
    assert wait_until(lambda _: heart._thread is None, PATIENCE_SECONDS), "it beats for nobody"


def test_no_thread_outlives_the_backend(database: Database) -> None:
    before = set(threading.enumerate())
    site = backend(database, SystemClock(), MemoryRuntime(images={"a"}))
    assert site.start_instance(1, 1).code is Code.OK
    site.close()
    left = [each.name for each in set(threading.enumerate()) - before]
    assert "heartbeat" not in left
