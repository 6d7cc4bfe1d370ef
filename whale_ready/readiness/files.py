"""Writes the answer: a page, Markdown and JSON."""

from __future__ import annotations

from pathlib import Path

from conformance.report.writers import write_whole
from whale_ready.readiness.markdown import to_markdown
from whale_ready.readiness.result import ReadinessReport, to_json


def _page(result: ReadinessReport) -> str:
    from whale_ready.readiness.html import to_html  # needs an extra, which an answer does not

    return to_html(result)


_WRITERS = {
    "readiness.html": _page,
    "readiness.md": to_markdown,
    "readiness.json": to_json,
}
FILES = tuple(_WRITERS)


def write_files(result: ReadinessReport, folder: Path) -> None:
    """Write the files into ``folder``, which is made when it is missing; raises OSError."""
    contents = {name: write(result) for name, write in _WRITERS.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_whole(folder / name, content)
