"""The dial is turned back when Whale passes a limit, and a plan goes on while it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hybrid.stage import ALICE, BOB, Site

from engines.audit import Action, ContainerEvent
from engines.contract import Code
from engines.errors import SettingsError
from engines.hybrid import Position
from engines.hybrid.dial import ALL, Dial
from engines.hybrid.health import HealthLimits, measure
from engines.hybrid.plan_file import read_plan

TENTH, ONE = Position(1000), Position(0, challenges={5: True})
MIN_STARTS = 10
LIMITS = {
    "rollout_min_starts": MIN_STARTS,
    "rollout_error_percent": 10,
    "rollout_ready_seconds": 20.0,
    "rollout_window_seconds": 600,
}
PLAN = """
[[step]]
challenges = [5]
hold_minutes = 10
starts = 3

[[step]]
challenges = [5]
percent = 50
hold_minutes = 20

[[step]]
challenges = [5]
percent = 100
"""


def seen(
    site: Site,
    number: int,
    code: Code = Code.OK,
    *,
    seconds: float = 1.0,
    backend: str = "whale",
    **detail: object,
) -> None:
    """So many starts stand in the audit log, of whatever process."""
    action = Action.STARTED if code is Code.OK else Action.START_FAILED
    now, took = site.hybrid.clock.now(), round(seconds * 1000)
    for _ in range(number):
        site.hybrid.audit.record(
            ContainerEvent(now, backend, ALICE, None, 1, action, code, took, detail)
        )


@pytest.mark.settings(**LIMITS)
def test_too_many_errors_turn_the_dial_back_and_say_why(here: Site) -> None:
    here.turn(ONE)
    here.turn(TENTH.flagged(5, True))
    seen(here, 8)
    seen(here, 2, Code.NOT_READY)
    here.work()
    assert here.dial().position == ONE
    change = here.store.changes()[0]
    assert (change.who, change.action) == ("whale-ready", "step_back")
    assert change.why.startswith(
        "more than 10 % of the starts failed: 10 starts, 2 failed (20.0 %)"
    )
    assert (change.before, change.after) == (
        "10 % of challenges; challenges on: 5",
        "0 % of challenges; challenges on: 5",
    )
    assert here.hybrid.router.dial.position == ONE, "seen here at once"


@pytest.mark.settings(**LIMITS)
def test_slow_starts_turn_it_back(here: Site) -> None:
    here.turn(TENTH)
    seen(here, 18)
    seen(here, 2, seconds=21.0)
    here.work()
    assert here.dial().position.nothing
    assert "starts took longer than 20 s" in here.store.changes()[0].why


@pytest.mark.settings(**LIMITS)
def test_fallbacks_are_whales_errors(here: Site) -> None:
    here.turn(TENTH)
    seen(here, 8)
    seen(here, 2, backend="cre", routed_by="fallback")
    here.work()
    assert here.dial().position.nothing


@pytest.mark.settings(**LIMITS)
@pytest.mark.parametrize(
    "code",
    [
        *(Code.LIMIT_REACHED, Code.BUSY, Code.RATE_LIMITED, Code.CAPACITY),
        Code.CHALLENGE_UNAVAILABLE,
    ],
)
def test_what_whale_does_not_owe_is_no_error(here: Site, code: Code) -> None:
    here.turn(TENTH)
    seen(here, 10)
    seen(here, 10, code)
    here.work()
    assert here.dial().position == TENTH


@pytest.mark.settings(**LIMITS)
@pytest.mark.parametrize("reason", ["catalogue", "unknown_there"])
def test_what_whale_does_not_have_is_no_error_and_is_told(here: Site, reason: str) -> None:
    here.turn(TENTH)
    seen(here, 10)
    seen(here, 10, backend="cre", routed_by=reason)
    here.work()
    assert here.dial().position == TENTH
    health = measure(here.database, "whale", here.dial().changed_at or here.hybrid.clock.now())
    assert (health.starts, health.failed, health.not_there) == (10, 0, 10)
    assert str(health).endswith("; 10 more went to CRE: Whale does not have the challenge")


@pytest.mark.settings(**LIMITS)
def test_too_little_old_or_another_backends_is_not_judged(here: Site) -> None:
    here.turn(TENTH)
    seen(here, MIN_STARTS - 1, Code.NOT_READY)
    here.work()
    assert here.dial().position == TENTH, "too few"
    here.advance(601)
    seen(here, 1, Code.NOT_READY)
    here.work()
    assert here.dial().position == TENTH, "the others are beyond the window"
    seen(here, 20, Code.NOT_READY, backend="cre")
    here.work()
    assert here.dial().position == TENTH, "these are the engine's"


@pytest.mark.settings(**LIMITS)
def test_what_was_seen_before_the_dial_was_turned_does_not_count(here: Site) -> None:
    here.turn(ONE)
    here.turn(TENTH.flagged(5, True))
    seen(here, MIN_STARTS, Code.NOT_READY)
    here.work()
    here.work()
    assert here.dial().position == ONE, "one step for one reason"


@pytest.mark.settings(**LIMITS, rollout_step_back=False)
def test_it_can_be_told_not_to(here: Site) -> None:
    here.turn(TENTH)
    seen(here, MIN_STARTS, Code.NOT_READY)
    here.work()
    assert here.dial().position == TENTH


@pytest.mark.settings(**LIMITS, use_whale=True)
def test_a_dial_that_was_never_set_is_left_alone(here: Site) -> None:
    seen(here, MIN_STARTS, Code.NOT_READY)
    here.work()
    assert here.dial() == Dial()


# Plans.


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


@pytest.mark.settings(**LIMITS)
def test_a_plan_goes_on_while_whale_is_healthy(here: Site, plan: Path) -> None:
    steps = read_plan(plan)
    here.turn(steps[0].position, plan=steps, step=0)
    changed_at = here.dial().changed_at
    assert changed_at is not None
    passed = here.hybrid.clock.now() - changed_at
    here.advance(599 - passed.total_seconds())
    seen(here, 3)
    here.work()
    assert here.dial().step == 0, "not held for long enough"
    here.advance(1)
    here.work()
    assert (here.dial().step, here.dial().position) == (1, steps[1].position)
    change = here.store.changes()[0]
    assert change.action == "advance"
    assert "step 1 was healthy" in change.why
    here.advance(1201)
    seen(here, 19)
    here.work()
    assert here.dial().step == 1, "too few starts seen"
    seen(here, 1)
    here.work()
    assert here.dial().position == Position(ALL, challenges={5: True})
    here.advance(3600)
    seen(here, 30)
    here.work()
    assert here.dial().step == 2, "the last step stays"


@pytest.mark.settings(**LIMITS)
def test_a_plan_ends_at_the_first_step_back(here: Site, plan: Path) -> None:
    steps = read_plan(plan)
    here.turn(steps[0].position, plan=steps, step=0)
    here.turn(steps[1].position, plan=steps, step=1)
    seen(here, MIN_STARTS, Code.START_FAILED)
    here.work()
    dial = here.dial()
    assert (dial.position, dial.plan) == (steps[0].position, ())


@pytest.mark.settings(**LIMITS)
def test_a_paused_plan_waits(here: Site, plan: Path) -> None:
    steps = read_plan(plan)
    here.turn(steps[0].position, plan=steps, step=0, paused=True)
    here.advance(3600)
    seen(here, 30)
    here.work()
    assert here.dial().step == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "one or more"),
        ("step = 3", "one or more"),
        ("step = []", "one or more"),
        ("[[step]]", "step 1: write challenges, percent or accounts"),
        ("[[step]]\npercent = 101", "step 1: write a share from 0% to 100%"),
        (
            "[[step]]\npercent = 5\nhold = 3",
            "step 1: hold: is no field; the fields are",
        ),
        ("[[step]]\nchallenges = ['a']", "step 1: challenges: must be a list of ids"),
        ("[[step]]\nchallenges = [0]", "step 1: challenges: must be a list of ids"),
        ("[[step]]\npercent = 5\nstarts = -1", "step 1: starts: must be a whole number"),
        ("[[step]]\npercent = 5\n[[step]]\npercent = 4", "step 2: a step sends at least"),
        ("[[step]", "is not TOML"),
    ],
)
def test_a_wrong_plan_names_the_place_and_the_fix(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=says) as caught:
        read_plan(path)
    assert "plan.toml" in str(caught.value)


def test_a_plan_may_begin_with_the_first_challenge(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text("[[step]]  # Pwn für alle\nchallenges = 1\nstarts = 0", encoding="utf-8")
    (step,) = read_plan(path)
    assert (step.position, step.starts) == (Position(0, challenges={1: True}), 0)


def test_a_plan_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none.toml: cannot be read: No such file"):
        read_plan(tmp_path / "none.toml")


def test_the_95th_of_a_hundred(here: Site) -> None:
    before = here.hybrid.clock.now()
    here.advance(1)
    for number in range(1, 101):
        seen(here, 1, seconds=number)
    health = measure(here.database, "whale", before)
    assert (health.ready_seconds, health.starts) == (95.0, 100)
    limits = replace(HealthLimits.of(here.settings), ready_seconds=95.0, min_starts=100)
    assert limits.complaint(health) is None
    assert replace(limits, ready_seconds=94.9).complaint(health)


def test_a_real_outage_is_seen_and_turns_the_dial_back(here: Site) -> None:
    """From the fault on the wire to the dial, with nothing written by hand."""
    here.turn(Position(ALL))
    here.fake.inject({"kind": "refuse", "seconds": 3600.0})
    for _ in range(10):
        for user in (ALICE, BOB):
            assert here.start(user, 1).instance["backend"] == "cre"
            assert here.hybrid.stop_instance(user, 1).ok
    here.fake.lift_faults()
    here.work()
    assert here.dial().position.nothing
    assert "20 starts, 20 failed (100.0 %), 20 fell back to CRE" in here.store.changes()[0].why
