"""``whale=URL``: only the accounts of the file, only what this run started, no token anywhere.

The live Whale is a fake with the real clock, served here; the tests look into it from behind.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.conformance_world import written_world

from conformance.harness import CannotRun, Hook, Options
from conformance.harnesses import live_whale_cleanup as live_whale_janitor
from conformance.harnesses.live_whale import LiveWhaleHarness, LiveWhaleWorld
from conformance.harnesses.live_whale_cleanup import NotCleared
from conformance.harnesses.world_file import WorldFileError, read_world_file
from conformance.registry.backends import BackendSpecError, Subject, resolve
from conformance.report.results import ScenarioResult, Status, Verdict
from conformance.report.writers import write_reports
from conformance.run.observer import Observer
from conformance.run.plan import STARTS_PER_SCENARIO
from conformance.run.runner import CheckRequest, check_subjects, plan
from engines.contract import Code, StartResult
from engines.probe import wait_until
from engines.whale.wire import LEFT_LOCK_SECONDS
from fake_whale import FakeServer, FakeWhale, InstanceOptions, User, WhaleChallenge, WhaleWorld
from fake_whale.testing import WhalePlayer
from whale_ready.cli import main

STRANGER = 90
PLAYERS, MATES = (11, 12, 13), (21, 22, 31, 32)
# Not of the form that reports are cleaned of: what is not there needs no cleaning.
TOKENS = {user: f"tok-of-{user}-kept-to-itself" for user in (*PLAYERS, *MATES, STRANGER)}
GOOD, CRASHING = "chal:1", "crash:1"


def whale_world() -> WhaleWorld:
    return WhaleWorld(
        users=[User(user, f"user{user}", token=token) for user, token in TOKENS.items()],
        challenges=[
            WhaleChallenge(1, "First"),
            WhaleChallenge(2, "Second"),
            WhaleChallenge(3, "Hidden", state="hidden"),
            WhaleChallenge(4, "Missing image", image="no-such-image:1"),
            WhaleChallenge(5, "Exits at once", image=CRASHING),
            WhaleChallenge(6, "Own port", redirect_type="direct"),
            WhaleChallenge(7, "Refused", redirect_type="odd"),
        ],
        images=frozenset({GOOD, CRASHING}),
        crashing_images=frozenset({CRASHING}),
        config={"docker_max_container_count": "100", "frp_http_domain_suffix": "instances.test"},
    )


@pytest.fixture(scope="module")
def server_and_fake() -> Iterator[tuple[FakeServer, FakeWhale]]:
    # An address that no other fake of this machine listens on.
    address = str(ipaddress.IPv4Address("127.144.0.0") + secrets.randbelow(2**20))
    options = InstanceOptions(direct_host=address, ready_delay=0, reachable=True)
    with FakeWhale(whale_world(), instances=options) as fake, fake.serve() as server:
        yield server, fake


@pytest.fixture
def fake(server_and_fake: tuple[FakeServer, FakeWhale]) -> FakeWhale:
    """An empty Whale."""
    fake = server_and_fake[1]
    fake.reset()
    return fake


@pytest.fixture
def url(server_and_fake: tuple[FakeServer, FakeWhale], fake: FakeWhale) -> str:
    return server_and_fake[0].url


@pytest.fixture
def file(fake: FakeWhale, tmp_path: Path) -> Path:
    """A world file for the fake."""
    return written(tmp_path / "world.toml", text(fake))


def text(fake: FakeWhale, **replaced: str) -> str:
    """A world file; ``replaced`` puts other parts in the place of its own."""
    listener = fake.http_listener
    assert listener is not None
    parts = {
        "players": "\n".join(account("players", user) for user in PLAYERS),
        "mates": "\n".join(account("mates", user, f"team_id = {user // 10}") for user in MATES),
        "challenges": "[challenges]\nfirst = 1\nsecond = 2\nunknown = 99999\nhidden = 3\n"
        "missing_image = 4\nexits_at_once = 5\nsubdomain = 1\nown_port = 6",
        "whale": f'[whale]\nready_seconds = 2\nprobe_gateway = "http://{listener[0]}:'
        f'{listener[1]}"',
    }
    return "\n".join({**parts, **replaced}.values())


def account(table: str, user: int, more: str = "") -> str:
    return f'[[{table}]]\nuser_id = {user}\ntoken = "{TOKENS[user]}"\n{more}'


def written(path: Path, content: str, mode: int = 0o600) -> Path:
    path.write_text(content, encoding="utf-8")
    path.chmod(mode)
    return path


def services(fake: FakeWhale) -> list[int]:
    """Whose services run."""
    return sorted(service["user_id"] for service in fake.state()["services"])


def writes(fake: FakeWhale) -> list[dict[str, Any]]:
    return [entry for entry in fake.journal() if entry.get("method") in ("POST", "PATCH", "DELETE")]


def by_hand(url: str, user: int, challenge: int, method: str = "POST") -> int:
    """What a user does on Whale's own page."""
    return WhalePlayer(url, TOKENS[user]).call(method, challenge).status_code


def whale_ready(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["check", *arguments])


@pytest.fixture
def opened(url: str, file: Path) -> Iterator[LiveWhaleHarness]:
    harness = LiveWhaleHarness(url, file)
    harness.open()
    yield harness
    harness.close()


def fresh(harness: LiveWhaleHarness) -> LiveWhaleWorld:
    world = harness.world(Options())
    assert isinstance(world, LiveWhaleWorld)
    return world


# A run.


class Counting(Observer):
    """How many starts each scenario made."""

    def __init__(self, fake: FakeWhale) -> None:
        self._fake = fake
        self._seen = fake.journal()[-1]["seq"]
        self.most = 0

    def measured(self, result: ScenarioResult) -> None:
        fresh = [entry for entry in self._fake.journal() if entry["seq"] > self._seen]
        self._seen += len(fresh)
        self.most = max(self.most, sum(entry.get("method") == "POST" for entry in fresh))


def test_a_whole_run_passes_and_leaves_only_what_was_there(
    url: str, fake: FakeWhale, file: Path
) -> None:
    assert by_hand(url, STRANGER, 1) == 200
    starts = Counting(fake)

    subjects = [Subject("whale", LiveWhaleHarness(url, file))]

    report = check_subjects(subjects, CheckRequest(), starts)

    assert report.verdict is Verdict.PASSED, report.reasons
    statuses = [result.status for result in report.results]
    assert set(statuses) == {Status.PASS, Status.NOT_APPLICABLE}
    assert not report.backends[0].simulated
    assert services(fake) == [STRANGER]
    assert 0 < starts.most <= STARTS_PER_SCENARIO
    (foreseen,) = plan(CheckRequest(backends=(f"whale={url}",), whale_world=file))
    passed = tuple(r.scenario for r in report.results if r.status is Status.PASS)
    assert foreseen.run == passed, "a dry run lists what runs"
    by_a_gate = {"START-020", "FAULT-001", "FAULT-016", "RESTART-001", "STATE-005"}
    assert by_a_gate <= set(passed)


def test_without_probing_nothing_is_fetched(fake: FakeWhale, url: str, tmp_path: Path) -> None:
    for whale, challenges in (
        ("[whale]\nprobe = false", None),
        (None, '[challenges]\nfirst = 1\nsecond = 2\nunknown = 99999\nflag_path = ""'),
    ):
        given = {"whale": whale, "challenges": challenges}
        content = text(fake, **{name: part for name, part in given.items() if part})
        harness = LiveWhaleHarness(url, written(tmp_path / "w.toml", content))
        assert Hook.FETCH not in harness.hooks


def test_no_token_is_written_logged_or_shown(
    url: str, file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    harness = LiveWhaleHarness(url, file)
    report = check_subjects([Subject("whale", harness)], CheckRequest(select=("*-001",)))
    write_reports(report, tmp_path / "out")
    shown = [
        caplog.text,
        repr(report),
        repr(vars(harness)),
        repr(read_world_file(file)),
        repr(read_world_file(file).accounts),
        repr(harness.facts()),
        *(path.read_text(encoding="utf-8") for path in (tmp_path / "out").iterdir()),
    ]
    assert any(result.status is Status.PASS for result in report.results)
    for each in shown:
        assert [token for token in TOKENS.values() if token in each] == []


# Before the run.


def test_what_runs_already_is_not_touched(url: str, fake: FakeWhale, file: Path) -> None:
    assert by_hand(url, 12, 2) == 200
    before = len(writes(fake))

    result = whale_ready("--backend", f"whale={url}", "--whale-world", str(file))

    assert result.exit_code == 3
    assert "an instance of challenge 2 runs already for user 12 (players[1])" in result.output
    assert "whale.stop_running = true" in result.output
    assert len(writes(fake)) == before
    assert services(fake) == [12]


def test_what_runs_already_is_stopped_when_the_file_says_so(
    url: str, fake: FakeWhale, tmp_path: Path
) -> None:
    for user, challenge in ((12, 2), (21, 1), (STRANGER, 1)):
        assert by_hand(url, user, challenge) == 200
    content = text(fake) + "\nstop_running = true"
    harness = LiveWhaleHarness(url, written(tmp_path / "w.toml", content))

    harness.open()
    harness.close()

    assert services(fake) == [STRANGER]


@pytest.mark.parametrize(
    ("replaced", "said"),
    [
        ({"challenges": "[challenges]\nfirst = 3\nsecond = 2\nunknown = 9"}, "challenges.first:"),
        ({"challenges": "[challenges]\nfirst = 1\nsecond = 3\nunknown = 9"}, "challenges.second:"),
        ({"challenges": "[challenges]\nfirst = 1\nsecond = 2\nunknown = 5"}, "challenges.unknown:"),
        (
            {"players": "\n".join(account("players", user) for user in (11, 12))
             + '\n[[players]]\nuser_id = 77\ntoken = "of-nobody"'},
            "players[2]: Whale does not accept user 77's token",
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_not_true_is_refused_before_anything_is_written(
    url: str, fake: FakeWhale, tmp_path: Path, replaced: dict[str, str], said: str
) -> None:
    file = written(tmp_path / "w.toml", text(fake, **replaced))
    harness = LiveWhaleHarness(url, file)

    with pytest.raises(CannotRun) as raised:
        harness.open()
    harness.close()

    assert said in str(raised.value)
    assert "of-nobody" not in str(raised.value)
    assert not writes(fake)


def test_an_address_where_no_whale_answers(file: Path) -> None:
    harness = LiveWhaleHarness("http://127.0.0.1:9", file)

    with pytest.raises(CannotRun, match="no Whale answers at http://127"):
        harness.open()
    harness.close()


# During the run.


def test_what_somebody_else_starts_meanwhile_is_left_alone(
    opened: LiveWhaleHarness, url: str, fake: FakeWhale
) -> None:
    world = fresh(opened)
    assert world.backend.start_instance(11, 1).ok
    assert by_hand(url, 12, 2) == 200

    with pytest.raises(NotCleared, match="user 12 has an instance of challenge 2 that this run"):
        opened.world(Options())

    assert services(fake) == [12], "ours is stopped"
    by_hand(url, 12, 2, "DELETE")


FORKS = [
    ("scribblercoder", '\nscope = "challenge"'),
    ("scribblercoder", ""),
    ("matte23", ""),
    ("om-arora", ""),
]


@contextmanager
def forked(flavour: str, more: str, folder: Path) -> Iterator[tuple[FakeWhale, LiveWhaleHarness]]:
    """A harness on a live Whale of another kind."""
    address = str(ipaddress.IPv4Address("127.160.0.0") + secrets.randbelow(2**20))
    options = InstanceOptions(direct_host=address, ready_delay=0, reachable=True)
    with FakeWhale(whale_world(), instances=options, flavour=flavour) as fake, fake.serve() as it:
        file = written(folder / "fork.toml", text(fake) + more)
        yield fake, LiveWhaleHarness(it.url, file)


@pytest.mark.parametrize(("flavour", "more"), FORKS)
def test_every_challenge_is_looked_at_when_a_scenario_is_over(
    flavour: str, more: str, tmp_path: Path
) -> None:
    with forked(flavour, more, tmp_path) as (fake, harness):
        harness.open()
        world = fresh(harness)
        assert world.backend.start_instance(11, 2).ok
        world.backend.start_instance(11, 6)
        assert len(services(fake)) == 1 + ("challenge" in more)
        world.close()
        assert services(fake) == []
        harness.close()


def test_what_runs_already_is_seen_where_a_look_tells_of_one_challenge_only(
    tmp_path: Path,
) -> None:
    with forked("matte23", "", tmp_path) as (fake, harness):
        url = str(harness._url)
        assert by_hand(url, 12, 2) == 200
        with pytest.raises(CannotRun, match="an instance of challenge 2 runs already for user 12"):
            harness.open()
        harness.close()
        assert services(fake) == [12]


def test_what_a_fork_keeps_of_a_start_that_failed_is_stopped(tmp_path: Path) -> None:
    with forked("frankli0324-2024", "", tmp_path) as (fake, harness):
        harness.open()
        world = fresh(harness)
        fake.inject({"kind": "frpc_down"})
        assert not world.backend.start_instance(11, 1).ok
        assert services(fake) == [11]
        fake.lift_faults()
        fake.machine.redis.locks.clear()
        world.close()
        assert services(fake) == []
        harness.close()


def test_rules_pass_on_a_fork_and_nothing_is_left(tmp_path: Path) -> None:
    rules = ("STATUS-002", "STATUS-010", "ACCOUNT-005", "CONC-004")
    with forked("scribblercoder", f"{FORKS[0][1]}\naccount_limit = 1", tmp_path) as (fake, harness):
        report = check_subjects([Subject("whale", harness)], CheckRequest(select=rules))
        assert [result.status for result in report.results] == [Status.PASS] * len(rules)
        assert services(fake) == []


def test_a_refusal_is_waited_out_before_the_next_scenario(
    url: str, fake: FakeWhale, file: Path
) -> None:
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        fake.machine.redis.locks.clear()

    harness = LiveWhaleHarness(url, file, sleep)
    harness.open()
    world = fresh(harness)
    assert world.backend.start_instance(11, 7).code is Code.START_FAILED
    assert fake.machine.redis.locks.left()
    world.close()
    assert not waited
    world = fresh(harness)
    assert len(waited) == 1
    assert 0 < waited[0] <= LEFT_LOCK_SECONDS
    assert world.backend.start_instance(11, 1).ok
    world.close()
    harness.close()
    assert services(fake) == []


def test_an_instance_behind_a_lock_is_stopped_when_the_lock_is_over(
    url: str, fake: FakeWhale, file: Path
) -> None:
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        fake.machine.redis.locks.clear()

    harness = LiveWhaleHarness(url, file, sleep)
    harness.open()
    world = fresh(harness)
    assert world.backend.start_instance(11, 1).ok
    assert by_hand(url, 11, 2, "PATCH") == 403  # leaves the lock
    world.close()
    assert waited == [LEFT_LOCK_SECONDS]
    assert services(fake) == []
    harness.close()


def interrupting(
    sound: Callable[..., StartResult], *, afterwards: bool
) -> Callable[..., StartResult]:
    """A start that Ctrl-C breaks off, before or after Whale has carried it out."""

    def start(*arguments: Any) -> StartResult:
        if afterwards:
            sound(*arguments)
        raise KeyboardInterrupt

    return start


def test_a_start_that_broke_off_is_found_and_stopped(
    opened: LiveWhaleHarness, fake: FakeWhale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_whale_janitor, "BROKE_OFF_SECONDS", 60.0)
    world = fresh(opened)
    start = interrupting(world.manager.start_instance, afterwards=True)
    monkeypatch.setattr(world.manager, "start_instance", start)
    with pytest.raises(KeyboardInterrupt):
        world.backend.start_instance(11, 1)
    assert services(fake) == [11]

    opened.close()

    assert services(fake) == []


def test_a_start_that_broke_off_and_never_shows_is_told_of(
    url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_whale_janitor, "BROKE_OFF_SECONDS", 0.01)
    harness = LiveWhaleHarness(url, file)
    harness.open()
    world = fresh(harness)
    start = interrupting(world.manager.start_instance, afterwards=False)
    monkeypatch.setattr(world.manager, "start_instance", start)
    with pytest.raises(KeyboardInterrupt):
        world.backend.start_instance(11, 1)
    world.close()

    with pytest.raises(NotCleared, match="a start broke off for user 11"):
        harness.close()
    harness.close()


def test_an_instance_whose_start_was_called_refused_is_ours(
    opened: LiveWhaleHarness, fake: FakeWhale, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = fresh(opened)
    sound = world.manager.start_instance

    def lie(*arguments: Any) -> StartResult:
        sound(*arguments)
        return StartResult(False, "no", code=Code.START_FAILED)

    monkeypatch.setattr(world.manager, "start_instance", lie)
    assert not world.backend.start_instance(11, 1).ok
    assert services(fake) == [11]

    world.close()

    assert services(fake) == []


def test_a_start_on_a_thread_that_was_left_behind_is_stopped_too(
    opened: LiveWhaleHarness, fake: FakeWhale, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = fresh(opened)
    sound, began, go = world.manager.start_instance, threading.Event(), threading.Event()

    def late(*arguments: Any) -> StartResult:
        began.set()
        assert go.wait(30)
        return sound(*arguments)

    monkeypatch.setattr(world.manager, "start_instance", late)
    start = threading.Thread(target=world.backend.start_instance, args=(11, 1))
    start.start()
    assert began.wait(30)
    close = threading.Thread(target=world.close)
    close.start()
    go.set()
    for thread in (start, close):
        thread.join(30)

    assert services(fake) == []
    with pytest.raises(RuntimeError, match="the scenario is over"):
        world.backend.start_instance(11, 1)


def test_bad_arguments_start_nothing(opened: LiveWhaleHarness) -> None:
    world = fresh(opened)
    for bad in (True, [], 0):
        with pytest.raises(ValueError, match="user_id"):
            world.backend.start_instance(bad, 1)  # type: ignore[arg-type] # that is the point
    with pytest.raises(ValueError, match="challenge_id"):
        world.backend.start_instance(11, 0)
    world.close()


def test_ctrl_c_stops_what_the_run_started_and_nothing_else(
    url: str, fake: FakeWhale, file: Path, tmp_path: Path
) -> None:
    assert by_hand(url, STRANGER, 1) == 200
    state = tmp_path / "state"
    state.mkdir()
    run = subprocess.Popen(
        [
            *(sys.executable, "-m", "whale_ready", "check", "--backend", f"whale={url}"),
            *("--whale-world", str(file), "--report", str(tmp_path / "out")),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(state), "XDG_STATE_HOME": str(state)},
        cwd=tmp_path,
    )
    try:
        assert wait_until(lambda _: len(services(fake)) > 1, 60)
        run.send_signal(signal.SIGINT)
        output, _ = run.communicate(timeout=60)
    finally:
        run.kill()
        run.wait()
    assert run.returncode == 130, output
    assert services(fake) == [STRANGER]
    assert list(state.iterdir()) == []
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["verdict"] == "interrupted"


# A dry run.


def test_a_dry_run_tells_all_and_asks_nothing(url: str, fake: FakeWhale, file: Path) -> None:
    before = len(fake.journal())

    result = whale_ready(
        "--backend", f"whale={url}", "--whale-world", str(file), "--dry-run", "--select", "START-*"
    )

    assert result.exit_code == 0, result.output
    for part in (
        f"whale: WhaleAPIManager on the live Whale at {url}",
        "players: users 11, 12, 13",
        "mates: users 21 (team 2), 22 (team 2), 31 (team 3), 32 (team 3)",
        "challenges: first 1, second 2, unknown 99999, hidden 3, missing_image 4",
        "would run 14: START-001, START-002",
        "START-015, START-016: the harness offers no capacity",
        "starts: at most 3 in a scenario, 42 in all",
        "nothing was contacted",
    ):
        assert part in result.output
    assert len(fake.journal()) == before
    assert [token for token in TOKENS.values() if token in result.output] == []


def test_a_dry_run_of_other_backends_and_of_a_bad_selection() -> None:
    result = whale_ready("--backend", "cre:memory", "--backend", "whale:fake", "--dry-run")

    assert result.exit_code == 0, result.output
    assert "cre:memory: ContainerRuntimeEngine" in result.output
    assert "more may be n.a." in result.output
    assert whale_ready("--dry-run", "--select", "FOO-*").exit_code == 3


# What is said of wrong options and files.


def test_a_live_whale_needs_a_file_and_the_file_a_live_whale(file: Path) -> None:
    result = whale_ready("--backend", "whale=https://ctf.example.org")
    assert result.exit_code == 3
    assert "--whale-world FILE" in result.output

    for backends in ([], ["--backend", "whale:fake"]):
        result = whale_ready(*backends, "--whale-world", str(file))
        assert result.exit_code == 3
        assert "--whale-world: is for a live Whale only" in result.output


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("a b=https://ctf.example.org", "the name before '='"),
        ("whale=https://", "write an address such as"),
        ("whale=https://me:geheim@ctf.example.org", "leave user and password out"),
    ],
)
def test_an_address_that_cannot_be_one(file: Path, spec: str, said: str) -> None:
    with pytest.raises(BackendSpecError) as raised:
        resolve(spec, file)

    assert said in str(raised.value)
    assert "geheim" not in str(raised.value)


def test_an_address_makes_a_live_whale(file: Path) -> None:
    subject = resolve("prod=https://ctf.example.org/sub/", file)

    assert subject.name == "prod"
    assert isinstance(subject.harness, LiveWhaleHarness)
    assert subject.harness.kind.endswith("https://ctf.example.org/sub")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_can_read_is_refused(fake: FakeWhale, tmp_path: Path, mode: int) -> None:
    file = written(tmp_path / "w.toml", text(fake), mode)

    with pytest.raises(WorldFileError, match="run chmod 600 on it"):
        read_world_file(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WorldFileError, match="cannot be read: No such file"):
        read_world_file(tmp_path / "none.toml")


THREE = "\n".join(account("players", user) for user in PLAYERS)
FOUR = [account("mates", user, f"team_id = {user // 10}") for user in MATES]
CHALLENGES = "[challenges]\nfirst = 1\nsecond = 2\nunknown = 9"
OVER_SSH = "[whale]\ndocker_url = 'ssh://manager'"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f'players = "{TOKENS[11]}', "is not TOML"),
        (CHALLENGES, "players: 0 given, 3 are needed"),
        ("players = 3", "players: must be a table [[players]] for each user"),
        (
            f"color = 1\n{THREE}\n{CHALLENGES}",
            "color: is no field; the fields are challenges, players",
        ),
        (f"{THREE}\nname = 'x'\n{CHALLENGES}", "players[2].name: is no field"),
        (f"{THREE}\nteam_id = 3\n{CHALLENGES}", "players[2].team_id: must be left out; players"),
        (
            f"{THREE}\n[[players]]\ntoken = 'x'",
            "players[3].user_id: is missing; it must be a positive",
        ),
        (f"{THREE}\n[[players]]\nuser_id = true\ntoken = 'x'", "players[3].user_id:"),
        (
            f"{THREE}\n[[players]]\nuser_id = 14\n{CHALLENGES}",
            "players[3].token: is missing; it must be the access",
        ),
        (f"{THREE}\n[[players]]\nuser_id = 14\ntoken = 'ä'", "players[3].token:"),
        (
            f"{THREE}\n[[players]]\nuser_id = 11\ntoken = 'x'\n{CHALLENGES}",
            "players[0] is user 11 too",
        ),
        (
            f"{THREE}\n[[players]]\nuser_id = 14\ntoken = '{TOKENS[12]}'\n{CHALLENGES}",
            "players[3].token: is the token of players[1] too",
        ),
        ("\n".join([THREE, *FOUR[:3], CHALLENGES]), "mates: write 4 users"),
        ("\n".join([THREE, *FOUR[::2], *FOUR[1::2], CHALLENGES]), "mates: write 4 users"),
        (
            "\n".join([THREE, account("mates", 21), CHALLENGES]),
            "mates[0].team_id: is missing; it must be a positive",
        ),
        (THREE, "challenges.first: is missing; it must be a positive whole"),
        (f"{THREE}\n[challenges]\nfirst = 1\nsecond = 1\nunknown = 9", "challenges.second: is 1"),
        (f"{THREE}\n{CHALLENGES}\nhidden = 9", "challenges.hidden: is 9, as unknown is"),
        (f"{THREE}\n{CHALLENGES}\nown_port = 9", "challenges.own_port: name a challenge that"),
        (f"{THREE}\n{CHALLENGES}\nthird = 3", "challenges.third: is no field"),
        (f"{THREE}\n{CHALLENGES}\nflag_path = 'flag'", "challenges.flag_path: must be a path"),
        (f"whale = 1\n{THREE}\n{CHALLENGES}", "whale: must be a table, [whale]"),
        (
            f"{THREE}\n{CHALLENGES}\n[whale]\ntimeout = 1",
            "whale.timeout: is no field; did you mean",
        ),
        (f"{THREE}\n{CHALLENGES}\n[whale]\ndialect = 'klingon'", "whale.dialect: 'klingon' is not"),
        (
            f"{THREE}\n{CHALLENGES}\n[whale]\ntimeout_seconds = 0",
            "whale.timeout_seconds: write a whole number from 1 to 86400",
        ),
        (
            f"{THREE}\n{CHALLENGES}\n[whale]\nmax_extensions = []",
            "whale.max_extensions: must be a text or",
        ),
        (f"{THREE}\n{CHALLENGES}\n[whale]\nprobe = 1", "whale.probe: must be true or false"),
        (f"{THREE}\n{CHALLENGES}\n[whale]\nstop_running = 1", "whale.stop_running: must be true"),
        (f"{THREE}\n{CHALLENGES}\n[whale]\nprobe_gateway = 'x'", "whale.probe_gateway: write an"),
        (f"{THREE}\n{CHALLENGES}\n[whale]\ndocker_url = 1", "whale.docker_url: must be a text"),
        (f"{THREE}\n{CHALLENGES}\n[whale]\nctfd_database_url = 'x'", "whale.ctfd_database_url: "),
        (f"{THREE}\n{CHALLENGES}\n[whale]\ntokens_file = 'no.toml'", "whale.tokens_file: "),
        (f"{THREE}\n{CHALLENGES}\n[staging]\nredis = 'x'", "staging.redis: is no field"),
        (f"{THREE}\n{CHALLENGES}\n[staging]\nfrpc_listen = 'a:1'", "staging.frpc_url: write"),
        (
            f"{THREE}\n{CHALLENGES}\n[staging]\ndocker_listen = 'a:1'\n{OVER_SSH}",
            "whale.docker_url: write where staging.docker_listen leads",
        ),
        (
            f"{THREE}\n{CHALLENGES}\n[staging]\nfrpc_listen = 'a'\nfrpc_url = 'http://b:1'",
            "staging.frpc_listen: write HOST:PORT",
        ),
    ],
)
def test_a_file_that_cannot_be_used_names_the_field(
    tmp_path: Path, content: str, said: str
) -> None:
    file = written(tmp_path / "w.toml", content)

    with pytest.raises(WorldFileError) as raised:
        read_world_file(file)

    assert str(raised.value).startswith(f"--whale-world {file}: ")
    assert said in str(raised.value)
    assert [token for token in TOKENS.values() if token in str(raised.value)] == []


def test_one_file_of_tokens_serves_adapter_and_check(tmp_path: Path) -> None:
    tokens = "".join(f'"{user}" = "{TOKENS[user]}"\n' for user in PLAYERS)
    adapters = written(tmp_path / "tokens.toml", f"[tokens]\n{tokens}")
    file = written_world(tmp_path, '[whale]\ntokens_file = "tokens.toml"\n', each="")

    accounts = read_world_file(file).accounts

    assert {each.player.user_id: each.token for each in accounts} == {
        user: TOKENS[user] for user in PLAYERS
    }
    adapters.chmod(0o644)
    with pytest.raises(WorldFileError, match=r"whale\.tokens_file: .*chmod 600"):
        read_world_file(file)


def test_settings_are_taken_as_the_adapter_takes_them(tmp_path: Path) -> None:
    file = written_world(
        tmp_path, "[whale]\ntimeout_seconds = 60\nready_seconds = 2.5\nprobe = false\n"
    )

    assert read_world_file(file).settings == {
        "whale_timeout_seconds": 60,
        "whale_ready_seconds": 2.5,
        "whale_probe": False,
    }
