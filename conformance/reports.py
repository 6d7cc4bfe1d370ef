"""Writes a run's files: ``report.json``, ``matrix.md`` and ``junit.xml``."""

from __future__ import annotations

import json
import os
import re
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from conformance.matrix import Cell, Matrix, not_applicable, not_passed, spans, verdict_line
from conformance.results import BackendInfo, Report, ScenarioResult, Status
from conformance.rules import BY_ID

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_reports(report: Report, folder: Path) -> None:
    """Write the three files into ``folder``, which is made when it is missing.

    Each file appears whole or not at all. Raises OSError when one cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(report.to_dict(), indent=2, ensure_ascii=False)
    _write(folder / "report.json", content + "\n")
    _write(folder / "matrix.md", to_markdown(report))
    _write(folder / "junit.xml", to_junit(report))


def to_markdown(report: Report) -> str:
    """The matrix, the failures and what did not apply, for a job summary."""
    return "\n".join(_markdown_lines(report)) + "\n"


def to_junit(report: Report) -> str:
    """One test suite per backend; what did not apply is skipped, with its reason."""
    root = ET.Element("testsuites", name="whale-ready")
    for backend in report.backends:
        root.append(_suite(report, backend))
    _count(root, Cell.of(report.results), sum(r.duration_s for r in report.results))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _markdown_lines(report: Report) -> Iterator[str]:
    matrix = Matrix.of(report)
    yield (
        f"# whale-ready {report.tool_version}: contract version {report.spec_version}, "
        f"profile {report.profile.value}"
    )
    yield ""
    yield f"**{_md(verdict_line(report))}**"
    for text in (*report.reasons, *report.notes):
        yield f"\n> {_md(text)}"
    yield ""
    yield f"| group | {' | '.join(map(_md, matrix.headings))} |"
    yield "|---" * (1 + len(matrix.columns)) + "|"
    for group, cells in matrix.rows:
        yield f"| {group} | {' | '.join(map(str, cells))} |"
    yield f"| **all** | {' | '.join(map(str, matrix.totals))} |"
    bad = not_passed(report)
    if bad:
        yield "\n## What did not pass"
    for result in bad:
        yield from _markdown_failure(result)
    reasons = not_applicable(report)
    if reasons:
        yield "\n## What did not apply\n"
    for (backend, reason), scenarios in reasons.items():
        yield f"- {_md(backend)}: {spans(scenarios)}: {_md(reason)}"


def _markdown_failure(result: ScenarioResult) -> Iterator[str]:
    yield f"\n### {_md(result.id)}: {result.status.value}\n"
    yield f"Rule: {BY_ID[result.rule].title}\n"
    if result.waiver:
        yield f"Waived {_md(result.waiver)}\n"
    fence = "`" * 4
    yield f"{fence}text"
    yield result.message.replace(fence, "")
    yield ""
    yield from (line.replace(fence, "") for line in result.trace)
    yield fence


def _md(text: str) -> str:
    plain = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", plain)


def _suite(report: Report, backend: BackendInfo) -> ET.Element:
    results = report.of(backend.name)
    suite = ET.Element("testsuite", name=backend.name)
    suite.set("timestamp", report.started_at.replace(tzinfo=None).isoformat(timespec="seconds"))
    _count(suite, Cell.of(results), sum(result.duration_s for result in results))
    properties = ET.SubElement(suite, "properties")
    facts = {
        "kind": backend.kind,
        "simulated": str(backend.simulated).lower(),
        "verdict": report.verdict.value,
        **{f"version.{name}": version for name, version in backend.versions.items()},
    }
    for name, value in facts.items():
        ET.SubElement(properties, "property", name=_xml(name), value=_xml(value))
    for result in results:
        suite.append(_case(result))
    return suite


def _count(element: ET.Element, cell: Cell, seconds: float) -> None:
    total = cell.passed + cell.failed + cell.errors + cell.not_applicable + cell.waived
    element.set("tests", str(total))
    element.set("failures", str(cell.failed))
    element.set("errors", str(cell.errors))
    element.set("skipped", str(cell.not_applicable + cell.waived))
    element.set("time", f"{seconds:.3f}")


def _case(result: ScenarioResult) -> ET.Element:
    case = ET.Element(
        "testcase",
        classname=_xml(f"{result.backend}.{result.group}"),
        name=_xml(f"{result.scenario} {result.story}".strip()),
        time=f"{result.duration_s:.3f}",
    )
    message = _xml(result.message)
    rule = f"{result.rule}: {BY_ID[result.rule].title}"
    if result.status is Status.NOT_APPLICABLE:
        ET.SubElement(case, "skipped", message=message)
    elif result.status is Status.WAIVED:
        ET.SubElement(case, "skipped", message=_xml(f"waived {result.waiver}: {result.message}"))
        output = ET.SubElement(case, "system-out")
        output.text = _xml("\n".join([rule, result.message, "", *result.trace]))
    elif result.status is not Status.PASS:
        tag = "failure" if result.status is Status.FAIL else "error"
        detail = ET.SubElement(case, tag, message=message, type=result.rule)
        detail.text = _xml("\n".join([rule, result.message, "", *result.trace]))
    return case


def _xml(text: str) -> str:
    return _NOT_XML.sub("�", text)


def _write(path: Path, content: str) -> None:
    # In the same folder, so that the rename is one step on every file system.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
        os.chmod(name, 0o644)  # noqa: PTH101 - mkstemp's 0600 would keep a CI's other users out
        os.replace(name, path)  # noqa: PTH105 - name is a str, as mkstemp gave it
    except BaseException:  # Ctrl-C too: no half a file stays; raised again
        with suppress(OSError):
            os.unlink(name)  # noqa: PTH108 - as above
        raise
