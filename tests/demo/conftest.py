"""A demo in this process, and browsers to look at it with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from demo.visitor import Visitor
from playwright.sync_api import Browser, expect, sync_playwright

from conformance.web import serving
from whale_ready.demo.app import demo_app
from whale_ready.demo.running import LOOPBACK, Demo, running

PATIENCE_MS = 30_000
"""How long something may take to show, on a machine that is busy with other tests."""


@dataclass(frozen=True)
class Served:
    """A demo, and where its page is."""

    demo: Demo
    url: str


@pytest.fixture
def served() -> Iterator[Served]:
    with running() as demo, serving(demo_app(demo, LOOPBACK)) as (host, port):
        yield Served(demo, f"http://{host}:{port}")


@pytest.fixture
def visitor(served: Served) -> Iterator[Visitor]:
    made = Visitor(served.url)
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        expect.set_options(timeout=PATIENCE_MS)
        yield browser
        expect.set_options()
        browser.close()
