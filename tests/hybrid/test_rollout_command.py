"""``whale-ready rollout``: what an organiser types, and what every process goes by then."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engines.clock import SystemClock
from engines.hybrid import DialStore, Position
from engines.hybrid.routes import RouteStore, Wanted
from engines.state.database import Database
from whale_ready.cli import main

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, database: Database) -> Run:
    monkeypatch.setenv("CONTAINER_DATABASE_URL", str(database.engine.url))
    monkeypatch.setenv("WHALE_API_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("USE_WHALE", raising=False)

    def call(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["rollout", *arguments])
        assert result.exit_code == code, result.output
        return result

    return call


@pytest.fixture
def store(database: Database) -> DialStore:
    return DialStore(database, SystemClock())


def test_from_one_challenge_to_all_and_back(run: Run, store: DialStore) -> None:
    said = run("challenge", "5", "on", "--who", "ann", "--why", "the easy one").output
    assert "the dial stands at as USE_WHALE says; challenges on: 5" in said
    assert "within 2 s" in said
    run("set", "10%", "--why", "so far so good")
    assert store.load().position == Position(1000, challenges={5: True})
    run("set", "100%")
    run("back", "--why", "slow")
    assert store.load().position == Position(1000, challenges={5: True})
    run("back")
    run("back")
    assert store.load().position.nothing
    assert "nothing to do" in run("set", "0%").output
    changes = store.changes()
    assert [change.action for change in changes[::-1]] == [
        *("challenge", "set", "set", "back", "back", "back"),
    ]
    assert (changes[-1].who, changes[-1].why) == ("ann", "the easy one")
    assert all(change.who for change in changes)


def test_a_whale_that_is_gone_for_good_is_forgotten(run: Run, store: DialStore) -> None:
    routes, now = RouteStore(store._database), SystemClock().now()
    hour = timedelta(hours=1)
    for user, backend, until in ((11, "whale", -hour), (12, "cre", -hour), (13, "whale", hour)):
        routes.claim(Wanted(f"user:{user}", 5, user, None, backend, 1, now + until))

    assert "pause` first" in run("forget", "--yes", code=3).output
    run("pause")
    assert CliRunner().invoke(main, ["rollout", "forget"], input="n\n").exit_code == 1
    assert len(routes.all()) == 3
    said = run("forget", "--yes", "--who", "ann", "--why", "its disk died").output

    assert "forgotten: challenge 5 of user:11\n" in said
    assert [route.user_id for route in routes.all()] == [12, 13], "13 is being started just now"
    told = store.changes()[0]
    assert (told.who, told.action, told.why) == ("ann", "forget", "its disk died")
    assert told.before == "challenge 5 of user:11"
    assert "forgotten: nothing" in run("forget", "--yes").output
    assert store.changes()[0] == told


def test_status_says_where_it_stands_and_who_turned_it(run: Run) -> None:
    assert "USE_WHALE here: false; the dial was never set" in run("status").output
    run("set", "10%", "--who", "ann", "--why", "the start")
    run("accounts", "5%")
    run("pause")
    said = run("status").output
    assert "dial: 10 % of challenges; 5 % of accounts  (paused)" in said
    assert "instances: none" in said
    assert "no starts on Whale since the last change" in said
    assert "too early to tell" in said
    assert "ann set: the start\n    as USE_WHALE says → 10 % of challenges" in said


def test_pause_resume_shadow_and_clear(run: Run, store: DialStore) -> None:
    run("set", "10%")
    run("pause")
    assert store.load().paused
    run("resume")
    run("shadow", "on")
    assert (store.load().paused, store.load().shadow) == (False, True)
    run("shadow", "off")
    run("challenge", "5", "off")
    run("challenge", "5", "clear")
    run("clear")
    assert store.load().position == Position()


def test_a_plan(run: Run, store: DialStore, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("[[step]]\nchallenges = [5]\n[[step]]\nchallenges = [5]\npercent = 50\n")
    assert "plan: step 1 of 2; the next after 30 minutes" in run("plan", str(plan)).output
    assert "plan: step 1 of 2" in run("status").output
    assert store.load().position == Position(0, challenges={5: True})
    plan.write_text("[[step]]\npercent = 500\n")
    assert "step 1: write a share" in run("plan", str(plan), code=3).output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("set", "ten"), "write a share from 0% to 100%"),
        (("set", "101%"), "write a share from 0% to 100%"),
        (("challenge", "0", "on"), "0 is not in the range"),
        (("challenge", "5", "maybe"), "'maybe' is not one of"),
        (("turn",), "No such command"),
    ],
)
def test_a_bad_option_is_told_and_changes_nothing(
    run: Run, store: DialStore, arguments: tuple[str, ...], says: str
) -> None:
    assert says in run(*arguments, code=3).output
    assert store.changes() == []


def test_a_database_that_cannot_be_had_tells_no_password(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "mysql+pymysql://ctfd:hunter2@127.0.0.1:9/ctfd"
    monkeypatch.setenv("CONTAINER_DATABASE_URL", url)
    said = run("status", code=3).output
    assert "the database cannot be asked" in said
    assert "hunter2" not in said


def test_without_whale_a_turn_is_made_with_a_note(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WHALE_API_URL")
    assert "note: WHALE_API_URL is not set here" in run("set", "10%").output


def test_what_the_catalogue_keeps_from_whale_is_said(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "challenges.toml"
    one = '[[challenge]]\nid = {}\nname = "A"\nimage = "a"\nwhale = {}\n'
    file.write_text(one.format(4, "false") + one.format(5, "true"))
    monkeypatch.setenv("CONTAINER_CHALLENGES_FILE", str(file))
    assert "never on Whale, by the catalogue: challenges 4\n" in run("status").output
    assert "Whale does not have challenge 4; it stays on CRE" in run("challenge", "4", "on").output
    assert "note:" not in run("challenge", "5", "on").output
    assert "note:" not in run("challenge", "4", "off").output
    file.write_text("[[challenge]]\nid = 0\n")
    said = run("status").output
    assert "note: the catalogue cannot be read here: challenges.toml: challenge 1" in said
    assert "dial: " in said


def test_the_help_teaches(run: Run) -> None:
    said = run("--help").output
    for command in ("challenge 5 on", "set 10%", "set 100%", "rollout back", "NEW instance"):
        assert command in said
