"""The rollout plan is made of what the product does: its commands run, its limits are settings."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from engines.hybrid.dial import ALL
from engines.hybrid.plan_file import HOLD_MINUTES, STARTS, read_plan
from engines.settings import Settings
from whale_ready.cli import main
from whale_ready.readiness.plan import ID, SHARES, rollout_plan


def test_its_commands_turn_the_dial_step_by_step_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTAINER_DATABASE_URL", f"sqlite:///{tmp_path / 'state.db'}")
    plan = rollout_plan()
    said = []
    for step in (*plan.steps, *plan.back):
        command = step.command.replace(ID, "5")
        name, *arguments = shlex.split(command)
        assert name == "whale-ready"
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.output
        said.append(done.stdout.splitlines()[0])
    where = [each.removeprefix("the dial stands at ") for each in said]
    on = "challenges on: 5"
    assert where[1:5] == [f"{share} % of challenges; {on}" for share in SHARES]
    assert where[0].endswith(on)
    assert where[5].startswith("50 % of challenges")
    assert where[7].startswith("0 % of challenges")


def test_its_file_is_a_plan_that_can_be_followed(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(rollout_plan().file.replace(ID, "5"), encoding="utf-8")
    steps = read_plan(path)
    shares = [share * ALL // 100 for share in SHARES]
    assert [step.position.percent for step in steps] == [0, *shares]
    assert all(step.position.challenges == {5: True} for step in steps)
    assert {(step.hold_seconds, step.starts) for step in steps} == {(60 * HOLD_MINUTES, STARTS)}


def test_its_stop_conditions_are_the_settings() -> None:
    shown = " ".join(f"{e.when} {e.then} {e.setting}" for e in rollout_plan().stops)
    for text in ("20 starts or more in 10 minutes", "more than 5 %", "longer than 30 s",
                 "5 starts in a row", "one step back by itself", "go to CRE for 30 s"):  # fmt: skip
        assert text in shown
    other = Settings.from_environ(
        {
            "ROLLOUT_WINDOW_SECONDS": "300",
            "ROLLOUT_MIN_STARTS": "7",
            "ROLLOUT_ERROR_PERCENT": "3",
            "ROLLOUT_READY_SECONDS": "12",
            "ROLLOUT_BREAKER_FAILURES": "9",
            "ROLLOUT_BREAKER_SECONDS": "45",
            "ROLLOUT_STEP_BACK": "false",
            "ROLLOUT_FALLBACK": "false",
        }
    )
    shown = " ".join(f"{e.when} {e.then} {e.setting}" for e in rollout_plan(other).stops)
    for text in ("7 starts or more in 5 minutes", "more than 3 %", "longer than 12 s",
                 "9 starts in a row", "turn it one step back", "left alone for 45 s"):  # fmt: skip
        assert text in shown
    assert "by itself" not in shown
