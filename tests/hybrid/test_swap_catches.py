"""The SWAP scenarios fail when the front that swaps is broken, each way by the right ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from reference.world import ReferenceHarness

from conformance.registry.backends import Subject
from conformance.report.results import Status
from conformance.run.runner import CheckRequest, check_subjects
from conformance.spec.swap import HOME, Swap
from engines.contract import ContainerBackend, InstanceStatus, StartResult
from engines.errors import BackendUnavailable
from engines.front import Call
from engines.hybrid import HybridBackend, RoutingDecision
from engines.hybrid.routes import Route


class FollowsTheDial(HybridBackend):
    """Asks where the dial points now, not where the instance is."""

    def _owner(self, route: Route | None) -> ContainerBackend:
        if route is None:
            return self.home
        return self.sides[self.router.decide(route.challenge_id, route.account).backend]


class HasNoRoutes(HybridBackend):
    """Starts where the dial points without asking who has it."""

    def _start(self, call: Call) -> StartResult:
        decision = self.router.decide(call.challenge_id, call.account)
        side = self.sides[decision.backend]
        call.recorded = True
        return side.start_instance(call.user_id, call.challenge_id, call.team_id)


class TakesUnknownForNone(HybridBackend):
    """An owner that cannot be asked has nothing."""

    def _shown(self, call: Call, side: ContainerBackend) -> InstanceStatus | None:
        try:
            return super()._shown(call, side)
        except BackendUnavailable:
            return None


class NeverSwaps(HybridBackend):
    """Stays at home whatever the dial says."""

    def _launch(
        self, call: Call, route: Route, decision: RoutingDecision, **more: Any
    ) -> StartResult:
        home = route.found(HOME)
        self._routes.save(home)
        return super()._launch(call, home, decision, **more)


class KeepsRoutesForEver(HybridBackend):
    """What was on one backend once starts there again."""

    def _again(self, call: Call, route: Route, decision: RoutingDecision) -> StartResult | None:
        return super()._again(call, route, RoutingDecision(route.backend, decision.why, ""))

    def _may_hold(self, route: Route) -> bool:
        return True


class IgnoresTheLimit(HybridBackend):
    """Each backend sees to its own limit."""

    def _wanted(self, call: Call, decision: RoutingDecision) -> Any:
        return replace(super()._wanted(call, decision), limit=10)


CAUGHT_BY: dict[type[HybridBackend], tuple[str, ...]] = {
    FollowsTheDial: ("SWAP-001", "SWAP-002", "SWAP-003", "SWAP-004", "SWAP-007"),
    HasNoRoutes: ("SWAP-004", "SWAP-006", "SWAP-009"),
    TakesUnknownForNone: ("SWAP-010",),
    NeverSwaps: ("SWAP-005", "SWAP-008"),
    KeepsRoutesForEver: ("SWAP-008",),
    IgnoresTheLimit: ("SWAP-006",),
}


@pytest.mark.parametrize("broken", CAUGHT_BY, ids=lambda each: each.__name__)
def test_a_broken_front_fails_the_right_scenarios(
    broken: type[HybridBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Swap, "front", broken)
    subject = Subject("reference", ReferenceHarness())
    report = check_subjects([subject], CheckRequest(select=CAUGHT_BY[broken]))
    statuses = {result.rule: result.status for result in report.results}
    told = [(result.rule, result.message) for result in report.results]
    assert statuses == dict.fromkeys(CAUGHT_BY[broken], Status.FAIL), told
