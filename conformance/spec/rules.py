"""The rules of the instance contract, read from ``rules.toml`` beside this file.

``docs/contract.md`` is made from the same file and explains what lies behind the rules. Each rule
has one scenario in ``conformance/scenarios``.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import Enum
from importlib import resources
from typing import Annotated

from msgspec import Meta

SPEC_VERSION = 3
"""Version of the contract these rules belong to; stands in every report.

A rule that asks more of every backend comes with the next version (:attr:`Rule.since`), so that a
backend which was checked against an older one does not break by surprise.
"""

CORE = frozenset(
    {"START", "EXTEND", "STOP", "STATUS", "EXPIRY", "ACCOUNT", "FLAG", "AUDIT", "INPUT", "REACH"}
)
"""Groups of the profile ``core``: what a call site can tell. ``full`` has all groups."""


RuleId = Annotated[str, Meta(pattern=r"^[A-Z]+-[0-9]{3}$", description="an id as START-004")]


@dataclass(frozen=True)
class Rule:
    """One sentence of the contract."""

    id: RuleId
    title: str
    since: Annotated[int, Meta(ge=1)] = 1
    """Version of the contract that it came with."""

    @property
    def group(self) -> str:
        """The part of the id before the dash: ``START``."""
        return self.id.partition("-")[0]


class Profile(str, Enum):
    """Which of the rules a run is about."""

    CORE = "core"
    FULL = "full"


def _read() -> tuple[Rule, ...]:
    text = resources.files("conformance.spec").joinpath("rules.toml").read_text("utf-8")
    return tuple(
        Rule(key, of["title"], of.get("since", 1)) for key, of in tomllib.loads(text).items()
    )


RULES: tuple[Rule, ...] = _read()
"""In the order of the contract."""

BY_ID: dict[str, Rule] = {rule.id: rule for rule in RULES}

GROUPS: tuple[str, ...] = tuple(dict.fromkeys(rule.group for rule in RULES))
"""The groups in the order of the contract."""
