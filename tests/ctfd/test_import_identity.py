"""Whose instances and flags are, after a backup took the place of what was: nobody gets another's.

On MariaDB CTFd's own export and import, users and teams; on SQLite, where CTFd refuses to import, a
copy of the file. Numbers are given again in between. Sources: CTFd/CTFd#861, #2421, #636, #1386.
"""

from __future__ import annotations

import io
import json
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ctfd.conftest import MEMORY
from ctfd.site import ROOT, Site
from ctfd.test_identity import Player, World, until
from ctfd.test_import import imported, log_of, wait_for
from engines.ctfd.imports import BROKE_OFF

Tables = dict[str, list[dict[str, Any]]]
Edit = Callable[[Tables], None]


def edited(zipped: bytes, edit: Edit) -> bytes:
    """An export, its tables changed."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(zipped)) as given, zipfile.ZipFile(made, "w") as written:
        found = {name: given.read(name) for name in given.namelist()}
        whole = {
            name[3:-5]: json.loads(text)
            for name, text in found.items()
            if name.startswith("db/") and text
        }
        tables = {name: each["results"] for name, each in whole.items()}
        edit(tables)
        for name, text in found.items():
            table = name[3:-5]
            if table in whole:
                rows = {**whole[table], "results": tables[table], "count": len(tables[table])}
                text = json.dumps(rows).encode()
            written.writestr(name, text)
    return made.getvalue()


class Backups(World):
    """A site that can be put back to what it was, changed by hand or not."""

    def export(self) -> bytes:
        return self.site.admin.get("/admin/export").content

    def backup(self) -> bytes:
        return self.export()

    def restore(self, backup: bytes, edit: Edit) -> None:
        imported(self.site, edited(backup, edit))
        assert self.database.schema_faults() == []
        del self.site._admin

    def again(self, name: str, player: Player) -> Player:
        return Player(self.site.visitor(name), player.user, player.account)

    def container(self, player: Player, challenge: int) -> str | None:
        path = f"/api/v1/container/status?challenge_id={challenge}"
        data = player.visitor.json("GET", path)["data"]
        return str(data["container_id"]) if data and data["active"] else None

    def flag_of(self, player: Player, challenge: int) -> str:
        query = "SELECT flag FROM cre_instances WHERE user_id = :u AND challenge_id = :n"
        [(flag,)] = self.execute(query, u=player.user, n=challenge)
        return str(flag)

    def orphaned(self, challenge: int) -> list[str]:
        found = [each for each in self.history(challenge) if each["action"] == "orphaned"]
        return [each["metadata"]["reason"] for each in found]


class SQLiteBackups(Backups):
    """The file is copied over the one in use, as a restored disk would have it."""

    def backup(self) -> bytes:
        copied = self.site.folder / "copy.db"
        self._copy(self.site.folder / "ctfd.db", copied)
        return copied.read_bytes()

    def restore(self, backup: bytes, edit: Edit) -> None:
        copied = self.site.folder / "back.db"
        copied.write_bytes(backup)
        with closing(sqlite3.connect(copied)) as file:
            file.row_factory = sqlite3.Row
            names = ("users", "teams", "challenges", "cre_meta")
            tables = {
                name: [dict(row) for row in file.execute(f"SELECT * FROM {name}")]  # noqa: S608 - CTFd's own names
                for name in names
            }
            edit(tables)
            for name, rows in tables.items():
                file.execute(f"DELETE FROM {name}")  # noqa: S608 - the same
                for row in rows:
                    marks = ", ".join("?" for _ in row)
                    columns = ", ".join(f'"{each}"' for each in row)
                    insert = f"INSERT INTO {name} ({columns}) VALUES ({marks})"  # noqa: S608 - the same
                    file.execute(insert, tuple(row.values()))
            file.commit()
        self._copy(copied, self.site.folder / "ctfd.db")
        del self.site._admin

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        with (
            closing(sqlite3.connect(source, timeout=30)) as given,
            closing(sqlite3.connect(target, timeout=30)) as made,
        ):
            given.backup(made)


KINDS = [("mariadb", True), ("sqlite", False)]


@pytest.fixture(params=KINDS, ids=[f"{kind}-{'teams' if t else 'users'}" for kind, t in KINDS])
def world(ctfd: Path, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backups]:
    kind, teams = request.param
    url = request.getfixturevalue("mariadb").create() if kind == "mariadb" else ""
    site = Site(tmp_path, teams=teams, plugins=MEMORY, database_url=url)
    found = (Backups if url else SQLiteBackups)(site, teams)
    yield found
    found.database.close()
    site.stop()


def test_nobody_is_given_anothers(world: Backups) -> None:
    accounts = "teams" if world.teams else "users"
    web, other, pwn = world.challenge(), world.challenge(), world.challenge()
    alice, bob, eve, dave = (world.player() for _ in range(4))
    alice_name, bob_name, dave_name = (f"p{number}" for number in (3, 4, 6))
    assert all(each.start(web) == "ok" for each in (alice, eve, dave))
    assert bob.start(pwn) == "ok"
    runs, flag = world.container(alice, web), world.flag_of(alice, web)
    backup = world.backup()

    # What came after it: two numbers are others' now, who have instances of their own.
    world.delete_account(dave)
    mallory = world.player()
    assert mallory.account == dave.account
    assert mallory.start(web) == "ok"
    of_mallory = world.container(mallory, web), world.flag_of(mallory, web)
    assert world.site.admin.json("DELETE", f"/api/v1/challenges/{pwn}")["success"]
    world.give_again("challenges")
    assert world.challenge() == pwn
    assert bob.start(pwn) == "ok"
    of_new_pwn = world.container(bob, pwn), world.flag_of(bob, pwn)

    def without_eve(tables: Tables) -> None:
        tables[accounts] = [row for row in tables[accounts] if row["id"] != eve.account]
        for user in tables["users"]:
            if world.teams and user["team_id"] == eve.account:
                user["team_id"] = None

    world.restore(backup, without_eve)
    alice, bob = world.again(alice_name, alice), world.again(bob_name, bob)
    dave = world.again(dave_name, dave)
    assert world.container(alice, web) == runs
    assert world.container(dave, web) != of_mallory[0]
    assert world.container(bob, pwn) != of_new_pwn[0]
    assert dave.submit(web, of_mallory[1])[0] != "correct"
    assert bob.submit(pwn, of_new_pwn[1])[0] != "correct"
    until(lambda: world.container(dave, web) is None)
    until(lambda: world.container(bob, pwn) is None)
    for player, challenge, strange in ((dave, web, of_mallory), (bob, pwn, of_new_pwn)):
        assert player.start(challenge) == "ok"
        assert world.container(player, challenge) != strange[0]
        mine = world.flag_of(player, challenge)
        assert mine != strange[1]
        assert player.submit(challenge, strange[1])[0] != "correct"
        assert player.submit(challenge, mine)[0] == "correct"
    assert alice.submit(web, flag)[0] == "correct"
    until(lambda: eve.user not in {each["user_id"] for each in world.live()})
    assert world.orphaned(web) == ["its account is gone"]
    newcomer = world.player()
    assert newcomer.start(other) == "ok"
    assert newcomer.submit(other, world.flag_of(newcomer, other))[0] == "correct"

    # And the export of a rehearsal: its accounts have the numbers and the names of these.
    def of_a_rehearsal(tables: Tables) -> None:
        for row in tables["cre_meta"]:
            if row["key"] == "database":
                row["value"] = "0123456789ab"
        for row in [*tables["users"], *tables.get("teams", [])]:
            made = datetime.fromisoformat(row["created"]) - timedelta(days=1)
            row["created"] = made.isoformat(sep=row["created"][10])

    mine = world.container(alice, web), world.flag_of(alice, web)
    world.restore(world.backup(), of_a_rehearsal)
    alice = world.again(alice_name, alice)
    assert world.container(alice, web) is None
    until(lambda: world.live() == [])
    assert alice.start(web) in ("ok", "already_solved")
    assert world.container(alice, web) != mine[0]
    # CTFd's import is a child of the gevent worker, whose own complaint about that is not ours.
    assert f'File "{ROOT}/engines' not in log_of(world.site)


def test_on_sqlite_a_refused_import_changes_nothing(teams_site: Site) -> None:
    """CTFd/CTFd#1988."""
    world = SQLiteBackups(teams_site, True)
    number, player = world.challenge(), world.player()
    assert player.start(number) == "ok"
    runs = world.container(player, number)
    admin = teams_site.admin
    admin.session.post(
        f"{teams_site.url}/admin/import",
        files={"backup": ("backup.zip", world.export())},
        data={"nonce": admin.nonce},
        timeout=60,
    )
    wait_for(lambda: BROKE_OFF in log_of(teams_site))
    assert world.container(player, number) == runs
    assert player.submit(number, world.flag_of(player, number))[0] == "correct"
    assert player.stop(number) == "ok"
    world.database.close()
