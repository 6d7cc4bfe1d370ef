"""A demo in this process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from demo.visitor import Visitor

from conformance.spec.web import serving
from whale_ready.demo.app import demo_app
from whale_ready.demo.backends import LOOPBACK, Demo, running


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
