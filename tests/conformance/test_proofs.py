"""Declared but broken fails, and so does working but undeclared."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest
from reference.backend import CHALLENGES, STEP, ReferenceBackend, ResettingBackend
from reference.breakages import BelievesItsRecords, SharedPort
from reference.inside import Wall
from reference.world import ReferenceHarness, ReferenceWorld

from conformance.harness import Hook, Options, World
from conformance.registry.backends import Subject
from conformance.report.results import Status
from conformance.run.runner import CheckRequest, check_subjects
from conformance.spec.scenario import Need, scenario
from engines.contract import (
    ActionResult,
    Addressing,
    Capabilities,
    Code,
    ExtendMode,
    Isolation,
    StartResult,
)

# Backends that lack something.


class NoTeams(ReferenceBackend):
    """Every instance is its user's own."""

    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        return super().start_instance(user_id, challenge_id)

    def extend_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> ActionResult:
        return super().extend_instance(user_id, challenge_id)

    def stop_instance(self, user_id: int, challenge_id: int, *rest: object) -> ActionResult:  # type: ignore[override] # the team is of no account
        return super().stop_instance(user_id, challenge_id)

    def get_instance_status(self, user_id: int, challenge_id: int, team_id: int | None = None):  # type: ignore[no-untyped-def] # as the base
        return super().get_instance_status(user_id, challenge_id)


class NoExtensions(ReferenceBackend):
    """Nothing is ever extended."""

    def extend(self, *args: object) -> ActionResult:
        return ActionResult(False, "Maximum extensions reached", code=Code.EXTENSION_LIMIT)


class OneOnly(ReferenceBackend):
    """An account has one instance, whatever is set."""

    def __init__(self, options: Options) -> None:
        super().__init__(replace(options, account_limit=1))


class AnyNumber(ReferenceBackend):
    """An account has as many as it likes."""

    def __init__(self, options: Options) -> None:
        super().__init__(replace(options, account_limit=9))


def open_in(*walls: Wall) -> type[ReferenceBackend]:
    return type("Open", (ReferenceBackend,), {"missing_walls": frozenset(walls)})


# What they declare.


class Declaring(ReferenceHarness):
    """The backend says of itself what the test wants it to."""

    def __init__(self, backend: type[ReferenceBackend], **declared: object) -> None:
        def capabilities(self: ReferenceBackend) -> Capabilities:
            return replace(super(said, self).capabilities, **declared)  # type: ignore[arg-type] # by name

        said = type("Said", (backend,), {"capabilities": property(capabilities)})
        super().__init__(said)


@dataclass(frozen=True)
class Case:
    """One capability: with it, without it, and the scenarios that prove it."""

    name: str
    declared: dict[str, object]
    undeclared: dict[str, object]
    having: type[ReferenceBackend]
    lacking: type[ReferenceBackend]
    rules: tuple[str, ...]


def kept_from(part: Isolation, numbers: Iterable[int], *walls: Wall) -> Case:
    return Case(
        f"isolation from {part.value}",
        {},
        {"isolation": frozenset(Isolation) - {part}},
        ReferenceBackend,
        open_in(*walls),
        tuple(f"ISOLATION-{number:03}" for number in numbers),
    )


TEAM_RULES = (6, 7, 9, 11, 12, 13, 14, 15, 16)
ADDITIVE = {"extend": ExtendMode.ADDITIVE, "extension_seconds": STEP}
RESET = {"extend": ExtendMode.RESET, "extension_seconds": Options().timeout_seconds}
CASES = (
    Case("additive", ADDITIVE, {**ADDITIVE, "extend": ExtendMode.RESET},
         ReferenceBackend, ResettingBackend, ("EXTEND-002",)),
    Case("reset", RESET, {**RESET, "extend": ExtendMode.ADDITIVE},
         ResettingBackend, ReferenceBackend, ("EXTEND-003",)),
    Case("extensions", {}, {"max_extensions": 0},
         ReferenceBackend, NoExtensions, ("EXTEND-001",)),
    Case("subdomain", {}, {"addressing": frozenset({Addressing.HOST_PORT})},
         ReferenceBackend, SharedPort, ("REACH-008",)),
    Case("host_port", {}, {"addressing": frozenset({Addressing.SUBDOMAIN})},
         ReferenceBackend, SharedPort, ("REACH-009",)),
    Case("detects_loss", {}, {"detects_loss": False},
         ReferenceBackend, BelievesItsRecords, tuple(f"STATUS-01{n}" for n in (1, 2, 3, 4))),
    Case("teams", {}, {"teams": False},
         ReferenceBackend, NoTeams, tuple(f"ACCOUNT-{n:03}" for n in TEAM_RULES)),
    Case("limit of one", {"account_limit": 1}, {"account_limit": 2},
         OneOnly, AnyNumber, ("START-006",)),
    Case("limit of two", {"account_limit": 2}, {"account_limit": 1},
         AnyNumber, OneOnly, ("START-017",)),
    kept_from(Isolation.SIBLINGS, (1, 2), Wall.SIBLINGS),
    kept_from(Isolation.HOST, (3, 4, 5, 9), Wall.HOST, Wall.ENGINE, Wall.PRIVATE_NETWORKS),
    kept_from(Isolation.INTERNET, (6, 7, 8), Wall.INTERNET),
)  # fmt: skip


def statuses(harness: ReferenceHarness, *rules: str) -> dict[str, Status]:
    report = check_subjects([Subject("x", harness)], CheckRequest(select=rules))
    return {result.rule: result.status for result in report.results}


by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@by_name
def test_declared_and_working_passes(case: Case) -> None:
    found = statuses(Declaring(case.having, **case.declared), *case.rules)

    assert found == dict.fromkeys(case.rules, Status.PASS)


@by_name
def test_declared_but_broken_fails(case: Case) -> None:
    found = statuses(Declaring(case.lacking, **case.declared), *case.rules)

    assert Status.FAIL in found.values()


@by_name
def test_working_but_undeclared_fails(case: Case) -> None:
    report = check_subjects(
        [Subject("x", Declaring(case.having, **case.undeclared))], CheckRequest(select=case.rules)
    )

    *others, last = report.results
    assert last.status is Status.FAIL
    assert last.message.startswith("works, though the backend declares no ")
    assert {other.status for other in others} <= {Status.NOT_APPLICABLE}


@by_name
def test_undeclared_and_not_there_does_not_apply(case: Case) -> None:
    report = check_subjects(
        [Subject("x", Declaring(case.lacking, **case.undeclared))], CheckRequest(select=case.rules)
    )

    for result in report.results:
        assert result.status is Status.NOT_APPLICABLE, f"{result.rule}: {result.message}"
        assert result.message.startswith("the backend declares no ")
    assert any(result.trace for result in report.results), "it was tried"


# Half a proof is none.


def test_a_proof_that_lacks_a_scenario_is_not_begun() -> None:
    harness = Declaring(ReferenceBackend, detects_loss=False)

    found = check_subjects([Subject("x", harness)], CheckRequest(select=("STATUS-01[12]",)))

    assert [result.status for result in found.results] == [Status.NOT_APPLICABLE] * 2
    assert not any(result.trace for result in found.results)


def test_a_proof_that_lacks_a_hook_is_not_begun() -> None:
    harness = Declaring(ReferenceBackend, detects_loss=False)
    harness.hooks = frozenset(Hook) - {Hook.KILL_BEHIND}

    assert set(statuses(harness, "STATUS-011").values()) == {Status.NOT_APPLICABLE}


class _Homeless(ReferenceWorld):
    challenges = replace(CHALLENGES, egress=None)


def test_a_scenario_that_lacks_more_than_the_capability_is_not_tried() -> None:
    class Harness(Declaring):
        def world(self, options: Options) -> World:
            return _Homeless(self.backend(options))

    harness = Harness(ReferenceBackend, isolation=frozenset())

    found = statuses(harness, "ISOLATION-00[12]")
    assert set(found.values()) == {Status.NOT_APPLICABLE}


def test_a_call_that_never_returns_is_a_failure_also_where_it_is_only_tried() -> None:
    class Hanging(NoExtensions):
        def extend(self, *args: object) -> ActionResult:
            threading.Event().wait()
            raise AssertionError

    subject = Subject("x", Declaring(Hanging, max_extensions=0))
    request = CheckRequest(select=("EXTEND-001",), seconds_per_scenario=0.3)

    (result,) = check_subjects([subject], request).results

    assert result.status is Status.FAIL
    assert "did not return" in result.message


def test_a_scenario_proves_only_what_it_needs() -> None:
    with pytest.raises(ValueError, match="cannot prove what it does not need"):
        scenario("START-001", proves=Need("wings", lambda _world: False))
