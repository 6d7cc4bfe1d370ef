"""The settings page's rows: where a value is from, and no secret."""

from __future__ import annotations

from dataclasses import fields

import pytest

from engines.ctfd.setting_rows import CONFIG, DEFAULT, ENVIRONMENT, HIDDEN, SITE, SettingRow, rows
from engines.settings import Settings

SECRET = "mysql+pymysql://ctfd:hunter2@db/ctfd"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for field in fields(Settings):
        monkeypatch.delenv(field.metadata["env"], raising=False)
    return monkeypatch


def row(
    name: str, config: dict[str, object], from_site: frozenset[str] = frozenset()
) -> SettingRow:
    return next(each for each in rows(config, from_site) if each.name == name)


def test_the_environment_comes_before_the_config(environment: pytest.MonkeyPatch) -> None:
    config: dict[str, object] = {"CRE_CAPACITY": 7, "CRE_MAX_EXTENSIONS": 3}
    environment.setenv("CRE_CAPACITY", "9")
    found = row("CRE_CAPACITY", config)
    assert (found.value, found.source) == ("9", ENVIRONMENT)
    found = row("CRE_MAX_EXTENSIONS", config)
    assert (found.value, found.source) == ("3", CONFIG)
    found = row("CRE_ACCOUNT_LIMIT", config)
    assert (found.value, found.source) == ("1", DEFAULT)


def test_secrets_are_not_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("WHALE_CTFD_DATABASE_URL", SECRET)
    config: dict[str, object] = {"CONTAINER_DATABASE_URL": SECRET}
    shown = rows(config, frozenset({"CONTAINER_DATABASE_URL"}))
    assert "hunter2" not in repr(shown)
    found = next(each for each in shown if each.name == "CONTAINER_DATABASE_URL")
    assert (found.value, found.source) == (HIDDEN, SITE)


def test_every_setting_is_there(environment: pytest.MonkeyPatch) -> None:
    assert [each.name for each in rows({})] == [field.metadata["env"] for field in fields(Settings)]
