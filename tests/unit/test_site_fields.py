"""The form of a challenge: what is typed becomes a ChallengeSpec, or the fix is named."""

from __future__ import annotations

import importlib.util
from dataclasses import fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from engines.catalog import ChallengeSpec, Port, Pull, Readiness, Transport, Visibility
from engines.ctfd.challenge_table import BORN, TABLE, complete_table
from engines.ctfd.fields import FIELDS, GROUPS, PREFIX, check, columns_in, spec_of, values_of
from engines.errors import CatalogError
from engines.state.database import Database

MIGRATIONS = Path(__file__).parents[2] / "engines" / "ctfd" / "plugin" / "migrations"
END = datetime(2026, 12, 1, 17, tzinfo=timezone.utc)


def spec(end: datetime | None = None, **typed: object) -> ChallengeSpec:
    form = {PREFIX + name: value for name, value in {"image": "web:1", **typed}.items()}
    return spec_of(5, "Web", Visibility.VISIBLE, columns_in(form), end)


def test_an_image_alone_gives_the_defaults() -> None:
    assert spec() == ChallengeSpec(5, "Web", "web:1")


def test_every_field_is_typed() -> None:
    found = spec(
        ports="8080, 53/udp",
        readiness="http",
        pull="missing",
        flag_prefix="ctf",
        host="play.example.org",
        timeout_seconds="1200",
        ends_at="2026-12-01T18:00:00+01:00",
        limit=50,
        warm="2",
        memory_mb="64",
        cpus="0.25",
        pids_limit="32",
        egress="yes",
        read_only=True,
        user="1000:1000",
        capabilities="NET_BIND_SERVICE, CHOWN",
        ulimits="nofile=2048\r\ncore = 0",
        command='serve --name "two words"',
        environment="A=1\nB=x=y",
        companions='[[companions]]\nname = "db"\nimage = "db:1"\nflag = true',
        nodes="node.labels.ctf==true",
        init="no",
        shm_mb="256",
        no_new_privileges="no",
        disk_mb=512,
        flag_owner="1000",
        ends_on_solve="yes",
    )
    assert found.ends_on_solve is True
    assert found.ports == (Port(8080), Port(53, Transport.UDP))
    assert (found.readiness, found.pull) == (Readiness.HTTP, Pull.MISSING)
    assert (found.timeout_seconds, found.limit, found.warm, found.memory_mb) == (1200, 50, 2, 64)
    assert found.ends_at == END
    assert (found.egress, found.read_only, found.cpus) == (True, True, 0.25)
    assert found.capabilities == ("NET_BIND_SERVICE", "CHOWN")
    assert found.ulimits == {"nofile": 2048, "core": 0}
    assert found.command == ("serve", "--name", "two words")
    assert found.environment == {"A": "1", "B": "x=y"}
    assert (found.companions[0].name, found.companions[0].flag) == ("db", True)
    assert found.nodes == ("node.labels.ctf==true",)
    assert (found.init, found.shm_mb, found.disk_mb) == (False, 256, 512)
    assert (found.no_new_privileges, found.may_gain_privileges) == (False, True)
    assert (found.flag_owner, spec(flag_file="/flag").flag_file) == ("1000", "/flag")


def test_what_is_said_of_privileges_may_be_nothing() -> None:
    assert spec(no_new_privileges="").no_new_privileges is None
    assert spec(no_new_privileges="yes", capabilities="SETUID, SETGID").no_new_privileges is True


@pytest.mark.parametrize(
    ("name", "typed", "fix"),
    [
        ("image", "", "Image: is empty; name the image"),
        ("memory_mb", "lots", "Memory: write a whole number"),
        ("memory_mb", "1", "Memory: must be a whole number from 6"),
        ("ports", "99999", "Ports: write ports with commas"),
        ("ports", "53/tpc", "Ports: write ports with commas"),
        ("ports", "53/udp", "must be a tcp port"),
        ("cpus", "none", "CPUs: write a number"),
        ("egress", "maybe", "Internet: write yes or no"),
        ("readiness", "soon", "Ready when: must be one of"),
        ("capabilities", "CAP_CHOWN?", "Capabilities: must be written as"),
        ("environment", "FLAG=mine", "Environment: FLAG is set by the engine"),
        ("environment", "no equals sign", "Environment: write one NAME=value per line"),
        ("command", 'say "hello', "Command: a quotation mark is not closed"),
        ("ends_at", "2026-12-01T18:00:00", "Ends at: write the time with its zone"),
        ("ends_at", "tomorrow", "Ends at: write a time with its zone"),
        ("companions", "name = 1", "Companions: write .*companions.* tables"),
        ("companions", "[[", "Companions: this is not TOML"),
        ("init", "maybe", "Init: write yes or no"),
        ("shm_mb", "0", "Shared memory: must be a whole number from 1"),
        ("disk_mb", "1 GB", "Disk: write a whole number"),
        ("no_new_privileges", "off", "No new privileges: write yes or no"),
        ("flag_file", "flag.txt", "Flag file: must be a path from the root"),
        ("flag_owner", "ctf", "Flag's owner: must be written as numbers"),
        ("image", ["a"], "Image: write a text"),
        ("command", "x" * 10_001, "Command: is longer than 10000 characters"),
    ],
)
def test_what_is_wrong_is_named_with_its_fix(name: str, typed: object, fix: str) -> None:
    with pytest.raises(CatalogError, match=fix) as caught:
        spec(**{name: typed})
    assert "this challenge" not in str(caught.value)


def test_what_is_not_ours_is_left_alone() -> None:
    assert columns_in({"name": "x", "container_id": "y", "container_image": " web:1 "}) == {
        "container_image": "web:1"
    }
    check({"container_image": "web:1", "container_ports": None})


AS_JSON = {
    "image": "web:1",
    "ports": [8080, "53/udp"],
    "memory_mb": 256,
    "cpus": 1.5,
    "egress": False,
    "read_only": True,
    "limit": None,
    "ends_on_solve": True,
    "ends_at": "2026-12-01T18:00:00+01:00",
    "command": ["serve", "--name", "two words", "it's"],
    "capabilities": ["CHOWN", "NET_RAW"],
    "ulimits": {"nofile": 2048},
    "environment": {"A": "1", "B": "x=y z"},
    "companions": [
        {
            "name": "db",
            "image": "db:1",
            "flag": True,
            "memory_mb": 64,
            "command": ["run", 'a "quoted" \\ word', "\u007f\u00e9\U0001f40b"],
            "environment": {"odd name": "two\nlines"},
        },
        {"name": "cache", "image": "cache:1"},
    ],
    "nodes": ["node.labels.ctf==true"],
}


def test_a_program_writes_fields_as_json_and_reads_the_same_again() -> None:
    """phannhat17/CTFd-Docker-Plugin#7: ctfcli and scripts send numbers, nulls and lists."""
    sent = {PREFIX + name: value for name, value in AS_JSON.items()}
    columns = columns_in(sent)
    check(columns)
    shown = values_of(columns)
    assert {name: shown[name] for name in sent} == sent
    assert columns_in(shown) == columns_in(shown | sent)
    found = spec(**AS_JSON)
    assert found.command == ("serve", "--name", "two words", "it's")
    assert found.companions[0].command[2] == "\u007f\u00e9\U0001f40b"
    assert found.companions[0].environment == {"odd name": "two\nlines"}
    assert (found.limit, found.ends_on_solve, found.environment["B"]) == (None, True, "x=y z")


def test_what_a_table_holds_already_is_shown_even_where_it_is_wrong() -> None:
    assert values_of({"container_memory_mb": "lots"})["container_memory_mb"] == "lots"
    assert values_of({})["container_ports"] is None
    assert values_of({"container_ends_on_solve": "site"})["container_ends_on_solve"] is None


@pytest.mark.parametrize(
    ("name", "sent", "fix"),
    [
        ("ports", [[80]], "Ports: write a list of texts"),
        ("ports", {"80": 80}, "Ports: write a list of texts"),
        ("memory_mb", [1], "Memory: write a text"),
        ("environment", ["A=1"], "Environment: write an object"),
        ("environment", {"A": "1\n2"}, "Environment: values are texts of one line"),
        ("environment", {"A=B": "1"}, "Environment: write an object"),
        ("environment", {"A": None}, "Environment: values are texts of one line"),
        ("companions", [{"name": None}], "Companions: leave out what has no value"),
        ("companions", {"name": "db"}, "Companions: write a list of objects"),
        ("egress", "maybe", "Internet: write yes or no"),
    ],
)
def test_json_that_no_field_takes_is_named_with_its_fix(name: str, sent: object, fix: str) -> None:
    with pytest.raises(CatalogError, match=fix):
        spec(**{name: sent})


def test_the_contests_end_comes_first() -> None:
    assert spec(END).ends_at == END
    assert spec(END, ends_at="2026-11-01T00:00:00+00:00").ends_at < END  # type: ignore[operator] # it has one
    assert spec(END, ends_at="2027-01-01T00:00:00+00:00").ends_at == END


def test_every_field_of_a_challenge_can_be_typed() -> None:
    # Whale's own table says what Whale has, and the dial has a flag for each challenge.
    from_ctfd = {"id", "name", "visibility", "whale"}
    assert {field.name for field in FIELDS} == {
        field.name for field in fields(ChallengeSpec)
    } - from_ctfd
    assert {field.group for field in FIELDS} == set(GROUPS)


def test_the_first_choice_is_the_default() -> None:
    plain = spec()
    for field in FIELDS:
        if field.choices:
            default = getattr(plain, field.name)
            assert field.parse(field.choices[0]) in (default, getattr(default, "value", default))


def test_what_gives_something_away_says_so() -> None:
    assert {field.name for field in FIELDS if field.warning} == {"no_new_privileges"}


def test_a_table_of_an_older_version_gets_the_columns_that_came_after_it(
    any_database: Database,
) -> None:
    """CTFd runs no plugin's migrations on SQLite, and an import may bring an old table back."""
    engine = any_database.engine
    metadata = sa.MetaData()
    sa.Table("challenges", metadata, sa.Column("id", sa.Integer, primary_key=True))
    metadata.create_all(engine)
    first = migration()
    with engine.begin() as connection:
        first.upgrade(Operations(MigrationContext.configure(connection)))
        connection.execute(sa.text("INSERT INTO challenges (id) VALUES (5), (6)"))
        old = "INSERT INTO whale_ready_challenge (id, container_image) VALUES (5, 'web:1'), (6, '')"
        connection.execute(sa.text(old))
    words = []
    for _ in range(2):  # as after a crash in its middle
        complete_table(engine)
        with engine.connect() as connection:
            found = connection.execute(
                sa.select(sa.column(BORN)).select_from(sa.table(TABLE)).order_by(sa.column("id"))
            )
            words.append(list(found.scalars()))
    assert words[0] == words[1]
    assert len({*words[0]} - {None, ""}) == 2
    columns = {column["name"] for column in sa.inspect(engine).get_columns(TABLE)}
    assert columns == {"id", BORN, *(field.column for field in FIELDS)}
    assert {PREFIX + name for name in first.COLUMNS} < columns
    with engine.connect() as connection:
        query = sa.text("SELECT * FROM whale_ready_challenge WHERE id = 5")
        row = connection.execute(query).mappings().one()
    columns_read = {name: value for name, value in row.items() if name not in ("id", BORN)}
    assert spec_of(5, "Web", Visibility.VISIBLE, columns_read) == ChallengeSpec(5, "Web", "web:1")


def migration() -> Any:
    path = MIGRATIONS / "wr0001_challenge_table.py"
    found = importlib.util.spec_from_file_location("migration", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
