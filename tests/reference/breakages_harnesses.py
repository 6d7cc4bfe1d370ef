"""Broken backends by a factory, for ``--backend NAME=package.module:factory``."""

from __future__ import annotations

from datetime import date

from conformance.harness import KnownDeviation
from engines.contract import Code, StartResult
from reference.backend import ReferenceBackend
from reference.breakages import FlagInTheMessage, ForgetfulStop
from reference.world import ReferenceHarness


class Commanding(ReferenceBackend):
    """Its refusal at the limit has a line that a pipeline would take for a command."""

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> StartResult | None:
        result = super().refusal(user_id, challenge_id, team_id)
        if result is not None and result.code is Code.LIMIT_REACHED:
            return StartResult(False, "No\n::set-env name=PATH::/", code=Code.LIMIT_REACHED)
        return result


def forgetful_stop() -> ReferenceHarness:
    return ReferenceHarness(ForgetfulStop)


def flag_in_the_message() -> ReferenceHarness:
    return ReferenceHarness(FlagInTheMessage)


def commanding() -> ReferenceHarness:
    return ReferenceHarness(Commanding)


def declares_what_it_keeps() -> ReferenceHarness:
    harness = ReferenceHarness()
    harness.known_deviations = (
        KnownDeviation("STOP-002", "none", "https://example.org/1", date(9999, 12, 31)),
    )
    return harness
