"""Our own side, the credentials in a file, and what is not checkable without being asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from preflight.stage import (
    ADMIN,
    ALICE,
    ALL_OK,
    ALL_WISHES,
    BOB,
    EVERY_ID,
    OWN,
    PROBE,
    TOKENS,
    UNSEEN,
    Setup,
    staged,
    states,
)
from support.loopback import free_port
from support.servers import MariaDB

from engines.audit import Action, ContainerEvent
from engines.clock import SystemClock
from engines.contract import Code
from engines.cre.runtimes.chosen import runtime_from
from engines.state.audit_log import AuditLog
from engines.state.database import Database
from engines.whale.manager import whale_instances
from fake_whale import User
from fake_whale.testing import WhalePlayer
from whale_ready.preflight import own
from whale_ready.preflight.checks import CHECKS, run
from whale_ready.preflight.items import Check, CheckFinding, ItemState, NotCheckable
from whale_ready.preflight.site import PreflightSite, Wishes

PASSWORD = "correct horse battery"


def tokens_file(folder: Path, text: str, mode: int = 0o600) -> dict[str, Any]:
    """Settings of a site whose credentials stand in a file; no database of CTFd's is read."""
    path = folder / "credentials.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return {"whale_tokens_file": path, "whale_ctfd_database_url": None}


def all_tokens(*left_out: int) -> str:
    lines = [f'"{user}" = "{token}"' for user, token in TOKENS.items() if user not in left_out]
    return "[tokens]\n" + "\n".join(lines) + "\n"


def ours(folder: Path) -> Database:
    return Database(f"sqlite:///{folder / 'state.db'}")


def statement(folder: Path, text: str) -> None:
    database = ours(folder)
    with database.write() as connection:
        connection.execute(sa.text(text))
    database.close()


AUDITS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no row can be written": (
        lambda folder: statement(
            folder,
            "CREATE TRIGGER no BEFORE INSERT ON container_events BEGIN "
            "SELECT RAISE(ABORT, 'no'); END",
        ),
        "cannot be written",
    ),
    "the tables are older": (
        lambda folder: statement(folder, "UPDATE whale_ready_schema SET version_num = '0001'"),
        "of version 0001, not",
    ),
    "there are no tables": (
        lambda folder: (folder / "state.db").write_bytes(b""),
        "of version none, not",
    ),
    "there is no file": (lambda folder: (folder / "state.db").unlink(), "no such SQLite file"),
}


@pytest.mark.parametrize("what", AUDITS)
def test_the_audit_log(what: str, tmp_path: Path) -> None:
    breaking, said = AUDITS[what]
    with staged(Setup(), tmp_path) as stage:
        breaking(tmp_path)
        items = stage.items()
    assert states(items, ItemState.NOT_OK) == {"audit"}
    assert states(items, ItemState.NOT_CHECKABLE) == UNSEEN
    assert said in items["audit"].evidence
    if what == "there is no file":
        assert not (tmp_path / "state.db").exists()


def test_a_preflight_leaves_no_row(tmp_path: Path) -> None:
    with staged(Setup(), tmp_path) as stage:
        assert stage.items()["audit"].state is ItemState.OK
    database = ours(tmp_path)
    assert AuditLog(database).events() == []
    database.close()


CREDENTIALS: dict[str, tuple[str, int, str]] = {
    # The file, its mode, and what is said.
    "others may read it": (all_tokens(), 0o644, "chmod 600"),
    "it is no TOML": ("ctfd_secret", 0o600, "is not TOML"),
    "too few for all players": (all_tokens(BOB), 0o600, "for 2 players, and 3 are"),
    "one for a player of ours is missing": (all_tokens(BOB), 0o600, "missing: users 12"),
    "a password is wrong": (
        all_tokens() + f'[logins]\n"{BOB + 3}" = {{ name = "carol", password = "wrong" }}\n',
        0o600,
        "refused: users 15",
    ),
}


@pytest.mark.parametrize("what", CREDENTIALS)
def test_the_file_of_credentials(what: str, tmp_path: Path) -> None:
    text, mode, said = CREDENTIALS[what]
    setup = Setup().with_user(User(BOB + 3, "carol", password=PASSWORD))
    with staged(setup, tmp_path) as stage:
        if "of ours" in what:
            record_a_start(tmp_path, BOB)
        items = stage.items(**tokens_file(tmp_path, text, mode))
    assert states(items, ItemState.NOT_OK) == {"credentials"}
    assert said in items["credentials"].evidence


def record_a_start(folder: Path, user_id: int) -> None:
    """A player who has had an instance on the own engine."""
    database = ours(folder)
    AuditLog(database).record(
        ContainerEvent(
            SystemClock().now(), "cre", user_id, None, 1, Action.STARTED, Code.OK, duration_ms=5
        )
    )
    database.close()


def test_what_our_own_worker_may_have_stopped_is_no_proof_of_whales_cleaner(tmp_path: Path) -> None:
    with staged(Setup(), tmp_path) as stage:
        (alices,) = stage.fake.state()["records"]
        row = {
            "account": f"user:{ALICE}",
            "challenge_id": 1,
            "slot": 0,
            "user_id": ALICE,
            "state": "running",
            "version": 1,
            "lease_until": SystemClock().now(),
            "flag": "",
            "container_id": alices["uuid"],
            "host": "",
            "ports": "[]",
            "extension_count": 0,
        }
        database = ours(tmp_path)
        with database.write() as connection:
            connection.execute(whale_instances.insert().values(row))
        database.close()
        items = stage.items()
    assert states(items, ItemState.NOT_CHECKABLE) == {"cleaner", *UNSEEN}


def test_there_are_no_credentials(tmp_path: Path) -> None:
    with staged(Setup(), tmp_path) as stage:
        items = stage.items(whale_ctfd_database_url=None)
    assert states(items, ItemState.NOT_OK) == {"credentials"}
    assert states(items, ItemState.OK) == {"reachable", "tls", "clock", "health", *OWN}


def test_the_database_of_ctfd_cannot_be_asked(tmp_path: Path) -> None:
    gone = tmp_path / "gone.db"
    with staged(Setup(), tmp_path) as stage:
        items = stage.items(whale_ctfd_database_url=f"sqlite:///{gone}")
    assert states(items, ItemState.NOT_OK) == {"credentials"}
    assert not gone.exists()


def test_who_has_no_token_yet_is_not_tried(tmp_path: Path) -> None:
    few = {user: token for user, token in TOKENS.items() if user != BOB}
    with staged(replace(Setup(), tokens=few), tmp_path) as stage:
        record_a_start(tmp_path, BOB)
        items = stage.items()
        engine = sa.create_engine(f"sqlite:///{tmp_path / 'ctfd.db'}", future=True)
        with engine.connect() as connection:
            rows = connection.execute(sa.text("SELECT COUNT(*) FROM tokens")).scalar()
        engine.dispose()
    assert states(items, ItemState.NOT_CHECKABLE) == {"credentials", *UNSEEN}
    assert "users 12 have no token yet" in items["credentials"].evidence
    assert rows == len(few), "a preflight made a token"


def test_tokens_for_more_players_than_there_are_are_not_tried(tmp_path: Path) -> None:
    setup = replace(Setup(), wishes=replace(ALL_WISHES, expected_players=4))
    with staged(setup, tmp_path) as stage:
        items = stage.items()
    assert states(items, ItemState.NOT_CHECKABLE) == {"credentials", *UNSEEN}


def test_a_page_in_ctfds_place_is_nobodys_refusal(tmp_path: Path) -> None:
    shield = {"kind": "html", "path": "/api/v1/users/me"}
    with staged(replace(Setup(), faults=[shield]), tmp_path) as stage:
        items = stage.items()
    assert states(items, ItemState.NOT_OK) == set()
    assert "not CTFd's own answer" in items["credentials"].evidence


def test_without_options_and_database_much_is_not_checkable_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    text = all_tokens(ALICE) + (
        f'[logins]\n"{ALICE}" = {{ name = "user{ALICE}", password = "{PASSWORD}" }}\n'
    )
    users = [
        replace(user, password=PASSWORD) if user.id == ALICE else user for user in ALL_OK.users
    ]
    setup = replace(Setup(), whale=replace(ALL_OK, users=users), wishes=Wishes())
    with staged(setup, tmp_path) as stage:
        before = len(stage.fake.journal())
        items = stage.items(**tokens_file(tmp_path, text))
        calls = [each for each in stage.fake.journal()[before:] if each["kind"] == "call"]
    assert states(items, ItemState.NOT_OK) == set()
    assert states(items, ItemState.OK) == {
        *("reachable", "tls", "clock", "health", "credentials", "dialect", "cleaner"),
        *("challenges-visible", *OWN),
    }
    writes = {(call["method"], call["path"]) for call in calls if call["method"] != "GET"}
    assert writes == {("POST", "/login")}
    assert all(item.fix for item in items.values() if item.state is ItemState.NOT_CHECKABLE)


def test_the_probe_alone_tells_time_out_and_renewals(tmp_path: Path) -> None:
    setup = replace(Setup(), wishes=Wishes(probe_account=PROBE))
    with staged(setup, tmp_path) as stage:
        items = stage.items(**tokens_file(tmp_path, all_tokens()))
        wrong = stage.items(
            **tokens_file(tmp_path, all_tokens()),
            whale_timeout_seconds=7200,
            cre_timeout_seconds=7200,
            whale_max_extensions=4,
            cre_max_extensions=4,
        )
    assert "a fresh instance had 3600 s" in items["time-out"].evidence
    assert "Whale took 5 renewals" in items["renewals"].evidence
    assert {items[each].state for each in ("time-out", "renewals")} == {ItemState.OK}
    assert states(wrong, ItemState.NOT_OK) == {"time-out", "renewals"}
    assert "Whale took 5 or more renewals" in wrong["renewals"].evidence


def test_an_admin_who_is_none(tmp_path: Path) -> None:
    setup = replace(Setup(), wishes=replace(ALL_WISHES, admin=BOB))
    with staged(setup, tmp_path) as stage:
        items = stage.items(**tokens_file(tmp_path, all_tokens(ADMIN)))
    assert "admin-list" in states(items, ItemState.NOT_OK)
    assert "user 12, named by --admin, is no admin" in items["version"].evidence


def test_a_check_that_fails_stops_no_other(tmp_path: Path) -> None:
    def fails(_site: object) -> CheckFinding:
        raise ZeroDivisionError("with a secret in it")

    broken = Check("broken", "Broken", fails, "nothing", "nothing")
    with staged(Setup(), tmp_path) as stage:
        site = stage.site()
        items = run(site, checks=(broken, *CHECKS))
        site.close()
    assert items[0].state is ItemState.NOT_CHECKABLE
    assert items[0].evidence == "the check itself failed (ZeroDivisionError)"
    assert {item.id for item in items if item.state is ItemState.OK} == EVERY_ID - UNSEEN


@pytest.mark.parametrize(
    ("level", "state"), [("REPEATABLE-READ", ItemState.NOT_OK), ("READ-COMMITTED", ItemState.OK)]
)
def test_the_database_servers_own_word(
    mariadb: MariaDB, level: str, state: ItemState, tmp_path: Path
) -> None:
    """MariaDB's default is the first. Nothing is started here."""
    url = mariadb.create()
    engine = sa.create_engine(url, future=True)
    with engine.connect() as connection:
        before = connection.execute(sa.text("SELECT @@GLOBAL.tx_isolation")).scalar()
        connection.execute(sa.text(f"SET GLOBAL tx_isolation = '{level}'"))
    try:
        with staged(replace(Setup(), wishes=Wishes()), tmp_path) as stage:
            item = stage.items(whale_ctfd_database_url=url)["isolation"]
    finally:
        with engine.connect() as connection:
            connection.execute(sa.text(f"SET GLOBAL tx_isolation = '{before}'"))
        engine.dispose()
    assert (item.state, item.evidence) == (state, f"the database server's default is {level}")


@pytest.mark.parametrize(
    ("there", "said"),
    [(True, "images that are not here: chal:1"), (False, "this site's Docker cannot be asked")],
    ids=["Docker answers", "no Docker"],
)
def test_the_own_engine_on_docker(
    docker_engine: str, there: bool, said: str, tmp_path: Path
) -> None:
    with staged(replace(Setup(), wishes=Wishes(), ending=False), tmp_path) as stage:
        site = stage.site(cre_docker_host="" if there else f"tcp://127.0.0.1:{free_port()}")
        site.runtime = runtime_from
        finding = own.fallback(site)
        site.close()
    assert (finding.state, said in finding.evidence) == (ItemState.NOT_OK, True), finding


def test_an_instance_that_lives_longer_than_we_think(tmp_path: Path) -> None:
    """What anybody's running instance shows, without an admin, a database or a probe."""
    setup = replace(Setup(), wishes=Wishes(), ending=False).with_config(docker_timeout="7200")
    with staged(setup, tmp_path) as stage:
        WhalePlayer(stage.url, TOKENS[BOB]).post(2)
        items = stage.items(**tokens_file(tmp_path, all_tokens()))
    assert states(items, ItemState.NOT_OK) == {"time-out"}
    assert "user 12's instance has 7200 s left" in items["time-out"].evidence


def test_a_failure_is_found_out_once(tmp_path: Path) -> None:
    """A probe that broke off must not be made again for the next item."""
    asked = []

    def fails(_site: PreflightSite) -> None:
        asked.append(1)
        raise NotCheckable("no")

    with staged(replace(Setup(), ending=False), tmp_path) as stage:
        site = stage.site()
        for _ in range(2):
            with pytest.raises(NotCheckable):
                site.fact(fails)
        site.close()
    assert asked == [1]
