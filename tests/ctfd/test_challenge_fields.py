"""A challenge's fields through CTFd's own API, and after an update of the plugin on SQLite."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from ctfd.conftest import MEMORY
from ctfd.site import Site
from engines.ctfd.challenge_table import TABLE

NEW = {
    "container_init": False,
    "container_shm_mb": 256,
    "container_no_new_privileges": "no",
    "container_disk_mb": "512",
    "container_flag_file": "/home/ctf/flag.txt",
    "container_flag_owner": "1000:1000",
}
STORED = {**NEW, "container_init": "no", "container_shm_mb": "256"}
COMPANION = '[[companions]]\nname = "db"\nimage = "simulated"\nreadiness = "tcp"\nport = 5432'


def test_a_plugin_that_is_updated_has_its_new_fields(ctfd: Path, tmp_path: Path) -> None:
    """CTFd itself runs no plugin's migrations on SQLite."""
    site = Site(tmp_path, plugins=MEMORY)
    try:
        before = site.challenge("Before", container_image="simulated")
        site.stop()
        with closing(sqlite3.connect(tmp_path / "ctfd.db")) as database:
            for column in NEW:
                database.execute(f"ALTER TABLE {TABLE} DROP COLUMN {column}")
        site.start()

        number = site.challenge("After", container_image="simulated", **NEW)
        with closing(sqlite3.connect(tmp_path / "ctfd.db")) as database:
            database.row_factory = sqlite3.Row
            rows = {row["id"]: dict(row) for row in database.execute(f"SELECT * FROM {TABLE}")}  # noqa: S608 - our own name
        assert {name: rows[number][name] for name in NEW} == STORED
        assert {rows[before][name] for name in NEW} == {None}
        assert site.change(number, container_companions=COMPANION)["success"]
        for wrong, said in (
            ({"container_disk_mb": "lots"}, "Disk: write a whole number"),
            ({"container_read_only": "yes"}, "Flag file: cannot be put on a root"),
            ({"container_companions": COMPANION.replace("tcp", "http")}, "readiness must be one"),
        ):
            answer = site.change(number, **wrong)
            assert not answer["success"], answer
            assert said in str(answer)
        site.player("alice")
        for each in (before, number):
            body = {"challenge_id": each}
            assert site.visitor("alice").json("POST", "/api/v1/container/start", body)["success"]
            assert site.visitor("alice").json("POST", "/api/v1/container/stop", body)["success"]
    finally:
        site.stop()
