"""What ps shows of our commands: no password and no token, however they are given."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from fake_whale.web.control import TOKEN_HEADER
from whale_ready.cli import main

SECRET = "hunter2%2Fp:w"
COMMANDS = {
    "check": ("check", "--backend", "cre:memory"),
    "preflight": ("preflight", "--whale", "http://127.0.0.1:9"),
}
WAYS = ("--database URL", "--database=URL", "--database-file FILE", "--database-file -", "variable")
VARIABLES = {"check": "WHALE_READY_DATABASE", "preflight": "CONTAINER_DATABASE_URL"}


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes a connection and says nothing: whoever connects is still at it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


@pytest.mark.skipif(sys.platform != "linux", reason="where a command line is kept differs")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_password_of_a_database_is_in_the_process_list(
    silent: socket.socket, tmp_path: Path, command: str, way: str
) -> None:
    url = f"mysql+pymysql://me:{SECRET}@127.0.0.1:{silent.getsockname()[1]}/x"
    path = tmp_path / "database.url"
    path.write_text(f"{url}\n", encoding="utf-8")
    words = way.replace("URL", url).replace("FILE", str(path))
    given = [] if way == "variable" else words.split()
    environ = {VARIABLES[command]: url} if way == "variable" else {}
    with started(*COMMANDS[command], *given, **environ) as process:
        assert process.stdin is not None
        if way.endswith("-"):
            process.stdin.write(url)
        process.stdin.close()
        process.stdin = None
        peer, _ = silent.accept()
        with peer:
            shown = command_line(process)
        process.kill()
        _, errors = process.communicate(timeout=60)
    assert "hunter2" not in shown
    assert COMMANDS[command][0] in shown, "the rest of it stays"
    on_the_line = way.startswith("--database") and "file" not in way
    assert (f"mysql+pymysql://me:{'*' * len(SECRET)}@127.0.0.1:" in shown) is on_the_line
    assert ("note: a password or token is on the command line" in errors) is on_the_line


@pytest.mark.skipif(sys.platform != "linux", reason="where a command line is kept differs")
@pytest.mark.parametrize("way", ["--control-token VALUE", "--control-token=VALUE", "variable"])
def test_nor_is_the_fakes_control_token(way: str) -> None:
    given = [] if way == "variable" else way.replace("VALUE", SECRET).split()
    environ = {"FAKE_WHALE_CONTROL_TOKEN": SECRET} if way == "variable" else {}
    with started("serve", *given, module="fake_whale", **environ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        shown = command_line(process)
        reset, headers = f"{url}/_fake/reset", {TOKEN_HEADER: SECRET}
        assert requests.post(reset, timeout=30).status_code == 401
        assert requests.post(reset, headers=headers, timeout=30).status_code == 200
        process.terminate()
        process.communicate(timeout=60)
    assert "hunter2" not in shown
    assert "serve" in shown


@pytest.mark.skipif(sys.platform != "linux", reason="where a command line is kept differs")
@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("whale=https://me:hunter2@ctf.example", "whale=https://me:*******@ctf.example"),
        ("redis://:hunter2@h:6379/0", "redis://:*******@h:6379/0"),
        ("ssh://me:hunter2@h", "ssh://me:*******@h"),
        ("postgresql://h/x?user=me&password=hunter2", "postgresql://h/x?user=me&password=*******"),
        ("mysql://me:hun@ter2@h/x", "mysql://me:********@h/x"),
        ("ssh://me@h:22", "ssh://me@h:22"),
        ("cre:memory", "cre:memory"),
    ],
)
def test_a_password_in_any_address_is_hidden(given: str, shown: str) -> None:
    code = (
        "from fake_whale.own_arguments import hide; hide();print(open('/proc/self/cmdline').read())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, given], capture_output=True, text=True, check=True
    )
    assert done.stdout.rstrip("\0\n").split("\0")[-1] == shown
    assert bool(done.stderr) is (given != shown)


def test_one_url_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "database.url"
    path.write_text("sqlite:///x.db", encoding="utf-8")
    both = ["check", "--database", "sqlite:///y.db", "--database-file", str(path)]
    result = CliRunner().invoke(main, both)
    assert (result.exit_code, "leave one of them out" in result.output) == (3, True)
    path.write_text(" \n", encoding="utf-8")
    result = CliRunner().invoke(main, ["check", "--database-file", str(path)])
    assert (result.exit_code, "it is empty" in result.output) == (3, True)
    result = CliRunner().invoke(main, ["preflight", "--database-file", str(tmp_path / "no")])
    assert (result.exit_code, "No such file" in result.output) == (3, True)


def started(*arguments: str, module: str = "whale_ready", **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def command_line(process: subprocess.Popen[str]) -> str:
    """As ps has it, of the process and of those that it has started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    ids = [str(process.pid), *children.split()]
    read = [Path(f"/proc/{pid}/cmdline").read_bytes().decode() for pid in ids]
    return " ".join(read).replace("\0", " ")
