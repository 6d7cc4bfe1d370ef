"""Each item, with a Whale or a site that is wrong in exactly that way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fake_whale import Dialect, Isolation
from preflight.stage import PROBE, Setup, staged, states
from whale_ready.preflight.checks import CHECKS
from whale_ready.preflight.items import State

EVERY_ID = {check.id for check in CHECKS}
UNSEEN = {"self-call"}
"""What is not seen where no write really waits (``Setup.held``)."""


def test_all_is_ok(tmp_path: Path) -> None:
    with staged(Setup(held=True), tmp_path) as stage:
        items = stage.items()
        left = stage.fake.state()["services"]
    assert {item.id: item.evidence for item in items.values() if item.state is not State.OK} == {}
    assert set(items) == EVERY_ID
    assert left == []


@pytest.mark.parametrize("dialect", list(Dialect), ids=lambda dialect: dialect.value)
def test_all_is_ok_in_every_dialect(dialect: Dialect, tmp_path: Path) -> None:
    with staged(Setup(dialect=dialect), tmp_path) as stage:
        items = stage.items()
    assert states(items, State.OK) == EVERY_ID - UNSEEN, items
