"""CTFd's own export and import, into the same site, while it runs.

Sources: CTFd/CTFd#861, #2421, #636 (what plugins keep comes back damaged, or not at all).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from support.servers import MariaDB

from ctfd.conftest import MEMORY
from ctfd.site import Site, Visitor
from ctfd.test_rules_of_the_site import START
from engines.cre.owner import identity
from engines.ctfd.imports import BROKE_OFF, DONE
from engines.state.database import Database

SECONDS = 120.0


def wait_for(seen: Callable[[], Any]) -> Any:
    """What is seen at last; a process of CTFd's own gives no sign when it has ended."""
    until = time.monotonic() + SECONDS
    while not (found := seen()):
        assert time.monotonic() < until, seen
        time.sleep(0.2)
    return found


def status(visitor: Visitor, challenge: int) -> Any:
    return visitor.json("GET", f"/api/v1/container/status?challenge_id={challenge}")["data"]


def importing(folder: Path) -> bool:
    """Whether the process that imports into this site is there."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            said = path.read_bytes()
            if b"import_ctf" in said and str(folder).encode() in said:
                return True
    return False


def imported(site: Site, zipped: bytes) -> None:
    admin, earlier = site.admin, log_of(site).count(DONE)
    sent = admin.session.post(
        f"{site.url}/admin/import",
        files={"backup": ("backup.zip", zipped)},
        data={"nonce": admin.nonce},
        timeout=60,
    )
    assert sent.ok
    wait_for(lambda: log_of(site).count(DONE) > earlier or BROKE_OFF in log_of(site))
    assert BROKE_OFF not in log_of(site), site.said()
    wait_for(lambda: not importing(site.folder))


def log_of(site: Site) -> str:
    return site.log.read_text(errors="replace")


def test_an_import_into_a_running_site_keeps_what_runs_and_forgets_nothing(
    ctfd: Path, mariadb: MariaDB, tmp_path: Path
) -> None:
    url = mariadb.create()
    with ExitStack() as stack:
        site = Site(tmp_path, plugins=MEMORY, database_url=url)
        stack.callback(site.stop)
        database = Database(url)
        stack.callback(database.close)
        number = site.challenge("Web", container_image="simulated", container_memory_mb="64")
        for name in ("alice", "bob"):
            site.player(name)
        alice, bob = site.visitor("alice"), site.visitor("bob")
        runs = alice.json("POST", START, {"challenge_id": number})["data"]
        before = identity(database)
        zipped = site.admin.get("/admin/export").content
        assert bob.json("POST", START, {"challenge_id": number})["code"] == "ok"

        imported(site, zipped)
        assert database.schema_faults() == []
        assert identity(database) == before
        # The processes that ran on go on, and what ran at the time of the export is there.
        alice, bob = site.visitor("alice"), site.visitor("bob")
        assert status(alice, number)["container_id"] == runs["container_id"]
        repeated = alice.json("POST", START, {"challenge_id": number})
        assert repeated["code"] == "already_running"
        assert status(bob, number) is None
        # What was started after the export has no row any more: it is removed by its label.
        wait_for(lambda: "which no row knows" in log_of(site))
        again = bob.json("POST", START, {"challenge_id": number})
        assert again["code"] == "ok"
        with database.read() as connection:
            youngest = connection.execute(sa.text("SELECT max(id) FROM cre_instances")).scalar_one()
        # No number is given again, and CTFd's next import takes what it is now for an INT.
        assert 100_000_000 < youngest < 2**31

        # A table dropped by hand is there again after a restart, the challenges' own too.
        with database.write() as connection:
            for table in ("whale_ready_challenge", "cre_reservations"):
                connection.exec_driver_sql(f"DROP TABLE {table}")
        site.stop()
        site.start()
        assert database.schema_faults() == []
        with database.read() as connection:
            assert sa.inspect(connection).has_table("whale_ready_challenge")
