"""One fake Whale for the whole run, emptied before each test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hybrid.stage import TOKENS, Site, served, site

from engines.state.database import Database
from fake_whale import FakeServer, FakeWhale


@pytest.fixture(scope="session")
def whale() -> Iterator[tuple[FakeWhale, FakeServer]]:
    with served(TOKENS, 3) as made:
        yield made


@pytest.fixture
def here(
    request: pytest.FixtureRequest, whale: tuple[FakeWhale, FakeServer], database: Database
) -> Iterator[Site]:
    """A site with both backends; settings by the mark ``settings``."""
    fake, server = whale
    fake.reset()
    mark = request.node.get_closest_marker("settings")
    chosen: dict[str, Any] = {} if mark is None else mark.kwargs
    with site(fake, server.url, database, **chosen) as made:
        yield made
