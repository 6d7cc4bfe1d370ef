"""Programs that the engines run: input, output, exit code, time-out, and nothing left behind."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from engines.child import Done, run

SOON = 30.0


def left() -> list[str]:
    """Children of this process and descriptors of its own."""
    me = os.getpid()
    children = Path(f"/proc/{me}/task/{me}/children").read_text().split()
    return [*children, *(path.name for path in sorted(Path("/proc/self/fd").iterdir()))]


def test_what_goes_in_comes_out_however_much() -> None:
    text = "rule\n" * 100_000
    assert run(["cat"], text=text, seconds=SOON) == Done(0, text, "")


def test_both_outputs_and_the_exit_code() -> None:
    done = run(["sh", "-c", "echo out; echo err >&2; exit 7"], seconds=SOON)
    assert done == Done(7, "out\n", "err\n")


def test_its_environment_and_nothing_of_our_files() -> None:
    assert run(["/usr/bin/env"], seconds=SOON, environ={"A": "b"}).stdout.count("A=b") == 1
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.set_inheritable(True)  # as gunicorn's are
        seen = run(["ls", "/proc/self/fd"], seconds=SOON).stdout.split()
    assert seen == ["0", "1", "2", "3"]  # the last is the folder that is listed


@pytest.mark.parametrize("program", ["sleep 60", "trap '' TERM; sleep 60"])
def test_one_that_takes_too_long_is_ended_and_collected(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engines.child.END_SECONDS", 0.2)
    before = left()
    with pytest.raises(TimeoutError):
        run(["sh", "-c", program], seconds=0.2)
    assert left() == before


def test_one_that_is_not_there_leaves_nothing() -> None:
    before = left()
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        run(["no-such-program"], seconds=SOON)
    assert left() == before
