"""What a backend leaves out or writes oddly is its failure, never told as a fault of the suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from reference.backend import ReferenceBackend
from reference.world import ReferenceHarness, ReferenceWorld

from conformance.harness import Options, World
from conformance.registry.backends import Subject
from conformance.report.results import Status
from conformance.run.runner import CheckRequest, check_subjects
from engines.audit import ContainerEvent
from engines.contract import InstanceStatus


class NothingAudited(ReferenceWorld):
    """No event is ever written."""

    def events(self) -> list[ContainerEvent]:
        return []


class NothingAuditedInTime(ReferenceWorld):
    """Only the first event is ever written."""

    def events(self) -> list[ContainerEvent]:
        return super().events()[:1]


class EmptyEvents(ReferenceWorld):
    """Events say nothing beside who did what."""

    def events(self) -> list[ContainerEvent]:
        return [replace(event, metadata={}) for event in super().events()]


class NoPorts(ReferenceBackend):
    def describe(self, record: object) -> InstanceStatus:
        return {**super().describe(record), "ports": []}  # type: ignore[arg-type,typeddict-item] # a record


class PortsInWords(ReferenceBackend):
    def describe(self, record: object) -> InstanceStatus:
        return {**super().describe(record), "ports": ["http", "http"]}  # type: ignore[arg-type,typeddict-item] # a record


class Odd(ReferenceHarness):
    def __init__(self, make: Callable[[Options], World]) -> None:
        super().__init__()
        self.make = make

    def world(self, options: Options) -> World:
        return self.make(options)


@pytest.mark.parametrize(
    "make",
    [
        lambda options: NothingAudited(ReferenceBackend(options)),
        lambda options: NothingAuditedInTime(ReferenceBackend(options)),
        lambda options: EmptyEvents(ReferenceBackend(options)),
        lambda options: ReferenceWorld(NoPorts(options)),
        lambda options: ReferenceWorld(PortsInWords(options)),
    ],
    ids=["no events", "one event", "empty events", "no ports", "ports in words"],
)
def test_no_odd_answer_is_told_as_a_fault_of_the_suite(make: Callable[[Options], World]) -> None:
    report = check_subjects([Subject("odd", Odd(make))], CheckRequest())

    told = [f"{r.rule} {r.message}" for r in report.results if r.status is Status.ERROR]
    assert not told, "\n".join(told)
    assert any(result.status is Status.FAIL for result in report.results)
