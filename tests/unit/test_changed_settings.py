"""Tests of whole sites change no setting without a reason: names in their sources are counted."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from support.changed_settings import CHANGED, OURS, WITHOUT_FIREWALL, shipped_but

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
WHOLE_SITES = (*(TESTS / "ctfd").rglob("*.py"), TESTS / "integration" / "test_servers.py")


def given(source: str) -> set[str]:
    """Names of settings that are given a value: keys, keyword arguments, what is assigned to."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Dict):
            keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
            found |= {key for key in keys if isinstance(key, str)}
        elif isinstance(node, ast.keyword):
            found.add(node.arg or "")
        elif isinstance(node, ast.Assign):
            slots = [target.slice for target in node.targets if isinstance(target, ast.Subscript)]
            found |= {str(slot.value) for slot in slots if isinstance(slot, ast.Constant)}
    return {name for name in found if name.startswith(OURS) and name.isupper()}


def test_each_changed_setting_has_its_reason_and_each_reason_its_setting() -> None:
    changed = set().union(*(given(path.read_text(encoding="utf-8")) for path in WHOLE_SITES))
    ours = {name for name in CHANGED if name.startswith(OURS)}
    assert changed == ours
    assert len(changed) == 14


def test_each_file_without_a_firewall_has_its_reason() -> None:
    pattern = re.compile(r"""cre_firewall=["']none|CRE_FIREWALL["']?[:=,]+ ?["']?none""")
    rooms = ("benchmarks", "conformance", "examples", "tests", "whale_ready")
    files = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    without = {
        str(path.relative_to(ROOT))
        for path in files
        if pattern.search(path.read_text(encoding="utf-8"))
    }
    assert without == set(WITHOUT_FIREWALL)


def test_a_change_without_a_reason_is_found() -> None:
    source = 'site(environ={"CRE_FIREWALL": "none"}, CRE_CAPACITY="1"); environ["USE_WHALE"] = "x"'
    assert given(source) == {"CRE_FIREWALL", "CRE_CAPACITY", "USE_WHALE"}


def test_what_has_no_reason_is_not_passed_on() -> None:
    with pytest.raises(AssertionError, match="CRE_FIREWALL: write the reason"):
        shipped_but(CRE_FIREWALL="none")
