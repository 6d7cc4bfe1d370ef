"""What became of a run's containers: counted, and nothing may be left."""

from __future__ import annotations

import pickle

import pytest
from reference.backend import ReferenceBackend
from reference.breakages import ForgetfulStop, SecondContainer
from reference.world import ReferenceHarness

from conformance.harness import Hook, Options, World
from conformance.harnesses.cre import MemoryHarness
from conformance.harnesses.whale import FakeWhaleHarness
from conformance.registry.backends import Subject
from conformance.report.ledger import Books, ContainerTally
from conformance.report.results import ContainerLedger, Report, Verdict
from conformance.run.runner import CheckRequest, check_subjects
from conformance.spec.rules import RULES


class Tidy(ReferenceHarness):
    """Can tell that nothing is left."""

    def leftovers(self) -> list[str]:
        return []


class Untidy(ReferenceHarness):
    """Leaves two containers behind."""

    def leftovers(self) -> list[str]:
        return ["container-7", "container-8"]


class Puzzled(ReferenceHarness):
    """Fails when it is asked what is left."""

    def leftovers(self) -> list[str]:
        raise RuntimeError("the engine does not answer")


class Blind(Tidy):
    """Cannot tell what runs."""

    hooks = frozenset({Hook.CLOCK})


def run(harness: ReferenceHarness, *select: str) -> Report:
    request = CheckRequest(select=select or ("STOP-001", "START-001"), minimum=1)
    return check_subjects([Subject("x", harness)], request)


def test_made_is_what_ended_and_what_was_swept() -> None:
    report = run(Tidy())

    assert report.ledgers == (ContainerLedger("x", made=2, ended=1, swept=1, untold=0, left=()),)
    assert report.reasons == (f"{len(RULES) - 2} rules not selected, and a part is no verdict",)


def test_a_container_that_a_stop_forgot_was_swept() -> None:
    assert run(Tidy(ForgetfulStop), "STOP-001").ledgers[0].swept == 1


def test_a_container_that_no_start_told_of_is_seen() -> None:
    assert run(Tidy(SecondContainer), "START-003").ledgers[0].untold == 1


def test_who_cannot_tell_says_so() -> None:
    assert run(Blind()).ledgers == (ContainerLedger("x", 2, None, None, None, ()),)
    assert run(ReferenceHarness()).ledgers[0].left is None


def test_what_is_left_is_a_problem_of_the_run() -> None:
    report = run(Untidy())

    assert (report.verdict, report.exit_code) == (Verdict.COULD_NOT_RUN, 3)
    assert report.reasons == ("x: left behind after it was closed: container-7, container-8",)
    assert report.ledgers[0].left == ("container-7", "container-8")


def test_a_harness_that_fails_to_tell_is_a_problem_of_the_run() -> None:
    report = run(Puzzled())

    assert report.exit_code == 3
    assert "x: cannot tell what is left: RuntimeError" in report.reasons[0]


def test_a_scenario_that_does_not_apply_makes_nothing() -> None:
    class Still(Tidy):
        hooks = frozenset({Hook.GROUND_TRUTH})

    assert run(Still(), "EXPIRY-001").ledgers == (ContainerLedger("x", 0, 0, 0, 0, ()),)


def start_one(world: World) -> str:
    player = world.players[0]
    started = world.backend.start_instance(player.user_id, 1, player.team_id)
    assert started.ok, started
    return str(started.instance["container_id"])


@pytest.mark.parametrize("make", [MemoryHarness, FakeWhaleHarness])
def test_our_harnesses_can_tell(make: type[MemoryHarness | FakeWhaleHarness]) -> None:
    harness = make()
    harness.open()
    world = harness.world(Options())
    start_one(world)
    world.close()
    harness.close()

    assert harness.leftovers() == []


def test_a_world_that_was_not_closed_leaves_its_container() -> None:
    harness = MemoryHarness()
    harness.open()
    made = start_one(harness.world(Options()))
    harness.close()

    assert harness.leftovers() == [made]


def test_the_books_of_several_processes_are_added_up() -> None:
    first, second = Books(), Books()
    first.add("x", ContainerTally(3, 2, 1))
    second.add("x", ContainerTally(4, 4, 0))
    first.closed("x", [])
    second.closed("x", ["c1"])

    first.merge(pickle.loads(pickle.dumps(second)))  # noqa: S301 - made here

    assert first.ledgers(["x", "y"]) == (
        ContainerLedger("x", 7, 6, 1, 1, ("c1",)),
        ContainerLedger("y", 0, 0, 0, 0, None),
    )


def test_one_that_cannot_tell_leaves_the_sum_untold() -> None:
    books = Books()
    books.add("x", ContainerTally(1, 1, 0))
    books.add("x", ContainerTally(1, None, None))
    books.closed("x", None)
    books.closed("x", [])

    assert books.ledgers(["x"]) == (ContainerLedger("x", 2, None, None, None, None),)


def test_a_container_counts_also_when_the_answer_has_the_wrong_shape() -> None:
    class Shapeless(ReferenceBackend):
        def start_instance(self, *args: object, **kwargs: object) -> object:  # type: ignore[override] # the breakage
            made = super().start_instance(*args, **kwargs)  # type: ignore[arg-type] # as given
            return tuple(made)

    report = run(Tidy(Shapeless), "START-001")

    assert report.verdict is Verdict.FAILED
    assert report.ledgers[0].made == 1
