"""``whale-ready check --database``: the same rules on servers, which are left as they were."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from support.servers import DatabaseServer

from conformance.harnesses.state import ServerState
from conformance.registry.backends import BackendSpecError, chosen
from engines.probe import wait_until
from engines.state.database import Database

BACKENDS = ("cre:memory", "whale:fake")
MINIMUM = {"cre:memory": 180, "whale:fake": 170}
"""Scenarios that pass on each; what needs a full disk is not asked of servers."""


@pytest.fixture(params=["mariadb", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A new database on a server of each kind."""
    server: DatabaseServer = request.getfixturevalue(request.param)
    return server.create()


def command(url: str, *options: str) -> list[str]:
    backends = [part for name in BACKENDS for part in ("--backend", name)]
    return [
        *(sys.executable, "-m", "whale_ready", "check"),
        *(*backends, "--database", url, *options),
    ]


def tables(url: str) -> set[str]:
    engine = sa.create_engine(url, future=True)
    try:
        return set(sa.inspect(engine).get_table_names())
    finally:
        engine.dispose()


def run(url: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(url, *options), cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.timeout(900)
def test_every_rule_holds_on_the_server(url: str, tmp_path: Path) -> None:
    done = run(url, tmp_path, "--report", str(tmp_path))

    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    for name in BACKENDS:
        statuses = [result["status"] for result in report["results"] if result["backend"] == name]
        assert statuses.count("pass") >= MINIMUM[name]
        kind = report["backends"][name]["versions"]["database"]
        assert kind.startswith(("MariaDB ", "PostgreSQL ")), kind
    assert tables(url) == set()


def test_a_database_that_is_in_use_is_refused_and_untouched(url: str, tmp_path: Path) -> None:
    engine = sa.create_engine(url, future=True)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE whale_instances (precious INTEGER)")
        connection.exec_driver_sql("INSERT INTO whale_instances VALUES (7)")

    done = run(url, tmp_path, "--select", "START-001")

    assert done.returncode == 3
    assert "holds tables of whale-ready already (whale_instances)" in " ".join(done.stdout.split())
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT precious FROM whale_instances").scalar() == 7
    engine.dispose()
    assert tables(url) == {"whale_instances"}


def test_tables_of_others_stay(url: str, tmp_path: Path) -> None:
    engine = sa.create_engine(url, future=True)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE users (id INTEGER)")
        connection.exec_driver_sql("INSERT INTO users VALUES (1)")

    assert run(url, tmp_path, "--select", "START-001").returncode == 2

    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT id FROM users").scalar() == 1
    engine.dispose()
    assert tables(url) == {"users"}


def test_ctrl_c_drops_what_was_made(url: str, tmp_path: Path) -> None:
    running = subprocess.Popen(
        command(url), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert wait_until(lambda _timeout: "cre_instances" in tables(url), 60)
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130, output
    assert tables(url) == set()


@pytest.mark.parametrize("driver", ["mysql+pymysql", "postgresql+psycopg2"])
def test_a_server_out_of_reach_is_told_without_the_password(driver: str, tmp_path: Path) -> None:
    done = run(f"{driver}://ctfd:hunter2@127.0.0.1:9/state", tmp_path, "--report", str(tmp_path))

    assert done.returncode == 3
    written = [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()]
    said = done.stdout + done.stderr + "".join(written)
    assert "127.0.0.1:9/state cannot be used" in " ".join(said.split())
    assert "hunter2" not in said


def test_what_is_no_url_is_told_without_it() -> None:
    with pytest.raises(BackendSpecError, match="write an SQLAlchemy URL") as caught:
        chosen(["cre:memory"], database="hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_backend_that_keeps_no_state_of_ours_is_refused() -> None:
    with pytest.raises(BackendSpecError, match="does not keep its state"):
        chosen(["ref=reference.world:harness"], database="sqlite:///state.db")


def test_two_backends_share_it_and_the_last_one_drops_the_tables(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    state = ServerState(url)
    state.open()
    state.open()
    state.close()
    assert isinstance(state.emptied(), Database)
    assert state.version().startswith("SQLite ")
    state.close()
    assert tables(url) == set()


def test_the_machines_zone_makes_no_difference(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "whale_ready", "check", "--backend", "cre:memory"],
        env={**os.environ, "TZ": "Asia/Tokyo"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
