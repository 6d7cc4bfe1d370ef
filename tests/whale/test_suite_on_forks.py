"""The suite on every ctfd-whale that people run: a selection; whole runs are for hands."""

from __future__ import annotations

import pytest

from conformance.registry.backends import FLAVOURS, Subject, resolve
from conformance.report.results import Status
from conformance.run.runner import CheckRequest, check_subjects

SELECTED = (
    *("START-001", "START-004", "STATUS-002", "STATUS-010", "EXTEND-001", "STOP-001", "STOP-014"),
    *("ACCOUNT-001", "ACCOUNT-005", "REACH-001", "CONC-004", "EXPIRY-001"),
)


@pytest.mark.parametrize("flavour", [name for name in FLAVOURS if name != "frankli0324"])
def test_the_suite_is_green_on_each(flavour: str) -> None:
    subject = resolve(f"whale:fake:{flavour}")
    assert isinstance(subject, Subject)
    report = check_subjects([subject], CheckRequest(select=SELECTED))
    broken = [
        f"{result.rule}: {result.message}"
        for result in report.results
        if result.status not in (Status.PASS, Status.NOT_APPLICABLE)
    ]
    assert not broken, "\n".join(broken)
    assert sum(result.status is Status.PASS for result in report.results) >= 10
