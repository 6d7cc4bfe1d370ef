"""A clean-up that finds nothing may say OK or NOT_FOUND: rule, model and order agree."""

from __future__ import annotations

import threading

import pytest
from reference.backend import ReferenceBackend
from reference.world import ReferenceHarness

from conformance.harness import Options
from conformance.model.runs import told
from conformance.model.stories import read
from conformance.registry.backends import Subject
from conformance.report.results import Status
from conformance.run.runner import CheckRequest, check_subjects
from engines.contract import ActionResult, Code, StartResult, validate_ids

WAIT_SECONDS = 30.0
"""Longer than anything waited for takes."""


class SaysNotFound(ReferenceBackend):
    """Right: of an instance that is gone it says so, to the cleanup worker too."""

    def stop_instance(
        self,
        user_id: int,
        challenge_id: int,
        team_id: int | None = None,
        auto_cleanup: bool = False,
    ) -> ActionResult:
        with self.lock:
            result = super().stop_instance(user_id, challenge_id, team_id, auto_cleanup)
            if result.message == "Nothing to clean up":
                return ActionResult(False, "Nothing is running", code=Code.NOT_FOUND)
            return result


class CleansUpTwice(SaysNotFound):
    """The same, and after its first start none begins before two clean-ups have ended: of CONC-018
    the second always finds nothing."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.begun = False
        self.clean_ups = 0
        self.both_ended = threading.Event()

    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        validate_ids(user_id, challenge_id, team_id)
        if self.begun:
            assert self.both_ended.wait(WAIT_SECONDS)
        self.begun = True
        return super().start_instance(user_id, challenge_id, team_id)

    def stop_instance(
        self,
        user_id: int,
        challenge_id: int,
        team_id: int | None = None,
        auto_cleanup: bool = False,
    ) -> ActionResult:
        result = super().stop_instance(user_id, challenge_id, team_id, auto_cleanup)
        if auto_cleanup:
            with self.lock:
                HEARD.append(result.code)
                self.clean_ups += 1
            if self.clean_ups == 2:
                self.both_ended.set()
        return result


HEARD: list[Code] = []
"""What clean-ups of :class:`CleansUpTwice` said."""


@pytest.mark.parametrize("backend", [ReferenceBackend, SaysNotFound])
def test_the_rules_of_a_repeated_clean_up_take_either(backend: type[ReferenceBackend]) -> None:
    request = CheckRequest(select=("STOP-010", "STOP-011", "CONC-012"))
    report = check_subjects([Subject("x", ReferenceHarness(backend))], request)

    assert {result.status for result in report.results} == {Status.PASS}, report.results


def test_an_order_with_a_clean_up_of_nothing_is_found() -> None:
    HEARD.clear()
    subject = Subject("x", ReferenceHarness(CleansUpTwice))
    (result,) = check_subjects([subject], CheckRequest(select=("CONC-018",))).results

    assert sorted(HEARD) == [Code.NOT_FOUND, Code.OK]
    assert result.status is Status.PASS, result.message


@pytest.mark.parametrize("backend", [ReferenceBackend, SaysNotFound])
def test_a_story_goes_on_after_a_clean_up_of_nothing(backend: type[ReferenceBackend]) -> None:
    story = read(
        "clean_up alice first; "
        "start alice first; "
        "clean_up alice first; "
        "clean_up alice first; "
        "start alice first; "
        "clean_up alice second; "
        "stop alice first; "
    )
    telling = told(ReferenceHarness(backend), story, Options())

    assert telling.parted is None, telling.parted
    said = [step.answer.word for step in telling.steps if step.answer is not None]
    nothing = "ok" if backend is ReferenceBackend else "not_found"
    assert said == [nothing, "ok", "ok", nothing, "ok", nothing, "ok"]
