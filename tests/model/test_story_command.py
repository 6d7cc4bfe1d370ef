"""``whale-ready story``: its exit codes and what it prints."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
FACTORIES = """
from reference.breakages import ForgetfulStop
from reference.breakages_harnesses import CrashingWorld, Interrupted
from reference.world import ReferenceHarness, harness as sound

def broken():
    return ReferenceHarness(ForgetfulStop)
"""


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "mine.py").write_text(FACTORIES, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "whale_ready", "story", *arguments],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_sound_backend_ends_with_0(tmp_path: Path) -> None:
    done = run(tmp_path, "--backend", "mine=mine:sound", "--stories", "5")

    assert done.returncode == 0, done.stderr
    assert "5 stories, 125 steps; all as the model says" in done.stdout
    assert "seed 1" in done.stdout


def test_a_broken_one_ends_with_1_and_the_shortest_story_which_can_be_told_again(
    tmp_path: Path,
) -> None:
    done = run(tmp_path, "--backend", "mine=mine:broken")

    assert done.returncode == 1, done.stderr
    for line in ("1. alice starts first: ok", "2. alice stops first", "got       really running"):
        assert line in done.stdout
    assert "flag{" not in done.stdout
    story = "start alice first; stop alice first"
    assert f"--tell '{story}'" in done.stdout
    again = run(tmp_path, "--backend", "mine=mine:broken", "--tell", story)
    assert again.returncode == 1
    assert "got       really running: c1" in again.stdout


def test_two_backends_that_part_end_with_1(tmp_path: Path) -> None:
    done = run(tmp_path, "--backend", "mine=mine:sound", "--against", "it=mine:broken")

    assert done.returncode == 1, done.stderr
    assert "mine and it differ beyond what they declare" in done.stdout


def test_what_cannot_be_run_ends_with_3(tmp_path: Path) -> None:
    for arguments, said in (
        (("--backend", "nonsense"), "there is no such backend"),
        (("--backend", "cre:memory", "--tell", "dance"), "'dance' is no step"),
        (("--backend", "mine=mine:CrashingWorld"), "no world could be made"),
        (("--backend", "cre:memory", "--stories", "0"), "Invalid value"),
    ):
        done = run(tmp_path, *arguments)
        assert done.returncode == 3, (arguments, done.stdout, done.stderr)
        assert said in done.stderr


def test_an_interrupt_ends_with_130_and_closes_what_was_opened(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    os.environ["WR_TEST_CLOSED"] = str(closed)
    try:
        done = run(tmp_path, "--backend", "mine=mine:Interrupted")
    finally:
        del os.environ["WR_TEST_CLOSED"]

    assert done.returncode in (130, -signal.SIGINT), done.stderr
    assert done.returncode == 130
    assert closed.read_text(encoding="utf-8") == "closed\n"
