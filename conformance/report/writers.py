"""Writes a run's files; ``docs/report.md`` tells what each is for."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from conformance.report.badge import to_badge
from conformance.report.junit import to_junit
from conformance.report.markdown import to_markdown
from conformance.report.results import Report
from conformance.spec.redaction import Secrets, cleaned
from engines.printable import json_text

__all__ = ["FILES", "to_badge", "to_json", "to_junit", "to_markdown", "write_reports"]


def to_json(report: Report) -> str:
    """The whole run for programs; :func:`conformance.report.schema.report_schema` describes it."""
    return json_text(report.to_dict()) + "\n"


def _page(report: Report) -> str:
    from conformance.report.html import to_html  # needs an extra, which readers of runs do not

    return to_html(report)


_WRITERS = {
    "report.html": _page,
    "report.json": to_json,
    "matrix.md": to_markdown,
    "junit.xml": to_junit,
    "badge.svg": to_badge,
}
FILES = tuple(_WRITERS)
"""Names of the files, the one for people first."""


def write_reports(report: Report, folder: Path) -> None:
    """Write the files into ``folder``, which is made when it is missing.

    Each file appears whole or not at all. Raises OSError when one cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shown = _without_secrets(report)
    contents = {name: write(shown) for name, write in _WRITERS.items()}
    for name, content in contents.items():
        write_whole(folder / name, content)


def _without_secrets(report: Report) -> Report:
    """Results are clean already, of secrets only their scenario knew; this is for all the rest, by
    form: what a harness says of itself, notes, reasons, waivers."""
    clean = Secrets().clean
    return replace(
        report,
        environment=cleaned(dict(report.environment)),
        backends=tuple(
            replace(
                backend,
                kind=clean(backend.kind),
                capabilities=cleaned(dict(backend.capabilities)),
                versions=cleaned(dict(backend.versions)),
                known_deviations=tuple(
                    replace(known, reason=clean(known.reason), source=clean(known.source))
                    for known in backend.known_deviations
                ),
            )
            for backend in report.backends
        ),
        results=tuple(
            replace(
                result,
                message=clean(result.message),
                trace=cleaned(result.trace),
                waiver=clean(result.waiver),
                deviation=clean(result.deviation),
            )
            for result in report.results
        ),
        reasons=cleaned(report.reasons),
        notes=cleaned(report.notes),
        ledgers=tuple(replace(ledger, left=cleaned(ledger.left)) for ledger in report.ledgers),
    )


def write_whole(path: Path, content: str) -> None:
    """Write a file that appears whole or not at all; raises OSError when it cannot be written."""
    # In the same folder, so that the rename is one step on every file system.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        # A backend's half a surrogate pair is no reason to lose a report.
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(content)
        os.chmod(name, 0o644)  # noqa: PTH101 - mkstemp's 0600 would keep a CI's other users out
        os.replace(name, path)  # noqa: PTH105 - name is a str, as mkstemp gave it
    except BaseException:  # Ctrl-C too: no half a file stays; raised again
        with suppress(OSError):
            os.unlink(name)  # noqa: PTH108 - as above
        raise
