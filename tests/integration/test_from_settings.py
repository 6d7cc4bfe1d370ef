"""Both backends made without arguments, from the environment alone, as a CTFd makes them."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from conformance.harnesses.cre_docker import sweep
from conformance.harnesses.fetch import http_get
from engines.cre import ContainerRuntimeEngine
from engines.whale import WhaleAPIManager
from fake_whale import FakeWhale, User, VirtualEpochClock, WhaleChallenge, WhaleWorld


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment without settings, and a state folder of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_the_engine_runs_a_challenge_from_the_catalogue(
    docker_client: docker.DockerClient,
    image: str,
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalog = state / "challenges.toml"
    catalog.write_text(
        f'[[challenge]]\nid = 5\nname = "Five"\nimage = "{image}"\nreadiness = "http"\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("CONTAINER_CHALLENGES_FILE", str(catalog))
    engine = ContainerRuntimeEngine()
    try:
        ok, message, instance = engine.start_instance(7, 5, team_id=2)
        assert ok, message
        flag = engine.recorded_flag(7, 5, team_id=2)
        assert http_get(instance["host"], int(instance["ports"][0]), "/cgi-bin/flag") == flag
        ok, message = engine.extend_instance(7, 5, team_id=2)
        assert message == "Container extended by 15 minutes (extension 1/5)"
        assert engine.stop_instance(8, 5, team_id=2).ok
    finally:
        sweep(docker_client, engine.deployment)
        engine.close()
    assert (state / "whale-ready" / "state.db").exists()


def test_the_engine_without_any_setting_knows_no_challenge(state: Path) -> None:
    engine = ContainerRuntimeEngine()
    try:
        assert engine.start_instance(7, 5).code.value == "challenge_unavailable"
        assert engine.get_instance_status(7, 5) is None
    finally:
        engine.close()


def test_the_whale_adapter_takes_address_and_tokens_from_the_environment(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = state / "tokens.toml"
    tokens.write_text('[tokens]\n"7" = "ctfd_seven"\n', encoding="utf-8")
    tokens.chmod(0o600)
    whale = WhaleWorld(
        users=[User(7, "seven", token="ctfd_seven")],
        challenges=[WhaleChallenge(5, "Five")],
        images=frozenset({"chal:1"}),
    )
    fake = FakeWhale(whale, clock=VirtualEpochClock())
    with fake.serve() as server:
        monkeypatch.setenv("WHALE_API_URL", server.url)
        monkeypatch.setenv("WHALE_TOKENS_FILE", str(tokens))
        monkeypatch.setenv("WHALE_PROBE", "false")
        manager = WhaleAPIManager()
        try:
            assert manager.capabilities.ready_on_start is False
            assert manager.start_instance(7, 5).ok
            assert manager.stop_instance(7, 5).ok
        finally:
            manager.close()
