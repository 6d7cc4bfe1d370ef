"""Puts simulated containers into a test's CTFd, as any plugin that is loaded before may."""

from __future__ import annotations

from typing import Any

from engines.cre.runtimes.memory import MemoryRuntime


def load(app: Any) -> None:
    app.config["WHALE_READY_RUNTIME"] = MemoryRuntime()
