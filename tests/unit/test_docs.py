"""The documents say what the code says."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import sizes

from conformance.spec.rules import BY_ID
from engines.catalog import ChallengeSpec, Port
from engines.heartbeat import BEAT_SECONDS, LAPSE_SECONDS
from engines.hybrid.backend import LEASE_SECONDS
from engines.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("*.md"))]
DECISIONS = sorted(ROOT.glob("docs/decisions/[0-9]*.md"))


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
    assert set(table) == {field.name for field in fields(ChallengeSpec)}
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name
)
def test_folders_and_modules_that_a_page_names_exist(page: Path) -> None:
    roots = "engines|conformance|fake_whale|benchmarks|whale_ready|tests|scripts|examples"
    text = page.read_text(encoding="utf-8")
    for name in re.findall(rf"`((?:{roots})/[\w./-]*)`", text):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)
def test_a_decision_says_why_and_what_holds_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ .*", text, re.MULTILINE)
    assert headings[0].startswith(f"# {int(page.name[:4])}. ")
    assert headings[1:] == ["## Context", "## Decision", "## Consequences", "## Held by"]
    held = text.partition("## Held by")[2]
    assert "](../../" in held
    assert set(re.findall(r"[A-Z]+-\d{3}", text)) <= set(BY_ID)


def test_the_decisions_are_numbered_and_listed() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    index = (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8")
    titles = [page.read_text(encoding="utf-8").splitlines()[0] for page in DECISIONS]
    assert re.findall(r"^- \[\d+\]\((.*)\) (.*)$", index, re.MULTILINE) == [
        (page.name, title.partition(". ")[2]) for page, title in zip(DECISIONS, titles, strict=True)
    ]


def test_the_size_table_is_about_right() -> None:
    shown, measured = sizes.shown(), sizes.measured()
    assert shown.keys() == measured.keys()
    off = {part: (shown[part], size) for part, size in measured.items() if sizes.off(part, size)}
    assert not off, f"PYTHONPATH=tests python -m support.sizes refreshes it; page and code: {off}"


def test_lines_of_code_leave_out_what_is_no_code() -> None:
    source = '''"""Docstring
of two lines."""

# comment
A = 1  # one
"""What A is."""
B = """two
lines"""
'''
    assert sizes.lines_of_code(source) == 3


@pytest.mark.parametrize(
    "path",
    [
        *sorted(ROOT.glob(".github/**/*.yml")),
        ROOT / ".pre-commit-config.yaml",
        ROOT / "action.yml",
    ],
    ids=lambda path: path.name,
)
def test_a_file_for_github_or_pre_commit_is_yaml(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")) if path.stem != "config"],
    ids=lambda path: path.name,
)
def test_an_issue_form_can_be_filled_in(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= form.keys()
    for field in form["body"]:
        assert field["type"] in ("markdown", "input", "textarea", "dropdown")
        assert field["attributes"].keys() >= (
            {"value"} if field["type"] == "markdown" else {"label"}
        )
        assert field["type"] != "dropdown" or field["attributes"]["options"]
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(ids) == len(set(ids)) > 0


def test_the_linters_are_the_same_everywhere() -> None:
    """Those of pre-commit are those of tox, and come with the group ``lint``."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = {hook["entry"].split(" --")[0] for repo in config["repos"] for hook in repo["hooks"]}
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8").partition("[testenv:lint]")[2]
    listed = [line.strip() for line in tox.partition("commands =")[2].splitlines() if line.strip()]
    assert hooks == {line.split(" --")[0] for line in listed}
    group = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    installed = {name.partition(">")[0] for name in group["dependency-groups"]["lint"]}
    assert {"ruff", "mypy", "import-linter"} <= installed
