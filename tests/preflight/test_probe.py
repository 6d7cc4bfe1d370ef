"""The probe takes nothing from anybody and leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from preflight.stage import ALL_WISHES, PROBE, TOKENS, Setup, staged, states

from fake_whale.testing import WhalePlayer
from whale_ready.preflight.checks import run
from whale_ready.preflight.items import ItemState
from whale_ready.preflight.site import Wishes


def test_an_instance_that_runs_already_is_left_alone(tmp_path: Path) -> None:
    with staged(Setup(), tmp_path) as stage:
        WhalePlayer(stage.url, TOKENS[PROBE]).post(2)
        items = stage.items()
        running = [service["user_id"] for service in stage.fake.state()["services"]]
    assert running == [PROBE]
    assert states(items, ItemState.NOT_CHECKABLE) >= {"orders", "answers", "isolation", "self-call"}
    assert "stops only what it started" in items["orders"].evidence


@pytest.mark.parametrize("renewals", ["0", "1", "9"])
def test_whatever_the_limit_nothing_is_left(renewals: str, tmp_path: Path) -> None:
    with staged(Setup().with_config(docker_max_renew_count=renewals), tmp_path) as stage:
        items = stage.items()
        left = stage.fake.state()["services"]
    assert states(items, ItemState.NOT_OK) == {"renewals"}
    assert left == []


def test_an_unknown_account(tmp_path: Path) -> None:
    setup = replace(Setup(), wishes=Wishes(probe_account=99))
    with staged(setup, tmp_path) as stage:
        items = stage.items()
    assert "user 99, named by --probe-account, is not let in" in items["orders"].evidence


def test_a_challenge_of_ones_choice(tmp_path: Path) -> None:
    setup = replace(Setup(), wishes=replace(ALL_WISHES, probe_challenges=(2,)))
    with staged(setup, tmp_path) as stage:
        items = stage.items()
    assert "challenge 2 for user 13" in items["orders"].evidence


def test_what_cannot_be_stopped_is_told_at_once(tmp_path: Path) -> None:
    told: list[str] = []
    with staged(
        replace(Setup(), faults=[{"kind": "docker_error", "method": "DELETE"}]), tmp_path
    ) as stage:
        site = stage.site()
        site.tell = told.append
        items = {item.id: item for item in run(site)}
        site.close()
        assert [service["user_id"] for service in stage.fake.state()["services"]] == [PROBE]
    assert states(items, ItemState.NOT_OK) == {"orders"}
    begun, ended = told
    assert begun.startswith("starting challenge 1 as user 13; it is stopped again")
    assert ended.startswith("an instance of challenge 1 may be left for user 13 on Whale; stop")


def test_an_interrupt_stops_what_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("whale_ready.preflight.probe.instance_answers", interrupted)
    with staged(Setup(), tmp_path) as stage:
        site = stage.site()
        with pytest.raises(KeyboardInterrupt):
            run(site)
        site.close()
        posts = [each for each in stage.fake.journal() if each.get("method") == "POST"]
        assert len(posts) == 2, "Alice's and the probe's"
        assert stage.fake.state()["services"] == []


def test_a_start_whose_answer_is_lost_is_stopped_too(tmp_path: Path) -> None:
    lost = {"kind": "reset_before_headers", "method": "POST", "when": "after"}
    with staged(replace(Setup(), faults=[lost]), tmp_path) as stage:
        items = stage.items()
        left = stage.fake.state()["services"]
    assert states(items, ItemState.NOT_OK) == {"orders"}
    assert "an instance may be left" in items["orders"].evidence
    assert left == []
