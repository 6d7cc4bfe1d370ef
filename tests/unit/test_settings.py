"""Settings come from the environment, and a wrong one is named together with its fix."""

from __future__ import annotations

from datetime import datetime, timezone
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from engines.errors import SettingsError
from engines.settings import Settings


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = Settings.from_environ({})
    assert settings == Settings()
    assert settings.use_whale is False
    assert settings.cre_account_limit == 1
    assert settings.cre_public_host == settings.cre_bind_address == "127.0.0.1"


def test_values_are_read_and_typed() -> None:
    settings = Settings.from_environ(
        {
            "USE_WHALE": "true",
            "WHALE_API_URL": "https://ctf.example.org/",
            "CRE_MAX_EXTENSIONS": "0",
            "CONTAINER_CHALLENGES_FILE": "/etc/challenges.toml",
            "CONTAINER_WORKER_SECONDS": "2.5",
        }
    )
    assert settings.use_whale is True
    assert settings.whale_api_url == "https://ctf.example.org"
    assert settings.cre_max_extensions == 0
    assert settings.challenges_file == Path("/etc/challenges.toml")
    assert settings.worker_seconds == 2.5


def test_values_of_the_engine_are_read_and_typed() -> None:
    settings = Settings.from_environ(
        {
            "CRE_PORT_RANGE": "30000-30999",
            "CRE_NETWORK_POOL": "10.99.0.0/16",
            "CRE_ENDS_AT": "2026-12-01T18:00:00+01:00",
            "CRE_CONSTRAINTS": "node.labels.ctf==true, node.role!=manager",
        }
    )
    assert settings.cre_port_range == range(30000, 31000)
    assert settings.cre_network_pool == IPv4Network("10.99.0.0/16")
    assert settings.cre_ends_at == datetime(2026, 12, 1, 17, tzinfo=timezone.utc)
    assert settings.cre_constraints == ("node.labels.ctf==true", "node.role!=manager")


def test_an_empty_value_is_the_default() -> None:
    assert Settings.from_environ({"CRE_CAPACITY": "  "}).cre_capacity == 1000


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("USE_WHALE", "maybe", "true or false"),
        ("CRE_ACCOUNT_LIMIT", "0", "from 1 to 1000"),
        ("CRE_ACCOUNT_LIMIT", "٣", "from 1 to 1000"),
        ("CRE_TIMEOUT_SECONDS", "-5", "whole number"),
        ("WHALE_TIMEOUT_SECONDS", "86401", "from 1 to 86400"),
        ("CRE_READY_SECONDS", "nan", "number of seconds"),
        ("WHALE_API_URL", "ctf.example.org", "https://ctf.example.org"),
        ("WHALE_API_URL", "https://me:secret@ctf.example.org", "leave user and password out"),
        ("CONTAINER_DATABASE_URL", "/var/lib/state.db", "sqlite:///"),
        ("CRE_RUNTIME", "podman", "one of docker, swarm"),
        ("CRE_FIREWALL", "off", "one of engine, operator, none"),
        ("CRE_PORT_RANGE", "30000", "two ports, as 30000-30999"),
        ("CRE_PORT_RANGE", "31000-30000", "the lower one first"),
        ("CRE_PORT_RANGE", "1-65536", "from 1 to 65535"),
        ("CRE_NETWORK_POOL", "10.213.0.0/19", "from /8 to /18"),
        ("CRE_NETWORK_POOL", "10.213.0.1/16", "an IPv4 network"),
        ("CRE_ENDS_AT", "2026-12-01T18:00:00", "a time with its zone"),
        ("CRE_ENDS_AT", "soon", "a time with its zone"),
        ("CRE_DOCKER_HOST", "https://docker.example.org", "ssh://USER@HOST"),
        ("CRE_CONSTRAINTS", "node.labels.ctf", "node.labels.ctf==true"),
    ],
)
def test_a_wrong_value_names_the_setting_and_the_fix(name: str, value: str, fix: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ({name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert fix in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_database_password_is_not_in_the_repr() -> None:
    url = "mysql+pymysql://ctfd:hunter2@127.0.0.1/ctfd"
    settings = Settings.from_environ({"CONTAINER_DATABASE_URL": url})
    assert settings.state_url == url
    assert "hunter2" not in repr(settings)


def test_the_default_database_is_in_the_users_state_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert Settings().state_url == f"sqlite:///{tmp_path}/whale-ready/state.db"


def test_no_test_uses_the_users_own_database(own_state: Path) -> None:
    assert Settings().state_url == f"sqlite:///{own_state}/whale-ready/state.db"


def test_a_silent_service_needs_time_to_be_seen() -> None:
    with pytest.raises(SettingsError, match=r"WHALE_READY_SECONDS: write at least twice"):
        Settings.from_environ({"WHALE_READY_SECONDS": "2"})
    assert Settings.from_environ({"WHALE_READY_SECONDS": "2", "WHALE_PROBE": "false"})
    assert Settings.from_environ({"WHALE_READY_SECONDS": "2.5"}).whale_ready_seconds == 2.5
