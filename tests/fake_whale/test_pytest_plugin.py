"""The fixtures others use: each test has a fake of its own."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

pytest_plugins = ["pytester"]

PLUGIN = "fake_whale.pytest_plugin"
TESTS = """
import pytest
from fake_whale.testing import WhalePlayer, said

@pytest.mark.parametrize("time", range(3))
def test_own_state(fake_whale, fake_whale_server, time):
    alice = WhalePlayer(fake_whale_server.url, "ctfd_demo_alice")
    assert alice.get().json() == {"success": True, "data": {}}
    assert said(alice.post()) == (200, "Container created")
    assert len(fake_whale.state()["records"]) == 1
"""
OVERRIDE = """
import pytest
from fake_whale import User, WhaleWorld

@pytest.fixture
def fake_whale_world():
    return WhaleWorld(users=(User(7, "zoe", token="t-zoe"),))

def test_own_world(fake_whale_server):
    from fake_whale.testing import WhalePlayer
    answer = WhalePlayer(fake_whale_server.url, "t-zoe").call("GET", path="/api/v1/users/me")
    assert answer.json()["data"]["id"] == 7
"""


@pytest.mark.parametrize(("text", "passed"), [(TESTS, 3), (OVERRIDE, 1)])
def test_each_fixture_has_its_own_state(pytester: pytest.Pytester, text: str, passed: int) -> None:
    pytester.makepyfile(text)
    registered = any(entry.value == PLUGIN for entry in entry_points(group="pytest11"))
    options = [] if registered else ["-p", PLUGIN]
    result = pytester.runpytest_subprocess(*options, "-q")
    result.assert_outcomes(passed=passed)


def test_loading_the_plugins_imports_nothing_heavy() -> None:
    heavy = "'flask', 'waitress', 'requests', 'sqlalchemy', 'docker', 'click', 'rich'"
    program = (
        "import sys, fake_whale.pytest_plugin, whale_ready.pytest_plugin;"
        f"print(sorted({{{heavy}}} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
