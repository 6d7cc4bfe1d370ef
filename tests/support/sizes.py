"""The size table in ``CONTRIBUTING.md``: ``PYTHONPATH=tests python -m support.sizes`` refreshes it.

A line counts when it holds code: blank lines, comments and docstrings do not. Figures are rounded
to the hundred, and the page may be :data:`MARGIN` off, so that a small change leaves it alone.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "CONTRIBUTING.md"
MARGIN = 250
"""Lines by which a figure may differ from the code before the page has to be refreshed."""
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
_NO_CODE = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}


def lines_of_code(source: str) -> int:
    """How many lines hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        # A string that is a statement of its own: a docstring, also of an attribute.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            if isinstance(node.value.value, str):
                lines.difference_update(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(lines)


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
