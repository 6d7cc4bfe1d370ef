"""Programs written in strings, for another process to run, import what exists.

Linters and type checkers do not read them, so this is where a module that moved is noticed.
"""

from __future__ import annotations

import ast
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("engines", "conformance", "fake_whale", "benchmarks", "whale_ready")
MODULE = rf"((?:{'|'.join(OURS)})(?:\.\w+)*)"
IMPORT = re.compile(rf"^ *(?:import {MODULE}|from {MODULE} import ([\w, ]+))", re.MULTILINE)
MADE_UP = {"engines.mine"}
"""A user's own, in tests/install."""


def imported(source: str) -> set[str]:
    """What the programs in a module's strings import from us: ``module`` or ``module:name``."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for plain, module, names in IMPORT.findall(node.value):
                found.add(plain or module)
                found |= {
                    f"{module}:{name.split()[0]}" for name in names.split(",") if name.strip()
                }
    return found


def exists(what: str) -> bool:
    module, _, name = what.partition(":")
    try:
        if find_spec(module) is None:
            return False
        if not name or hasattr(import_module(module), name):
            return True
        return find_spec(f"{module}.{name}") is not None
    except ModuleNotFoundError:  # what stands above it is no package
        return False


@pytest.mark.parametrize("room", [*OURS, "tests"])
def test_a_program_in_a_string_imports_what_exists(room: str) -> None:
    wrong = {
        f"{path.relative_to(ROOT)}: {what}"
        for path in (ROOT / room).rglob("*.py")
        for what in imported(path.read_text(encoding="utf-8"))
        if what.partition(":")[0] not in MADE_UP and not exists(what)
    }
    assert not wrong


def test_what_has_moved_is_found() -> None:
    lines = ("import sys", "from {} import audit, gone", "from {}.audit import AuditLog")
    program = "\n".join(lines).replace("{}", "engines")
    found = imported(f"START = {program!r}")
    assert {what for what in found if not exists(what)} == {
        "engines:gone",
        "engines.audit:AuditLog",
    }
    assert not exists("engines.no_such_room")
    assert not exists("engines.no_such_room.main")
