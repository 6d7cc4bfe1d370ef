"""The size table in ``CONTRIBUTING.md``: ``PYTHONPATH=tests python -m support.sizes`` refreshes it.

A line counts when it holds code: blank lines, comments and docstrings do not. Figures are rounded
to the hundred, and the page may be :data:`MARGIN` or :data:`SHARE` off, so that a small change
leaves it alone.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "CONTRIBUTING.md"
MARGIN = 250
"""Lines by which a figure may differ from the code before the page has to be refreshed …"""
SHARE = 0.03
"""… or this share of it, whichever is more."""
PARTS = {
    "engines": ("engines",),
    "conformance, scenarios": ("conformance/scenarios",),
    "conformance, the rest": ("conformance",),
    "fake_whale": ("fake_whale",),
    "benchmarks": ("benchmarks",),
    "whale_ready": ("whale_ready",),
    "tests": ("tests", "examples"),
}
ROW = re.compile(r"^\| ([a-z_, ]+) \| ([\d ]+) \|$", re.MULTILINE)


def lines_of_code(source: str) -> int:
    """How many lines hold code."""
    code = {
        number
        for number, line in enumerate(source.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    }
    bodies = [ast.parse(source).body]
    while bodies:
        for statement in bodies.pop():
            match statement:
                case ast.Expr(ast.Constant(str())):  # a docstring, also of an attribute
                    last = statement.end_lineno or statement.lineno
                    code.difference_update(range(statement.lineno, last + 1))
                case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                    bodies.append(statement.body)
    return len(code)


def measured() -> dict[str, int]:
    """Lines of code of each part; a file counts in the first part that has it."""
    seen: set[Path] = set()
    sizes = {}
    for part, folders in PARTS.items():
        files = {path for folder in folders for path in (ROOT / folder).rglob("*.py")} - seen
        seen |= files
        sizes[part] = sum(lines_of_code(path.read_text(encoding="utf-8")) for path in files)
    return sizes


def shown() -> dict[str, int]:
    """The figures on the page."""
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    return {part: int(figure.replace(" ", "")) for part, figure in rows if part in PARTS}


def off(part: str, size: int) -> bool:
    """Whether the page's figure for a part is too far from its size."""
    figure = shown()[part]
    return abs(figure - size) > max(MARGIN, SHARE * figure)


def refresh() -> None:
    """Write today's figures into the page."""
    sizes = measured()

    def line(match: re.Match[str]) -> str:
        part = match[1]
        if part not in sizes:
            return match[0]
        figure = f"{round(sizes[part], -2):_}".replace("_", " ")
        return f"| {part} | {figure} |"

    PAGE.write_text(ROW.sub(line, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    refresh()
