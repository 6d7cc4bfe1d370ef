"""A report as GitHub shows it beside a run: workflow commands, one line each.

What a backend said is data: the characters that end a command or a field of it are escaped as
GitHub's own toolkit does.
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.report.results import Report, ScenarioResult, Status
from conformance.spec.rules import BY_ID

_LEVELS = {
    Status.FAIL: "error",
    Status.ERROR: "error",
    Status.KNOWN_DEVIATION: "warning",
    Status.WAIVED: "warning",
}


def annotations_of(report: Report) -> Iterator[str]:
    """A line for everything that did not pass, and for why the verdict is no better."""
    level = "warning" if report.exit_code == 0 else "error"
    for reason in report.reasons:
        yield _command(level, f"whale-ready: {report.verdict.value.replace('_', ' ')}", reason)
    for note in report.notes:
        yield _command("notice", "whale-ready", note)
    for result in report.results:
        if result.status in _LEVELS:
            yield _command(_LEVELS[result.status], _title(result), _message(result))


def stopped(token: str) -> str:
    """From this line on nothing that is printed is a command, until :func:`resumed`."""
    return f"::stop-commands::{token}"


def resumed(token: str) -> str:
    """The end of what :func:`stopped` began."""
    return f"::{token}::"


def _title(result: ScenarioResult) -> str:
    words = result.status.value.upper().replace("_", " ")
    return f"{words} {result.rule} on {result.backend}"


def _message(result: ScenarioResult) -> str:
    why = f"\nknown {result.deviation}" if result.deviation else ""
    why += f"\nwaived {result.waiver}" if result.waiver else ""
    return f"{BY_ID[result.rule].title}\n{result.message}{why}"


def _command(level: str, title: str, message: str) -> str:
    return f"::{level} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
