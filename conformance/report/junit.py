"""``junit.xml``: a run as a pipeline's test view reads it.

What did not apply is *skipped*, with its reason. A known deviation and a waived failure are skipped
too, because a test view knows no other state that does not fail the build; their message begins
with ``known deviation:`` or ``waived:``, and their ``system-out`` holds the evidence.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from conformance.report.matrix import MatrixCell
from conformance.report.results import EXCUSED, BackendInfo, Report, ScenarioResult, Status
from conformance.spec.rules import BY_ID
from engines.printable import printable


def to_junit(report: Report) -> str:
    """One test suite per backend."""
    root = ET.Element("testsuites", name="whale-ready")
    for backend in report.backends:
        root.append(_suite(report, backend))
    _count(root, MatrixCell.of(report.results), sum(r.duration_s for r in report.results))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(report: Report, backend: BackendInfo) -> ET.Element:
    results = report.of(backend.name)
    suite = ET.Element("testsuite", name=_xml(backend.name))
    suite.set("timestamp", report.started_at.replace(tzinfo=None).isoformat(timespec="seconds"))
    _count(suite, MatrixCell.of(results), sum(result.duration_s for result in results))
    properties = ET.SubElement(suite, "properties")
    facts = {
        "kind": backend.kind,
        "simulated": str(backend.simulated).lower(),
        "verdict": report.verdict.value,
        "profile": report.profile.value,
        **{f"version.{name}": version for name, version in backend.versions.items()},
    }
    for name, value in facts.items():
        ET.SubElement(properties, "property", name=_xml(name), value=_xml(value))
    for result in results:
        suite.append(_case(result))
    return suite


def _count(element: ET.Element, cell: MatrixCell, seconds: float) -> None:
    element.set("tests", str(cell.total))
    element.set("failures", str(cell.failed))
    element.set("errors", str(cell.errors))
    element.set("skipped", str(cell.not_applicable + cell.excused))
    element.set("time", f"{seconds:.3f}")


def _case(result: ScenarioResult) -> ET.Element:
    case = ET.Element(
        "testcase",
        classname=_xml(f"{result.backend}.{result.group}"),
        name=_xml(f"{result.scenario} {result.story}".strip()),
        time=f"{result.duration_s:.3f}",
    )
    message = _xml(result.message)
    if result.status is Status.NOT_APPLICABLE:
        ET.SubElement(case, "skipped", message=message)
    elif result.status in EXCUSED:
        words = result.status.value.replace("_", " ")
        why = result.deviation or result.waiver
        ET.SubElement(case, "skipped", message=_xml(f"{words}: {why}"))
        ET.SubElement(case, "system-out").text = _evidence(result)
    elif result.status is not Status.PASS:
        tag = "failure" if result.status is Status.FAIL else "error"
        detail = ET.SubElement(case, tag, message=message, type=result.rule)
        detail.text = _evidence(result)
    return case


def _evidence(result: ScenarioResult) -> str:
    rule = f"{result.rule}: {BY_ID[result.rule].title}"
    return _xml("\n".join([rule, result.message, "", *result.trace]))


def _xml(text: str) -> str:
    return printable(text, keep="\t\n")
