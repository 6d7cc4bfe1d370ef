"""Whose an event is, as the plugin's pages write it."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import jinja2
import pytest

TEMPLATES = Path(__file__).parents[2] / "engines" / "ctfd" / "plugin" / "templates"


def written(at: str, created: str) -> str:
    """An event of user 2 at a time, where an account made at another has the number now."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True)
    environment.globals["url_for"] = lambda _, user_id: f"/users/{user_id}"
    page = environment.from_string(
        '{% import "names.html" as say %}{{ say.account({"user_id": 2, "at": at}, names) }}'
    )
    since = datetime.fromisoformat(created) if created else None
    names = {"user": {2: ("ann", since)}, "team": {}}
    return re.sub("<[^>]*>", "", page.render(at=at, names=names))


@pytest.mark.parametrize(
    ("at", "created", "said"),
    [
        ("2026-01-01T10:00:00.500000+00:00", "2026-01-01T10:00:00.400000", "ann"),
        ("2026-01-01T10:00:00.500000+00:00", "2026-01-01T10:00:00", "ann"),
        ("2026-01-01T10:00:00+00:00", "2026-01-01T10:00:00", "ann"),
        ("2026-01-01T10:00:00.500000+00:00", "", "ann"),
        ("2026-01-01T10:00:00.500000+00:00", "2026-01-01T10:00:00.600000", "user 2 (deleted)"),
        ("2026-01-01T10:00:00+00:00", "2026-01-01T10:00:00.100000", "user 2 (deleted)"),
    ],
)
def test_a_number_that_was_given_again_is_not_told_by_its_new_owners_name(
    at: str, created: str, said: str
) -> None:
    """jonschipp/ISLET#69; an account may be made within the second that its number got free."""
    assert written(at, created) == said
