"""The judge itself: recorded sessions match, tampered ones do not, new ones can be made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fake_whale import FakeWhale, FakeWhaleError, VirtualEpochClock, WhaleWorld
from fake_whale.cli import main
from fake_whale.sessions.actors import Browser, TooManyLogins
from fake_whale.sessions.fidelity_doc import BEGIN, END, drops, write_table
from fake_whale.sessions.recorder import RecordedWhale, record
from fake_whale.sessions.recording import Auth, RecordedSession, parse_sessions, read_sessions
from fake_whale.sessions.verify import verify
from fake_whale.whale.database import InstanceTable, Record

DATA = Path(__file__).parent / "data"
BARE_STEP = {"wait": 0, "actor": "x", "method": "GET", "status": 200}
SESSIONS = DATA / "whale-sessions.jsonl"


@pytest.fixture(scope="module")
def sessions() -> list[RecordedSession]:
    return read_sessions(SESSIONS)


def named(sessions: list[RecordedSession], name: str) -> RecordedSession:
    return next(session for session in sessions if session.id == name)


def test_every_recorded_step_matches(world: WhaleWorld, sessions: list[RecordedSession]) -> None:
    fidelity = verify(world, sessions)
    assert fidelity.sessions == 67
    assert fidelity.differences == []
    assert fidelity.overall.matched == fidelity.overall.total > 800
    assert all(tally.total for tally in fidelity.sections.values())


def test_a_wrong_answer_is_seen(world: WhaleWorld, sessions: list[RecordedSession]) -> None:
    life = named(sessions, "b0-life-alice")
    steps = list(life.steps)
    steps[4] = replace(steps[4], answer=replace(steps[4].answer, status=403))
    fidelity = verify(world, [replace(life, steps=tuple(steps))])
    (difference,) = fidelity.differences
    assert (difference.step, difference.limit) == (4, None)
    assert not fidelity.good
    assert "b0-life-alice step 4" in str(difference)


def test_two_seconds_of_remaining_time_are_a_difference(
    world: WhaleWorld, sessions: list[RecordedSession]
) -> None:
    life = named(sessions, "b0-life-alice")
    steps = list(life.steps)
    body = steps[1].answer.body
    later = {**body, "data": {**body["data"], "remaining_time": body["data"]["remaining_time"] + 2}}
    steps[1] = replace(steps[1], answer=replace(steps[1].answer, body=later))
    assert len(verify(world, [replace(life, steps=tuple(steps))]).differences) == 1


def test_a_step_on_the_locks_edge_is_named(
    world: WhaleWorld, sessions: list[RecordedSession]
) -> None:
    """8 s after the lock was left, a 1.95 s wait is a matter of milliseconds."""
    text = (DATA / "whale-sessions.jsonl").read_text(encoding="utf-8").splitlines()[0]
    row = json.loads(text)
    step = {**row["steps"][2], "actor": "p09", "auth": "token", "wait": 0.0, "csrf": "ok"}
    missing = {"success": False, "message": "Instance not found."}
    refused = {"success": False, "message": "Request Too Fast!"}
    row["steps"] = [
        {**step, "method": "PATCH", "status": 403, "body": missing},
        {**step, "method": "POST", "wait": 8.3, "status": 403, "body": refused},
    ]
    fidelity = verify(world, parse_sessions([json.dumps(row)], "here"))
    (difference,) = fidelity.differences
    assert difference.limit == "10 s lock"
    assert fidelity.overall.either_way == 1
    assert not fidelity.good  # half of all steps is more than may be excused


def slow(*steps: dict[str, object]) -> RecordedSession:
    """Alice's session on a machine so busy that answers took seconds."""
    common = {"actor": "alice", "challenge_id": "1", "json": True, "csrf": "ok", "login": 1}
    plain = {"status": 200, "content_type": "application/json", "location": None, "auth": "token"}
    rows = [{**common, **plain, **step} for step in steps]
    (session,) = parse_sessions([json.dumps({"id": "slow", "steps": rows})], "here")
    return session


STARTED = {"success": True, "message": "Container created"}


def running(remaining: int) -> dict[str, object]:
    url = "http://<uuid-1>.127.0.0.1.nip.io:8080/"
    access = f'<a target="_blank" href="{url}">Link to the Challenge</a>'
    data = {"lan_domain": "2-<uuid-1>", "user_access": access, "remaining_time": remaining}
    return {"success": True, "data": data}


@pytest.mark.parametrize("remaining", [3574, 3576, 3580, 3581])
def test_the_clock_moves_by_what_an_answer_took(world: WhaleWorld, remaining: int) -> None:
    """Started at some moment of four seconds, and asked in one of two, twenty seconds later."""
    post = {"wait": 0, "took": 4.0, "method": "POST", "body": STARTED}
    get = {"wait": 20, "took": 2.0, "method": "GET", "body": running(remaining)}
    fidelity = verify(world, [slow(post, get)])
    assert fidelity.differences == []
    assert fidelity.overall.matched == 2


@pytest.mark.parametrize("remaining", [3570, 3585])
def test_what_an_answer_took_excuses_no_more_than_that(world: WhaleWorld, remaining: int) -> None:
    post = {"wait": 0, "took": 4.0, "method": "POST", "body": STARTED}
    get = {"wait": 20, "took": 2.0, "method": "GET", "body": running(remaining)}
    (difference,) = verify(world, [slow(post, get)]).differences
    assert (difference.step, difference.limit) == (1, None)


def test_a_limit_is_over_by_the_time_that_answers_took(world: WhaleWorld) -> None:
    session = {"auth": "session"}
    post = {**session, "wait": 0, "took": 30.0, "method": "POST", "body": STARTED}
    renewed = {"success": True, "message": "Container Renewed"}
    patch = {**session, "wait": 45, "took": 0.03, "method": "PATCH", "body": renewed}
    fidelity = verify(world, [slow(post, patch)])
    assert fidelity.differences == []


def test_a_limit_that_may_be_over_is_named(world: WhaleWorld) -> None:
    """The window opened at some moment of thirty seconds, and the next write came 50 s after."""
    session = {"auth": "session"}
    post = {**session, "wait": 0, "took": 30.0, "method": "POST", "body": STARTED}
    message = "Frequency limit, You should wait at least 1 min."
    refused = {"status": 403, "body": {"success": False, "message": message}}
    patch = {**session, "wait": 50, "took": 0.03, "method": "PATCH", **refused}
    (difference,) = verify(world, [slow(post, patch)]).differences
    assert difference.limit == "60 s window"


@pytest.mark.parametrize("gone_after", [1, 4, 8])
def test_the_beat_of_the_recordings_cleaner_is_found(world: WhaleWorld, gone_after: int) -> None:
    """The container expires after 20 s, and was cleaned up some seconds later: four times over."""
    post = {"wait": 30, "took": 0.0, "method": "POST", "body": STARTED}
    steps: list[dict[str, object]] = []
    for number in range(1, 5):
        shown = json.loads(json.dumps(running(-gone_after)).replace("uuid-1", f"uuid-{number}"))
        there = {"wait": 20 + gone_after, "took": 0.0, "method": "GET", "body": shown}
        gone = {"wait": 1, "took": 0.0, "method": "GET", "body": {"success": True, "data": {}}}
        wait = 30 if number == 1 else 60 - 21 - gone_after
        steps += [{**post, "wait": wait}, there, gone]
    session = replace(slow(*steps), config={"docker_timeout": "20"})
    fidelity = verify(world, [session])
    assert fidelity.differences == []
    assert fidelity.overall.matched == 12
    # and no beat makes a container live for longer than its time and ten seconds
    steps[-1]["body"] = steps[-2]["body"]
    steps[-1]["wait"] = 12
    session = replace(slow(*steps), config={"docker_timeout": "20"})
    assert verify(world, [session]).differences


def test_what_is_recorded_from_the_fake_verifies(world: WhaleWorld) -> None:
    with FakeWhale(world, clock=VirtualEpochClock()) as fake, fake.serve() as server:
        made = list(record(RecordedWhale(server.url), world, seed=5, sessions=12))
    again = parse_sessions([session.as_json() for session in made], "here")
    fidelity = verify(world, again)
    assert fidelity.differences == []
    assert fidelity.overall.total > 90


def test_no_secret_is_recorded(world: WhaleWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    flags: list[str] = []
    insert = InstanceTable.insert

    def noted(database: InstanceTable, *values: Any) -> Record:
        made = insert(database, *values)
        flags.append(made.flag)
        return made

    monkeypatch.setattr(InstanceTable, "insert", noted)
    with FakeWhale(world, clock=VirtualEpochClock()) as fake, fake.serve() as server:
        made = list(record(RecordedWhale(server.url), world, seed=5, sessions=12))
    written = "\n".join(session.as_json() for session in made)
    secrets = [*flags, *(each for user in world.users for each in (user.token, user.password))]
    assert flags
    assert not [secret for secret in secrets if secret and secret in written]


def test_the_same_seed_asks_the_same(world: WhaleWorld) -> None:
    with FakeWhale(world, clock=VirtualEpochClock()) as fake, fake.serve() as server:
        whale = RecordedWhale(server.url)
        first, again, other = (
            [[step.ask for step in s.steps] for s in record(whale, world, seed, sessions=3)]
            for seed in (1, 1, 2)
        )
    assert first == again != other


def test_recording_waits_when_ctfd_has_had_too_many_logins(
    world: WhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        RecordedWhale, "reset", lambda whale: None
    )  # it would empty the counter too
    with FakeWhale(world, clock=VirtualEpochClock()) as fake, fake.serve() as server:
        for _ in range(10):
            Browser(server.url, world.users[1])
        with pytest.raises(TooManyLogins):
            Browser(server.url, world.users[1])
        made = list(record(RecordedWhale(server.url), world, seed=5, sessions=3))
    assert any(step.ask.auth is Auth.SESSION for session in made for step in session.steps)


def test_the_command_verifies_and_keeps_the_table(tmp_path: Path) -> None:
    doc = tmp_path / "wire.md"
    doc.write_text(f"# Wire\n\n{BEGIN}\n{END}\n\nend\n", encoding="utf-8")
    few = tmp_path / "few.jsonl"
    lines = SESSIONS.read_text(encoding="utf-8").splitlines()
    few.write_text("\n".join(lines[:3]), encoding="utf-8")
    world = str(DATA / "whale-world.json")
    command = ["verify", "--sessions", str(few), "--world", world, "--doc", str(doc)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert "| The normal life |" in doc.read_text(encoding="utf-8")
    assert doc.read_text(encoding="utf-8").endswith("\n\nend\n")
    assert CliRunner().invoke(main, [*command, "--check"]).exit_code == 0


def test_a_dropped_table_fails(tmp_path: Path) -> None:
    doc = tmp_path / "wire.md"
    doc.write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    write_table(doc, "| The normal life | 10 | 10 | 0 |")
    assert drops(doc, "| The normal life | 20 | 20 | 0 |") == []
    assert drops(doc, "| The normal life | 19 | 20 | 0 |") == [
        "The normal life: 95.0% now, 100.0% in wire.md"
    ]


def test_a_file_without_marks_is_refused(tmp_path: Path) -> None:
    doc = tmp_path / "wire.md"
    doc.write_text("# Wire\n", encoding="utf-8")
    with pytest.raises(FakeWhaleError, match="add the lines"):
        write_table(doc, "| x | 1 | 1 | 0 |")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "here:1: not JSON"),
        ('{"id": 3}', "here:1: must be a JSON object with a text 'id'"),
        ('{"id": "a", "steps": [{"wait": 0}]}', r"here:1.steps\[0\].actor: missing"),
        (
            json.dumps({"id": "a", "steps": [{**BARE_STEP, "auth": "magic"}]}),
            r"here:1.steps\[0\]: 'magic' is not a valid Auth",
        ),
    ],
)
def test_a_broken_recording_says_where(line: str, message: str) -> None:
    with pytest.raises(FakeWhaleError, match=message):
        parse_sessions([line], "here")


def test_an_unknown_actor_is_named(world: WhaleWorld, sessions: list[RecordedSession]) -> None:
    life = named(sessions, "b0-life-alice")
    with pytest.raises(FakeWhaleError, match="actor 'alice' is not a user of the world"):
        verify(replace(world, users=world.users[2:]), [life])
