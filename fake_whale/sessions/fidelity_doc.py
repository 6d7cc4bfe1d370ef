"""Keeps the fidelity table in docs/whale-wire.md, between two marks."""

from __future__ import annotations

import re
from pathlib import Path

from ..whale.errors import FakeWhaleError

BEGIN = "<!-- fidelity: written by `fake-whale verify --doc` -->"
END = "<!-- /fidelity -->"
_BLOCK = re.compile(re.escape(BEGIN) + r"\n(.*?)" + re.escape(END), re.DOTALL)
_ROW = re.compile(r"^\| ([^|]+?) \| (\d+) \| (\d+) \| \d+ \|$", re.MULTILINE)


def write_table(path: Path, table: str) -> None:
    """Put ``table`` between the marks; raises :class:`FakeWhaleError` when they are missing."""
    text = _read(path)
    if not _BLOCK.search(text):
        raise FakeWhaleError(f"{path}: add the lines {BEGIN!r} and {END!r} where the table belongs")
    path.write_text(_BLOCK.sub(lambda _: f"{BEGIN}\n{table}\n{END}", text), encoding="utf-8")


def drops(path: Path, table: str) -> list[str]:
    """Sections that match less than the table in the file says; raises :class:`FakeWhaleError`."""
    found = _BLOCK.search(_read(path))
    if not found:
        raise FakeWhaleError(f"{path}: has no fidelity table; write one with --doc without --check")
    now = _shares(table)
    return [
        f"{section}: {now.get(section, 0.0):.1%} now, {share:.1%} in {path.name}"
        for section, share in _shares(found.group(1)).items()
        if now.get(section, 0.0) < share
    ]


def _shares(table: str) -> dict[str, float]:
    """Matched share by section; a section without steps says nothing."""
    rows = [(re.sub(r"\*\*|, \d+ sessions", "", name), m, t) for name, m, t in _ROW.findall(table)]
    return {name: int(matched) / int(total) for name, matched, total in rows if int(total)}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise FakeWhaleError(f"{path}: {error.strerror or error}") from error
