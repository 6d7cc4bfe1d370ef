"""``whale-ready story``: its exit codes and what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from reference.breakages import ForgetfulStop
from reference.world import ReferenceHarness

from whale_ready.cli import main

HERE = "model.test_story_command"


def broken() -> ReferenceHarness:
    return ReferenceHarness(ForgetfulStop)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["story", *arguments])


def test_a_sound_backend_ends_with_0() -> None:
    done = run("--backend", "mine=reference.world:harness", "--stories", "5")

    assert done.exit_code == 0, done.stderr
    assert "5 stories, 125 steps; all as the model says" in done.stdout
    assert "seed 1" in done.stdout


def test_a_broken_one_ends_with_1_and_the_shortest_story_which_can_be_told_again() -> None:
    done = run("--backend", f"mine={HERE}:broken")

    assert done.exit_code == 1, done.stderr
    for line in ("1. alice starts first: ok", "2. alice stops first", "got       really running"):
        assert line in done.stdout
    assert "flag{" not in done.stdout
    story = "start alice first; stop alice first"
    assert f"--tell '{story}'" in done.stdout
    again = run("--backend", f"mine={HERE}:broken", "--tell", story)
    assert again.exit_code == 1
    assert "got       really running: c1" in again.stdout


def test_two_backends_that_part_end_with_1() -> None:
    done = run("--backend", "mine=reference.world:harness", "--against", f"it={HERE}:broken")

    assert done.exit_code == 1, done.stderr
    assert "mine and it differ beyond what they declare" in done.stdout


def test_what_cannot_be_run_ends_with_3() -> None:
    for arguments, said in (
        (("--backend", "nonsense"), "there is no such backend"),
        (("--backend", "cre:memory", "--tell", "dance"), "'dance' is no step"),
        (("--backend", "mine=reference.faulty:CrashingWorld"), "no world could be made"),
        (("--backend", "cre:memory", "--stories", "0"), "Invalid value"),
    ):
        done = run(*arguments)
        assert done.exit_code == 3, (arguments, done.stdout, done.stderr)
        assert said in done.stderr


def test_an_interrupt_ends_with_130_and_closes_what_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    monkeypatch.setenv("WR_TEST_CLOSED", str(closed))

    done = run("--backend", "mine=reference.faulty:Interrupted")

    assert done.exit_code == 130, done.output
    assert "interrupted" in done.stdout
    assert closed.read_text(encoding="utf-8") == "closed\n"
