"""The rules in ``docs/contract.md``: ``PYTHONPATH=tests python -m support.contract_page``.

Writes each rule's sentence from ``conformance/spec/rules.toml`` into the page: those that are there
are put right, new ones come after the rule before them, and those that are no more go. What stands
between the rules is written by hand. The first rule of a new group needs its heading first:
``## Title (GROUP)``.
"""

from __future__ import annotations

import re
from pathlib import Path

from conformance.spec.rules import BY_ID, RULES, Rule

PAGE = Path(__file__).parents[2] / "docs" / "contract.md"
LINE = re.compile(r"^- \*\*([A-Z]+-\d{3})\*\*")


def with_rules(page: str) -> str:
    """The page with the rules as they are.

    Raises:
        ValueError: there is no heading for a rule's group.
    """
    lines = [line for line in page.splitlines() if _rule_of(line) in (None, *BY_ID)]
    at = -1
    for rule in RULES:
        places = {_rule_of(line): number for number, line in enumerate(lines)}
        if rule.id in places:
            at = places[rule.id]
            lines[at] = _line(rule)
            continue
        of_its_group = [
            places[each.id] for each in RULES if each.group == rule.group and each.id in places
        ]
        if of_its_group:
            at = at + 1 if min(of_its_group) <= at else min(of_its_group)
            lines.insert(at, _line(rule))
        else:
            at = _heading(lines, rule) + 2
            lines[at:at] = [_line(rule), ""]
    return "\n".join(lines) + "\n"


def _rule_of(line: str) -> str | None:
    found = LINE.match(line)
    return found and found[1]


def _line(rule: Rule) -> str:
    return f"- **{rule.id}** {rule.title}"


def _heading(lines: list[str], rule: Rule) -> int:
    for at, line in enumerate(lines):
        if line.startswith("## ") and line.endswith(f"({rule.group})"):
            return at
    raise ValueError(f"{rule.id}: write a heading for its group first: ## Title ({rule.group})")


if __name__ == "__main__":
    PAGE.write_text(with_rules(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
