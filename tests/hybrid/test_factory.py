"""get_container_backend(): one object per process, from the environment, swapped while it runs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hybrid.stage import ALICE, BOB, IMAGE, TIMEOUT, TOKENS
from whale.rig import FakesClock

from engines.catalog import ChallengeSpec, StaticCatalog
from engines.contract import Code
from engines.cre.runtimes.memory import MemoryRuntime
from engines.errors import SettingsError
from engines.factory import Overrides, get_container_backend, reset_container_backend
from engines.whale import StaticTokens
from fake_whale import FakeServer, FakeWhale

PREFIXES = ("CRE_", "WHALE_", "CONTAINER_", "ROLLOUT_", "USE_WHALE")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in os.environ:
        if name.startswith(PREFIXES) and not name.startswith("WHALE_READY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CONTAINER_DATABASE_URL", f"sqlite:///{tmp_path / 'state.db'}")
    yield
    reset_container_backend()


@pytest.fixture
def parts(whale: tuple[FakeWhale, FakeServer]) -> Overrides:
    fake, _ = whale
    fake.reset()
    return Overrides(
        catalog=StaticCatalog([ChallengeSpec(1, "First", IMAGE), ChallengeSpec(2, "B", IMAGE)]),
        runtime=MemoryRuntime(),
        credentials=StaticTokens(TOKENS),
        clock=FakesClock(fake),
    )


@pytest.fixture
def config(whale: tuple[FakeWhale, FakeServer]) -> dict[str, Any]:
    """As CTFd's configuration holds it: values of any type."""
    return {
        "WHALE_API_URL": whale[1].url,
        "WHALE_PROBE": False,
        "WHALE_TIMEOUT_SECONDS": TIMEOUT,
        "CRE_ACCOUNT_LIMIT": 1,
        "SECRET_KEY": b"not ours",
        "USE_WHALE": None,
    }


def test_one_object_for_all_threads(config: dict[str, Any], parts: Overrides) -> None:
    gate, got = threading.Barrier(8), []

    def ask() -> None:
        gate.wait()
        got.append(get_container_backend(config, parts))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(each) for each in got}) == 1
    before = got[0]
    reset_container_backend()
    assert get_container_backend(config, parts) is not before


def test_the_environment_comes_before_the_configuration(
    config: dict[str, Any], parts: Overrides, monkeypatch: pytest.MonkeyPatch
) -> None:
    config["CRE_ACCOUNT_LIMIT"] = 2
    assert get_container_backend(config, parts).capabilities.account_limit == 2
    reset_container_backend()
    monkeypatch.setenv("CRE_ACCOUNT_LIMIT", "4")
    assert get_container_backend(config, parts).capabilities.account_limit == 4


@pytest.mark.parametrize("where", ["environment", "configuration"])
def test_use_whale_is_flipped_in_a_running_process(
    config: dict[str, Any], parts: Overrides, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def use_whale(value: str) -> None:
        if where == "environment":
            monkeypatch.setenv("USE_WHALE", value)
        else:
            config["USE_WHALE"] = value

    cre = get_container_backend(config, parts)
    before = cre.start_instance(ALICE, 1)
    use_whale("true")
    after = cre.start_instance(BOB, 1)
    assert (before.instance["backend"], after.instance["backend"]) == ("cre", "whale")
    assert before.instance.keys() == after.instance.keys()
    for user in (ALICE, BOB):
        assert cre.extend_instance(user, 1).ok
    use_whale("false")
    for user in (ALICE, BOB):
        assert cre.get_instance_status(user, 1) is not None
        assert cre.stop_instance(user, 1).ok
    assert cre.start_instance(BOB, 1).instance["backend"] == "cre"
    use_whale("maybe")
    assert cre.start_instance(ALICE, 1).instance["backend"] == "cre", "nonsense changes nothing"


def test_without_whale_there_is_the_engine_alone(parts: Overrides) -> None:
    cre = get_container_backend({}, parts)
    assert cre.start_instance(ALICE, 1).instance["backend"] == "cre"
    assert list(cre.sides) == ["cre"]
    assert cre.start_instance(ALICE, 2).code is Code.LIMIT_REACHED


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"USE_WHALE": "true"}, r"WHALE_API_URL is not set.*or set USE_WHALE=false"),
        ({"USE_WHALE": "maybe"}, "USE_WHALE: write true or false"),
        ({"WHALE_API_URL": "ctf.example.org"}, "WHALE_API_URL: write an address"),
        ({"WHALE_API_URL": "https://ctf.example.org"}, "WHALE_TOKENS_FILE is not set"),
        ({"CRE_ACCOUNT_LIMIT": 0}, "CRE_ACCOUNT_LIMIT: write a whole number"),
        ({"ROLLOUT_ERROR_PERCENT": "101"}, "ROLLOUT_ERROR_PERCENT: write a whole number"),
    ],
)
def test_a_wrong_setting_is_named_with_its_fix_and_nothing_is_kept(
    given: dict[str, Any], says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        get_container_backend(given, Overrides(runtime=MemoryRuntime()))
    assert get_container_backend({}, Overrides(runtime=MemoryRuntime())) is not None


FORKED = """
import os
from engines.factory import get_container_backend

mine = get_container_backend()
child = os.fork()
if child == 0:
    os._exit(0 if get_container_backend() is not mine else 1)
_, status = os.waitpid(child, 0)
assert get_container_backend() is mine
raise SystemExit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_process_makes_its_own() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FORKED], check=False, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
