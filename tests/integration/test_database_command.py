"""``whale-ready database`` as a process: it looks, it upgrades, and it tells no password."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from support.servers import MariaDB, PostgreSQL

from conformance.harnesses.guessed_tables import export_and_import
from engines.cre.owner import ids_at
from engines.state import schema
from engines.state.database import Database
from whale_ready.cli import main

PASSWORD = "s3cret/word"  # as it stands in a URL: s3cret%2Fword


def run(url: str, *arguments: str) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, "-m", "whale_ready", "database", *arguments],
        env={**os.environ, "CONTAINER_DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stdout


def set_version(url: str, version: str) -> None:
    database = Database(url)
    number = sa.column("version_num", sa.String)
    with database.write() as connection:
        connection.execute(
            sa.table(schema.VERSION_TABLE, number).update().values(version_num=version)
        )
    database.close()


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
def test_from_nothing_to_the_newest_on_a_server(request: pytest.FixtureRequest, kind: str) -> None:
    server: MariaDB | PostgreSQL = request.getfixturevalue(kind)
    url = server.create().replace("@", f":{PASSWORD.replace('/', '%2F')}@")
    if kind == "mariadb":  # whose root has no password
        url = url.replace("root:", "player:")
        admin = Database(server.admin_url)
        with admin.write() as connection:
            connection.exec_driver_sql(f"CREATE USER player IDENTIFIED BY '{PASSWORD}'")
            connection.exec_driver_sql("GRANT ALL ON *.* TO player")
        admin.close()
    code, said = run(url, "status")
    assert code == 1
    assert f"version: none, this program's is {schema.HEAD}\n" in said
    assert ":***@127.0.0.1" in said
    assert "s3cret" not in said
    code, said = run(url, "upgrade")
    assert (code, said.partition(":")[0]) == (0, f"upgraded from none to {schema.HEAD}")
    assert "s3cret" not in said
    with_all = run(url, "status")
    assert with_all[0] == 0
    assert "to do: nothing" in with_all[1]


def test_a_look_makes_no_file(tmp_path: Path) -> None:
    code, said = run(f"sqlite:///{tmp_path / 'folder' / 'state.db'}", "status")
    assert code == 1
    assert "to do: whale-ready database upgrade brings 0001, 0002" in said
    assert list(tmp_path.iterdir()) == []


def test_what_is_up_to_date_is_left_and_what_is_newer_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    database = Database(url)
    database.ensure_schema()
    database.close()
    assert run(url, "upgrade") == (0, f"nothing to do: the tables are of version {schema.HEAD}\n")
    set_version(url, "9999")
    code, said = run(url, "status")
    assert code == 1
    assert "version: 9999" in said
    assert "to do: upgrade whale-ready" in said
    code, said = run(url, "upgrade")
    assert code == 1
    assert "are of version 9999" in said
    assert "upgrade whale-ready; nothing was changed" in said


def test_after_an_import_the_status_tells_what_is_wrong_and_an_upgrade_puts_it_right(
    mariadb: MariaDB,
) -> None:
    """CTFd/CTFd#861, #2421, #636: after export and import the version alone says all is well."""
    url = mariadb.create()
    database = Database(url)
    database.ensure_schema()
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO cre_meta VALUES ('deployment', 'ours')")
    export_and_import(database)
    code, said = run(url, "status")
    assert code == 1
    assert "wrong: cre_instances is missing\n" in said
    assert "wrong: cre_meta has the primary key ['id'] in the place of ['key']\n" in said
    assert "to do: whale-ready database upgrade puts the tables right\n" in said
    code, said = run(url, "upgrade")
    assert code == 0
    assert "put right: cre_instances is missing\n" in said
    assert run(url, "status")[0] == 0
    with database.read() as connection:
        kept = connection.exec_driver_sql("SELECT * FROM cre_meta").all()
    assert [tuple(row) for row in kept] == [("deployment", "ours")]
    database.close()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "CONTAINER_DATABASE_URL: write an SQLAlchemy URL"),
        ("mysql+pymysql://u:s3cret@h:port/x", "CONTAINER_DATABASE_URL: write an SQLAlchemy URL"),
        ("nosuch://u:s3cret@h/x", "CONTAINER_DATABASE_URL: write an SQLAlchemy URL"),
        ("sqlite://", "CONTAINER_DATABASE_URL: an in-memory SQLite database"),
        ("sqlite:////dev/null/state.db", "CONTAINER_DATABASE_URL: /dev/null: "),
        ("mysql+pymysql://u:s3cret@127.0.0.1:9/x", "the database cannot be asked: (2003"),
    ],
)
def test_what_cannot_be_asked_is_said_without_the_password(url: str, reason: str) -> None:
    result = CliRunner().invoke(main, ["database", "upgrade"], env={"CONTAINER_DATABASE_URL": url})
    said = result.output
    assert (result.exit_code, said[: len("Error: ")]) == (3, "Error: ")
    assert reason in said
    assert "s3cret" not in said


def test_another_databases_containers_are_taken_over_by_its_id(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    code, said = run(url, "take-over", "0123456789ab")
    assert (code, said.partition(":")[0]) == (
        0,
        "what database 0123456789ab made is this one's now",
    )
    assert ids_at(url) >= {"0123456789ab"}
    for wrong in ("%", "0123456789ab' OR 1", "0123"):
        code, said = run(url, "take-over", wrong)
        assert code == 3
        assert "an ID is 12 characters" in said
    set_version(url, "9999")
    assert run(url, "take-over", "0123456789ab")[0] == 1


def test_an_unknown_command_could_not_run(tmp_path: Path) -> None:
    assert run(f"sqlite:///{tmp_path / 'state.db'}", "downgrade")[0] == 3
