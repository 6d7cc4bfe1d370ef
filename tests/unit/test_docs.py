"""The documents say what the code says."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from engines.catalog import ChallengeSpec, Port
from engines.heartbeat import BEAT_SECONDS, LAPSE_SECONDS
from engines.hybrid.backend import LEASE_SECONDS
from engines.settings import Settings

ROOT = Path(__file__).parents[2]


def shown(default: object) -> str:
    if default in (None, "", ()):
        return "–"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


SETTINGS = [
    f"| `{each.metadata['env']}` | {shown(each.default)} | {each.metadata['help']} |"
    for each in fields(Settings)
]


def rows(page: str, name: str) -> list[str]:
    """The rows of a page's tables whose first cell is such a name."""
    lines = (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if re.match(rf"\| `{name}` \|", line)]


def test_the_table_of_settings_is_the_settings() -> None:
    assert rows("settings.md", "[A-Z_]+") == SETTINGS


def test_the_engines_page_has_the_engines_settings() -> None:
    ours = [row for row in SETTINGS if row.startswith(("| `CRE_", "| `CONTAINER_"))]
    assert rows("cre.md", "[A-Z_]+") == ours


def test_the_rollouts_page_says_how_long_a_dead_process_is_in_the_way() -> None:
    page = (ROOT / "docs" / "rollout.md").read_text(encoding="utf-8")
    assert f"every {BEAT_SECONDS:g} s it prolongs it by {LAPSE_SECONDS:g} s" in page
    assert f"`LEASE_SECONDS` ({LEASE_SECONDS:g} s" in page
    assert f"for its account for up to {LAPSE_SECONDS:g} s" in page


def test_the_engines_page_has_every_field_of_a_challenge() -> None:
    table = {row.split("`")[1]: row.split("|")[2].strip() for row in rows("cre.md", "[a-z_]+")}
    assert set(table) == {each.name for each in fields(ChallengeSpec)}
    plain = ChallengeSpec(1, "A", "a")
    for name, default in table.items():
        value = getattr(plain, name)
        if default not in ("must be given", "none", "–"):
            assert tomllib.loads(f"x = {default.strip('`')}")["x"] == in_toml(value), name
        elif default != "must be given":
            assert not value, name


def in_toml(value: Any) -> Any:
    """A default as an organiser would write it."""
    if isinstance(value, tuple):
        return [in_toml(each) for each in value]
    if isinstance(value, Port):
        return value.number
    return value.value if isinstance(value, Enum) else value


@pytest.mark.parametrize(
    "page", [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md"], ids=lambda page: page.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
