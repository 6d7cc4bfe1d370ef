"""``whale-ready instances`` on real Docker: an organiser sees what runs, and ends many at once.

CTF-Cafe/CTF_Cafe_platform#72.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest
from click.testing import CliRunner

from engines.audit import Action
from engines.catalog import ChallengeSpec, StaticCatalog
from engines.cre import ContainerRuntimeEngine
from engines.cre.runtimes.docker import DockerRuntime
from engines.settings import Settings
from whale_ready.cli import main


@pytest.fixture
def engine(
    docker_client: docker.DockerClient,
    image: str,
    deployment: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ContainerRuntimeEngine]:
    """Two challenges; users 1 and 2 have started them."""
    url = f"sqlite:///{tmp_path / 'state.db'}"
    monkeypatch.setenv("CONTAINER_DATABASE_URL", url)
    monkeypatch.setenv("CRE_DEPLOYMENT", deployment)
    settings = replace(Settings(), database_url=url, cre_deployment=deployment, cre_account_limit=2)
    one = ChallengeSpec(id=1, name="A", image=image)
    engine = ContainerRuntimeEngine(
        settings,
        runtime=DockerRuntime(docker_client),
        catalog=StaticCatalog([one, replace(one, id=2)]),
    )
    for user, challenge, team in ((1, 1, None), (1, 2, None), (2, 1, 5)):
        assert engine.start_instance(user, challenge, team).ok
    yield engine
    engine.close()


def run(*arguments: str) -> tuple[int, list[str]]:
    done = CliRunner().invoke(main, ["instances", *arguments])
    return done.exit_code, done.output.splitlines()


def test_what_runs_is_listed_and_ended(engine: ContainerRuntimeEngine) -> None:
    code, lines = run("list")
    assert (code, lines[-1]) == (0, "3 live")
    assert any(line.startswith("challenge 1  user 2 of team 5  cre  ") for line in lines)
    assert run("stop", "--challenge", "1", "--user", "1") == (
        0,
        [
            "all instances of challenge 1, user 1: 1 on record",
            "1 ended, 0 could not be ended now",
        ],
    )
    assert engine.get_instance_status(1, 1) is None
    assert engine.get_instance_status(2, 1, 5) is not None
    assert run("stop", "--all", "--why", "the import") == (
        0,
        ["all instances: 2 on record", "2 ended, 0 could not be ended now"],
    )
    assert run("list") == (0, ["0 live"])
    stopped = [event for event in engine.audit.events() if event.action is Action.STOPPED]
    assert [event.metadata["reason"] for event in stopped].count("the import") == 2
    assert all(event.metadata["command"] for event in stopped)


def test_what_cannot_be_ended_is_named(
    engine: ContainerRuntimeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRE_DOCKER_HOST", "tcp://127.0.0.1:9")
    code, lines = run("stop", "--team", "5")
    assert code == 1
    assert "challenge 1 of user 2: unavailable" in lines
    assert lines[-1] == "0 ended, 1 could not be ended now"
    assert engine.get_instance_status(2, 1, 5) is not None


@pytest.mark.parametrize("options", [(), ("--all", "--user", "1"), ("--user", "0")])
def test_all_is_ended_only_where_all_is_said(
    engine: ContainerRuntimeEngine, options: tuple[str, ...]
) -> None:
    assert run("stop", *options)[0] == 3
    assert len(engine._store.all()) == 3


@pytest.mark.parametrize("url", ["nonsense", "postgresql+psycopg2://u:hunter2@127.0.0.1:9/x"])
def test_a_database_that_cannot_be_asked_is_no_traceback(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTAINER_DATABASE_URL", url)
    code, lines = run("stop", "--all")
    assert code == 3
    assert len(lines) == 1
    assert "hunter2" not in lines[0]
