"""The plugin for the CTFd of a staging site: its process goes by the clock of a file, all of it."""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from conformance.harnesses.staging import StagedClock

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_process_follows_the_clock_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import staging_clock

    monkeypatch.delitem(sys.modules, "staging_clock")
    runs = StagedClock(tmp_path / "clock")
    runs.reset()
    real, monotonic = datetime.now(timezone.utc), time.monotonic()
    site = staging_clock.Clock(tmp_path / "clock")
    try:
        site.follow()
        assert datetime.now(timezone.utc) - real < timedelta(minutes=30)
        runs.advance(3600)
        site.follow()
        assert timedelta(hours=1) <= datetime.now(timezone.utc) - real < timedelta(hours=1.5)
        assert 3600 <= time.time() - real.timestamp() < 5400
        assert time.monotonic() - monotonic < 1800
        runs.reset()
        site.follow()
        assert datetime.now(timezone.utc) - real < timedelta(minutes=30)
    finally:
        site.stop()
