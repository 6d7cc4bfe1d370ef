"""What the command prints while it runs and when it is over."""

from __future__ import annotations

import io

import pytest
from reference.breakages import ForgetfulStop
from reference.world import ReferenceHarness

from conformance.registry.backends import Subject
from conformance.report.results import Report
from conformance.run.observer import Observer
from conformance.run.runner import CheckRequest, check_subjects
from whale_ready.console import Console
from whale_ready.progress import progress_on
from whale_ready.summary import print_report

SELECT = ("STOP-00[12]", "REACH-003")


def shown(*, terminal: bool, width: int = 100) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width)
    with progress_on(console) as progress:
        report = run(progress)
    print_report(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def run(progress: Observer) -> Report:
    subject = Subject("a[b]", ReferenceHarness(ForgetfulStop))
    return check_subjects([subject], CheckRequest(select=SELECT), progress)


@pytest.fixture(scope="module")
def plain() -> str:
    return shown(terminal=False)


def test_a_log_gets_plain_lines(plain: str) -> None:
    assert "preparing a[b]\nrunning 3 scenarios\n" in plain
    assert "FAIL STOP-002[a[b]] A stop removes the container.\na[b] STOP: 2 done\n" in plain
    assert "\x1b" not in plain


def test_one_matrix_and_one_verdict(plain: str) -> None:
    assert plain.count("│ scenarios") + plain.count("┃ scenarios") == 1
    assert plain.count("FAILED: a backend broke a rule") == 1
    assert "a[b] (simulated): 1 pass, 2 FAIL" in plain
    assert plain.rstrip().endswith("(exit code 1)")


def test_names_are_not_read_as_markup(plain: str) -> None:
    assert "STOP-002[a[b]]" in plain


def test_a_log_line_is_not_cut_at_a_width() -> None:
    for line in shown(terminal=False, width=40).splitlines():
        if line.startswith("  trace  start_instance("):
            assert line.endswith("code=ok")


def test_a_terminal_gets_a_bar_and_the_same_verdict() -> None:
    live = shown(terminal=True)

    assert "\x1b[" in live
    assert "3/3" in live
    assert "FAILED: a backend broke a rule" in live
