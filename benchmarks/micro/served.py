"""Servers that micro-benchmarks run in processes of their own."""

from __future__ import annotations

from typing import Any

from flask import Flask

from fake_whale import FakeWhale, SystemEpochClock
from fake_whale.demo import DEMO_WORLD
from fake_whale.web.server import FakeServer


def fake() -> FakeServer:
    """A fake Whale with the demo world."""
    return FakeWhale(DEMO_WORLD, clock=SystemEpochClock()).serve()


def bare() -> FakeServer:
    """A Flask route that answers a small JSON, on the same server settings."""
    app = Flask("bare")

    @app.get("/")
    def root() -> dict[str, Any]:
        return {"success": True, "data": {}}

    return FakeServer(app, "127.0.0.1", 0, lambda: None)
