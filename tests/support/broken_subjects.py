"""A pytest plugin under which subjects of micro-benchmarks answer fast and do not do their work."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.micro import bench_fake
from engines.contract import Code, StartResult
from engines.cre import ContainerRuntimeEngine
from engines.state.instance_store import InstanceStore
from engines.whale import WhaleAPIManager


@pytest.fixture(autouse=True)
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine and the adapter refuse, a change is not made, the fake does not know who asks."""

    def refused(*_: Any) -> StartResult:
        return StartResult(False, "no", code=Code.CAPACITY)

    monkeypatch.setattr(ContainerRuntimeEngine, "get_instance_status", lambda *_: None)
    monkeypatch.setattr(WhaleAPIManager, "start_instance", refused)
    monkeypatch.setattr(InstanceStore, "save", lambda *_: False)
    monkeypatch.setattr(bench_fake, "HEADERS", {})
