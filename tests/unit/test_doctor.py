"""What keeps instances from starting is found, told with its fix, and told once."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engines.clock import SystemClock
from engines.cre.firewall import FIX, Firewall
from engines.cre.runtimes.disk_use import may_have_quotas
from engines.doctor import DoctorFinding, FindingState, SetupWatch, docker_side, examine
from engines.doctor.database_side import database_findings
from engines.doctor.environment_side import extras_finding, whale_finding
from engines.doctor.findings import not_ok, ok
from engines.printable import printable
from engines.settings import Settings
from engines.state import schema
from engines.state.database import Database
from engines.state.lease import Lease
from whale_ready.cli import main
from whale_ready.exit_codes import DOCTOR_EXIT_CODES

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"
PASSWORD = "hunter2/pass word"
ESCAPED = "hunter2%2Fpass%20word"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A site whose Docker is not there."""
    return Settings(
        cre_docker_host=f"unix://{tmp_path}/docker.sock", database_url=f"sqlite:///{tmp_path}/s.db"
    )


def doctor(*arguments: str, **environ: str) -> Result:
    names = [name for name in os.environ if name.startswith(("CRE_", "WHALE_", "CONTAINER_"))]
    env: dict[str, str | None] = dict.fromkeys(names)
    return CliRunner().invoke(main, ["doctor", *arguments], env={**env, **environ})


# Findings.


def test_what_others_say_cannot_act_upon_a_terminal() -> None:
    said = "\x1b]0;owned\x07 a\nb\x9b31m \u202e ü"
    assert printable(said) == "\\x1b]0;owned\\x07 a\\nb\\x9b31m \\u202e ü"
    assert not_ok("a", said, said).sentence.isprintable()


def test_a_socket_that_is_not_there_is_wrong_and_the_rest_unknown(settings: Settings) -> None:
    found = {each.check: each for each in examine(settings)}
    assert found["docker"].state is FindingState.NOT_OK
    assert f"there is no socket {settings.cre_docker_host[7:]}" in found["docker"].seen
    assert "mount its socket" in found["docker"].fix
    assert found["network-pool"].state is FindingState.UNKNOWN
    assert found["docker-sdk"].state is FindingState.OK


def test_the_docker_commands_context_is_named_where_we_do_not_follow_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text('{"currentContext": "far\\u001b[2J"}')
    monkeypatch.setenv("HOME", str(tmp_path))
    fix = docker_side.docker_findings(settings)[1].fix
    assert "context far\\x1b[2J is not followed" in fix


def test_an_sdk_older_than_those_that_were_tried_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.cre.runtimes.sdk.sdk_version", lambda: "3.7.3")
    found = docker_side.sdk_finding()
    assert found.state is FindingState.NOT_OK
    assert "3.7.3 is older than 4.1" in found.seen
    assert "docker>=7.1" in found.fix


def commands(folder: Path, text: str) -> Firewall:
    """A firewall whose commands are run by a script."""
    script = folder / "run"
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o755)
    return Firewall((str(script),))


DENIED = "echo 'iptables: Permission denied (you must be root)' >&2; exit 4"


@pytest.mark.parametrize(
    ("mode", "text", "state", "seen", "fix"),
    [
        ("engine", DENIED, FindingState.NOT_OK, "Permission denied", FIX),
        ("operator", DENIED, FindingState.UNKNOWN, "Permission denied", "firewall check` as root"),
        ("none", DENIED, FindingState.OK, "CRE_FIREWALL=none", ""),
        ("engine", "echo '-N DOCKER-USER'", FindingState.OK, "may set the rules", ""),
        ("operator", "echo '-N DOCKER-USER'", FindingState.NOT_OK, "not applied", "as root"),
    ],
)
def test_the_firewall(
    mode: str, text: str, state: FindingState, seen: str, fix: str, tmp_path: Path
) -> None:
    settings = Settings(cre_docker_host="unix:///x", cre_firewall=mode)
    found = docker_side.firewall_finding(settings, commands(tmp_path, text))
    assert found.state is state
    assert seen in found.seen
    assert fix in found.fix
    assert FIX not in found.seen


@pytest.mark.parametrize(
    ("mode", "state"),
    [
        ("engine", FindingState.NOT_OK),
        ("operator", FindingState.UNKNOWN),
        ("none", FindingState.OK),
    ],
)
def test_the_firewall_of_another_machine(mode: str, state: FindingState) -> None:
    far = Settings(cre_docker_host="tcp://192.0.2.1:2376", cre_firewall=mode)
    assert docker_side.firewall_finding(far).state is state


@pytest.mark.parametrize(
    ("driver", "backing", "may", "says"),
    [
        ("overlay2", "extfs", False, "overlay2 on extfs, which has no quotas"),
        ("overlay2", "xfs", True, "with pquota"),
        ("overlay2", "", True, "overlay2: "),
        ("btrfs", "", True, "btrfs: the engine's own quotas"),
        ("zfs", "zfs", True, "zfs on zfs: the engine's own quotas"),
        ("vfs", "", True, "vfs: "),
    ],
)
def test_what_keeps_instances_from_filling_the_disk(
    driver: str, backing: str, may: bool, says: str
) -> None:
    """As an engine says of its storage (`docker info`)."""
    status = [["Backing Filesystem", backing]] if backing else None
    api = Storage({"Driver": driver, "DriverStatus": status})
    assert may_have_quotas(api.info()) is may
    found = docker_side.disk_finding(Settings(), api)
    assert found.state is FindingState.OK
    assert says in found.seen


class Storage:
    """What an engine says of itself."""

    def __init__(self, said: dict[str, object]) -> None:
        self.info = lambda: said


class Networks:
    """What an engine answers about its networks."""

    def __init__(self, *rows: tuple[str, str, dict[str, str]]) -> None:
        self.rows = rows

    def networks(self) -> list[dict[str, object]]:
        return [
            {"Name": name, "Labels": labels, "IPAM": {"Config": [{"Subnet": subnet}]}}
            for name, subnet, labels in self.rows
        ]


ROUTES = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
OURS = {"whale-ready.shared": "closed"}


@pytest.mark.parametrize(
    ("network", "route", "seen"),
    [
        (("compose_default", "10.213.0.0/16", {}), "", "network compose_default (10.213.0.0/16)"),
        (("a\x1b", "10.213.4.0/24", {}), "", "network a\\x1b (10.213.4.0/24)"),
        (("whale-ready-closed-0", "10.213.0.0/22", OURS), "", ""),
        (("six", "fd00::/64", {}), "", ""),
        (("far", "10.213.240.0/24", {}), "", ""),  # others' companions keep clear of it
        (("a", "10.9.0.0/16", {}), "wg0\t0000D50A\t0\t1\t0\t0\t0\t00FCFFFF", "on wg0"),
        (("a", "10.9.0.0/16", {}), "eth0\t0000000A\t0\t1\t0\t0\t0\t000000FF", ""),
        (("a", "10.9.0.0/16", {}), "wrc-0\t0000D50A\t0\t1\t0\t0\t0\t00FCFFFF", ""),
    ],
)
def test_addresses_that_something_else_uses(
    network: tuple[str, str, dict[str, str]],
    route: str,
    seen: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "route").write_text(ROUTES + route)
    monkeypatch.setattr(docker_side, "ROUTES", tmp_path / "route")
    found = docker_side.pool_finding(Settings(cre_docker_host="unix:///x"), Networks(network))
    assert (found.state is FindingState.NOT_OK) == bool(seen), found
    assert seen in found.seen
    if seen:
        named = re.search(r"such as ([\d./]+)", found.fix)
        assert named is not None
        assert not IPv4Network(named[1]).overlaps(IPv4Network("10.213.0.0/16"))


def test_a_network_of_ours_from_another_pool_is_named_with_both_ways_out() -> None:
    found = docker_side.pool_finding(
        Settings(cre_docker_host="unix:///x"),
        Networks(("whale-ready-closed-0", "10.9.0.0/22", OURS)),
    )
    assert found.state is FindingState.NOT_OK
    assert "whale-ready-closed-0 (10.9.0.0/22) was made with another" in found.seen
    assert "docker network rm whale-ready-closed-0" in found.fix


# Database and worker.


def test_a_database_of_every_kind_is_named_with_its_version(any_database: Database) -> None:
    url = any_database.engine.url.render_as_string(hide_password=False)
    database, worker = database_findings(Settings(database_url=url))
    assert (database.state, worker.state) == (FindingState.OK, FindingState.UNKNOWN)
    if any_database.engine.dialect.name != "sqlite":  # whose file is not there yet
        assert "tables of version none" in database.seen
    any_database.ensure_schema()
    database, worker = database_findings(Settings(database_url=url))
    assert any_database.engine.dialect.driver in database.seen
    assert f"tables of version {schema.HEAD}" in database.seen
    assert worker.state is FindingState.NOT_OK
    assert Lease(any_database, SystemClock(), "cleanup hybrid", 60).acquire()
    worker = database_findings(Settings(database_url=url))[1]
    assert (worker.state, worker.seen) == (FindingState.OK, "at work: cleanup hybrid")


def test_tables_of_a_newer_program_are_wrong(database: Database) -> None:
    database.ensure_schema()
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE whale_ready_schema SET version_num = '9999'")
    url = database.engine.url.render_as_string(hide_password=False)
    found = database_findings(Settings(database_url=url))[0]
    assert found.state is FindingState.NOT_OK
    assert found.fix == "upgrade whale-ready"


@pytest.mark.parametrize(
    ("url", "seen", "fix"),
    [
        (f"mysql+pymysql://me:{ESCAPED}@127.0.0.1:9/x", "cannot be asked", "see whether it runs"),
        (f"mysql+mysqldb://me:{ESCAPED}@h/x", "driver MySQLdb", "pip install"),
        (f"oracle17://me:{ESCAPED}@h/x", "no such kind", "correct CONTAINER_DATABASE_URL"),
        (f"no url {PASSWORD}", "no SQLAlchemy URL", "write one"),
    ],
)
def test_a_database_that_cannot_be_asked(url: str, seen: str, fix: str) -> None:
    database, worker = database_findings(Settings(database_url=url))
    assert (database.state, worker.state) == (FindingState.NOT_OK, FindingState.UNKNOWN)
    assert seen in database.seen
    assert fix in database.fix
    assert "hunter2" not in database.sentence


# Whale and extras.


def test_tokens_that_others_can_read_are_wrong(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text("1 = 'ctfd_secret'")
    tokens.chmod(0o644)
    settings = Settings(whale_api_url="https://w.example.org", whale_tokens_file=tokens)
    found = whale_finding(settings)
    assert (found.state, found.fix) == (FindingState.NOT_OK, f"chmod 600 {tokens}")
    assert "0644" in found.seen
    tokens.chmod(0o600)
    assert whale_finding(settings).state is FindingState.OK
    assert "preflight" in whale_finding(settings).seen
    tokens.unlink()
    assert whale_finding(settings).state is FindingState.NOT_OK


@pytest.mark.parametrize(
    ("settings", "state"),
    [
        (Settings(), FindingState.OK),
        (Settings(use_whale=True), FindingState.NOT_OK),
        (Settings(whale_api_url="https://w.example.org"), FindingState.NOT_OK),
    ],
)
def test_whale_as_far_as_this_machine_knows(settings: Settings, state: FindingState) -> None:
    assert whale_finding(settings).state is state


def test_the_extras_are_those_of_the_package() -> None:
    found = extras_finding()
    assert found.state is FindingState.OK
    for extra in ("bench", "check", "metrics", "mysql", "postgresql"):
        assert extra in found.seen


# The command.


def test_the_command_says_what_is_wrong_and_ends_with_1(tmp_path: Path) -> None:
    done = doctor(
        CRE_DOCKER_HOST=f"unix://{tmp_path}/d.sock",
        CONTAINER_DATABASE_URL=f"sqlite:///{tmp_path}/s.db",
    )
    assert done.exit_code == 1
    assert (
        f"not ok  docker: the Docker engine cannot be reached: there is no socket {tmp_path}"
        in (done.output)
    )
    assert "-> start Docker, mount its socket" in done.output
    assert not list(tmp_path.iterdir())  # nothing was made


def test_json_has_all_of_it_and_no_secret(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text("1 = 'ctfd_hunter2'")
    done = doctor(
        "--json",
        CRE_DOCKER_HOST=f"tcp://me:{ESCAPED}@127.0.0.1:9",
        CONTAINER_DATABASE_URL=f"postgresql+psycopg2://me:{ESCAPED}@127.0.0.1:9/x?a={ESCAPED}",
        WHALE_API_URL="https://w.example.org",
        WHALE_TOKENS_FILE=str(tokens),
        WHALE_CTFD_DATABASE_URL=f"mysql+pymysql://me:{ESCAPED}@127.0.0.1:9/y",
    )
    assert done.exit_code == 1
    assert "hunter2" not in done.output
    document = json.loads(done.output)
    assert document["kind"] == "whale-ready doctor"
    assert set(document["findings"][0]) == {"check", "state", "seen", "fix"}
    assert sum(document["counts"].values()) == len(document["findings"])
    assert all(finding["fix"] for finding in document["findings"] if finding["state"] == "not_ok")


def test_a_wrong_setting_is_could_not_run() -> None:
    done = doctor(CRE_FIREWALL="perhaps")
    assert done.exit_code == 3
    assert "CRE_FIREWALL" in done.output


def test_the_page_has_every_check_and_exit_code(settings: Settings) -> None:
    page = PAGE.read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(each.check for each in examine(settings))
    for code, meaning in DOCTOR_EXIT_CODES:
        assert f"| {code} | {meaning} |" in page


# At the start of a process.


def test_a_fault_is_logged_once_and_again_when_it_comes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong = not_ok("docker", "there is no socket", "start Docker")
    results: list[tuple[DoctorFinding, ...]] = [
        (wrong,),
        (wrong,),
        (ok("docker", "there"),),
        (wrong,),
    ]
    watch = SetupWatch(lambda: results.pop(0))
    counts = []
    while results:
        assert watch.begin().wait(30)
        counts.append(len(caplog.records))
    assert counts == [1, 1, 1, 2]
    assert "there is no socket. To put it right: start Docker" in caplog.messages[0]
    assert caplog.records[0].levelno == logging.ERROR


def test_a_docker_that_hangs_holds_nobody_up() -> None:
    hangs = threading.Event()
    looks = []

    def look() -> tuple[DoctorFinding, ...]:
        looks.append(1)
        hangs.wait(60)
        return (ok("docker", "at last"),)

    watch = SetupWatch(look)
    first, second = watch.begin(), watch.begin()
    assert first is second
    assert watch.fresh(0.01) == ()
    hangs.set()
    assert first.wait(30)
    assert watch.fresh(0.01) == watch.seen() == (ok("docker", "at last"),)
    assert len(looks) == 1


def test_a_look_that_breaks_ends_nothing_and_may_be_repeated(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def look() -> tuple[DoctorFinding, ...]:
        raise ZeroDivisionError

    watch = SetupWatch(look)
    for _ in range(2):
        assert watch.begin().wait(30)
    assert watch.seen() == ()
    assert caplog.messages == ["the set-up could not be looked at: ZeroDivisionError"] * 2
