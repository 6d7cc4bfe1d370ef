"""Every command without its database: one sentence with the fix, exit code 3, no traceback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from whale_ready.cli import COMMANDS, main

SECRET = "hunter2"
BAD = {
    "down": f"mysql+pymysql://u:{SECRET}@127.0.0.1:9/x",
    "down too": f"postgresql+psycopg2://u:{SECRET}@127.0.0.1:9/x",
    "unknown host": f"mysql+pymysql://u:{SECRET}@no-such-host.invalid/x",
    "missing driver": f"mysql+mysqldb://u:{SECRET}@127.0.0.1/x",
    "wrong kind": f"oracle17://u:{SECRET}@127.0.0.1/x",
    "no URL": f"u:{SECRET}@127.0.0.1",
    "no file": "sqlite:////dev/null/state.db",
}
SAID_WITHOUT = {
    "missing driver": "pip install",
    "wrong kind": "CONTAINER_DATABASE_URL: write",
    "no URL": "CONTAINER_DATABASE_URL: write",
    "no file": "/dev/null",
}
SIGNED = ("--why", "a test")
ASKING: dict[str, tuple[str, ...]] = {
    "audit export": (),
    "audit prune": (),
    "database status": (),
    "database upgrade": (),
    "database take-over": ("0123456789ab",),
    "instances list": (),
    "instances stop": ("--all",),
    "rollout accounts": ("5%", *SIGNED),
    "rollout back": SIGNED,
    "rollout challenge": ("5", "on", *SIGNED),
    "rollout clear": SIGNED,
    "rollout forget": ("--yes", *SIGNED),
    "rollout pause": SIGNED,
    "rollout plan": ("PLAN", *SIGNED),
    "rollout resume": SIGNED,
    "rollout set": ("5%", *SIGNED),
    "rollout shadow": ("on", *SIGNED),
    "rollout status": (),
    "worker": ("--once",),
}
"""The commands that cannot do anything without the state, and what else each must be given."""
GOING_ON = {"doctor": 1, "metrics": 0}
"""Those that say that it is down and tell what else there is, with their exit codes."""
WITHOUT = {
    *("backends", "bench", "bench compare", "bench run", "check", "compare", "demo"),
    *("firewall apply", "firewall check", "firewall remove", "firewall script"),
    *("harness check", "images list", "images pull", "preflight", "readiness", "story"),
}
"""Those that never ask it, or one of their own; preflight has an item for it."""


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    if not isinstance(command, click.Group):
        yield " ".join(path)
        return
    context = click.Context(command)
    if command.invoke_without_command and path:
        yield " ".join(path)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from leaves(found, (*path, name))


def test_every_command_is_sorted() -> None:
    there = set(leaves(main))
    assert {name.split()[0] for name in there} == set(COMMANDS)
    assert there <= ASKING.keys() | GOING_ON.keys() | WITHOUT


@pytest.fixture
def plan(tmp_path: Path) -> str:
    path = tmp_path / "plan.toml"
    path.write_text("[[step]]\npercent = 10\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("command", ASKING)
def test_a_command_that_needs_it_could_not_run(command: str, kind: str, plan: str) -> None:
    given = [plan if each == "PLAN" else each for each in ASKING[command]]
    env = {"CONTAINER_DATABASE_URL": BAD[kind], "WHALE_API_URL": None, "USE_WHALE": None}
    result = CliRunner().invoke(main, [*command.split(), *given], env=env)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    if (command, kind) == ("database status", "no file"):
        assert result.exit_code == 1, "it makes no file"
        return
    assert result.exit_code == 3, result.output
    assert "Error: " in result.output
    expected = SAID_WITHOUT.get(kind, "the database cannot be asked")
    assert expected in result.output, result.output
    assert SECRET not in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("command", GOING_ON)
def test_a_command_that_goes_on_without_it(command: str, kind: str) -> None:
    env = {"CONTAINER_DATABASE_URL": BAD[kind], "CRE_DOCKER_HOST": "unix:///no/such/socket"}
    result = CliRunner().invoke(main, [command], env=env)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    settled = {GOING_ON[command], 3} if kind in SAID_WITHOUT else {GOING_ON[command]}
    assert result.exit_code in settled, result.output
    assert SECRET not in result.output


@pytest.fixture(params=["mariadb", "postgresql"])
def refusing(request: pytest.FixtureRequest) -> dict[str, str]:
    """A server that answers, and refuses."""
    url = sa.engine.make_url(request.getfixturevalue(request.param).create())
    there = url.render_as_string(hide_password=False)
    server = there.rpartition("/")[0]
    wrong = url.set(username="nobody", password=SECRET).render_as_string(hide_password=False)
    return {"wrong password": wrong, "no such database": f"{server}/no_such_database"}


@pytest.mark.parametrize("kind", ["wrong password", "no such database"])
@pytest.mark.parametrize("command", [(), ("--once",)], ids=["worker", "worker --once"])
def test_a_worker_waits_for_no_server_that_refuses(
    refusing: dict[str, str], kind: str, command: tuple[str, ...]
) -> None:
    with worker(refusing[kind], *command) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert said.startswith("Error: the database cannot be asked: ")
    assert len(said.splitlines()) <= 3, said
    assert SECRET not in said


def test_a_worker_waits_for_a_server_that_is_not_there_yet(mariadb: object) -> None:
    """The services of a compose stack start together."""
    url = sa.engine.make_url(mariadb.create())  # type: ignore[attr-defined] # a fixture's
    with socket.socket() as later:
        later.bind(("127.0.0.1", 0))
        here = url.set(host="127.0.0.1", port=later.getsockname()[1])
        with worker(here.render_as_string(hide_password=False)) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("waiting: the database cannot be asked: "), line
            later.listen()
            threading.Thread(
                target=forward, args=(later, (url.host, url.port)), daemon=True
            ).start()
            line = process.stdout.readline()
            assert line.startswith("cleaning up for hybrid every "), line
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=60)[0]
        assert (process.returncode, said.splitlines()[-1]) == (0, "stopped")


def test_a_worker_that_waits_ends_when_it_is_told() -> None:
    with worker(BAD["down"]) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("waiting: ")
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60)[0] == "stopped\n"
    assert process.returncode == 0


def worker(url: str, *options: str) -> subprocess.Popen[str]:
    names = [name for name in os.environ if name.startswith(("CRE_", "WHALE_", "CONTAINER_"))]
    environ = {name: text for name, text in os.environ.items() if name not in names}
    return subprocess.Popen(
        [sys.executable, "-m", "whale_ready", "worker", *options],
        env={**environ, "CONTAINER_DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def forward(listening: socket.socket, there: tuple[str, int]) -> None:
    """Pass on whatever comes, both ways, until the listener is closed."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with source, suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    while True:
        try:
            near, _ = listening.accept()
        except OSError:
            return
        far = socket.create_connection(there)
        for pair in ((near, far), (far, near)):
            threading.Thread(target=pump, args=pair, daemon=True).start()
