"""Every program that is run from here is one that set-up installs, or that every Debian has."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("engines", "conformance", "fake_whale", "benchmarks", "whale_ready", "tests")
TABLES = ("docker_parts", "engine_parts", "test_parts", "service_parts")

ALONG = {
    "iptables": {"ip6tables", "iptables-restore"},
    "mariadbd": {"mariadb-install-db"},
    "initdb": {"postgres"},
    "ssh": {"ssh-keygen"},
}
"""What comes along with a part of the tables."""

EVERYWHERE = {
    *("bash", "env", "sh", "true", "ldd", "git"),
    *("nsenter", "runuser", "setpriv", "umount", "unshare"),
}
"""Of Debian's essential packages; git had to be there to get this project."""

CHROMIUM = {"chromium", "chromium-browser", "chromium-headless-shell", "google-chrome"}
"""One of these; ensure_chromium sees to it."""

OWN = {"ctf", "pip", "pytest", "uv", "verify", "whale-ready"}
"""Of the virtual environments that tests make, and words of our own command line."""

RUN = {"Popen", "Program", "check_call", "check_output", "program", "run", "which"}
NAMED = {"chromiums", "command", "programs", "prefix"}
WORD = re.compile(r"/?[a-z][a-z0-9/-]+")


def words(node: ast.AST, every: bool = False) -> Iterator[str]:
    """The program of a command's expression; of all its parts where it lists programs."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Starred):
        yield from words(node.value, every)
    elif isinstance(node, ast.List | ast.Tuple):
        for part in node.elts if every else node.elts[:1]:
            yield from words(part, every)


def called(source: str) -> set[str]:
    """The programs that a module runs or looks for, as far as it names them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            owner = node.func.value if isinstance(node.func, ast.Attribute) else None
            own = getattr(owner, "id", "") in ("subprocess", "self", "shutil", "host", "server")
            if isinstance(node.func, ast.Name):
                name, own = node.func.id, node.func.id in ("which", "Popen", "Program")
            if own and name in RUN:
                found.update(words(node.args[0]))
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.List | ast.Tuple):
            names = {getattr(target, "id", "").lower() for target in node.targets}
            if names & NAMED:
                found.update(words(node.value, every=not names & {"command", "prefix"}))
    return {word.rpartition("/")[2] for word in found if WORD.fullmatch(word)}


@pytest.fixture(scope="module")
def tables() -> dict[str, str]:
    """Part and package, as scripts/setup.sh has them."""
    shown = " ".join(f'"${name}"' for name in TABLES)
    script = f". scripts/setup.sh; printf '%s' {shown}"
    done = subprocess.run(
        ["bash", "-euc", script], cwd=ROOT, check=True, capture_output=True, text=True
    )
    rows = [line.split() for line in done.stdout.splitlines() if line.strip()]
    return {row[0]: row[1] for row in rows}


@cache
def programs() -> dict[str, str]:
    """Every program that is called, and where."""
    files = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
    return {
        program: str(file.relative_to(ROOT))
        for file in files
        for program in called(file.read_text(encoding="utf-8"))
    }


def test_every_program_is_installed_by_set_up(tables: dict[str, str]) -> None:
    known = {*tables, *CHROMIUM, *EVERYWHERE, *OWN}
    known.update(program for part in tables for program in ALONG.get(part, ()))
    unknown = {program: file for program, file in programs().items() if program not in known}
    assert not unknown


def test_the_programs_are_found() -> None:
    assert {"docker-registry", "dockerd", "htpasswd", "mariadbd", "redis-server"} <= set(programs())


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('subprocess.run(["frobnicate", "--now"])', {"frobnicate"}),
        ('subprocess.run([*("/usr/sbin/frobnicate", "-x")])', {"frobnicate"}),
        ('shutil.which("frobnicate")', {"frobnicate"}),
        ('programs = ("a-program", "another")', {"a-program", "another"}),
        ('command = ["nsenter", "--net", "dockerd"]', {"nsenter"}),
        ('runner.run("set", "10%")', set()),
    ],
)
def test_a_program_is_found(source: str, found: set[str]) -> None:
    assert called(source) == found


def test_ctrl_c_during_the_set_up_is_told_as_one() -> None:
    """pip, for one, ends with 1 when it is interrupted, and what follows must not go on."""
    deaf = "import signal, sys; signal.signal(2, lambda *_: sys.exit(1)); "
    deaf += "print(flush=True); signal.pause()"
    script = f". scripts/setup.sh; python3 -c '{deaf}' || exit 3"
    with subprocess.Popen(
        # A run in the background ignores Ctrl-C, and so would all that it starts.
        ["env", "--default-signal=INT", "bash", "-c", script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    assert running.returncode == 130
