"""What a player may do now, on plain facts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engines.contract import Code
from engines.ctfd.gate import OF_WHAT_RUNS, AskedChallenge, Contest, Person, Unmet, refusal, unmet
from engines.web import Operation, WebCode

PLAYER, OPEN = Person(), AskedChallenge()


@pytest.mark.parametrize("wish", [Operation.START, Operation.EXTEND])
@pytest.mark.parametrize(
    ("person", "contest", "subject", "code"),
    [
        (replace(PLAYER, banned=True), Contest.RUNNING, OPEN, WebCode.FORBIDDEN),
        (replace(PLAYER, needs_team=True), Contest.RUNNING, OPEN, WebCode.FORBIDDEN),
        (replace(PLAYER, needs_confirmation=True), Contest.RUNNING, OPEN, WebCode.FORBIDDEN),
        (PLAYER, Contest.BEFORE, OPEN, WebCode.CONTEST_CLOSED),
        (PLAYER, Contest.PAUSED, OPEN, WebCode.CONTEST_CLOSED),
        (PLAYER, Contest.OVER, OPEN, WebCode.CONTEST_CLOSED),
        (PLAYER, Contest.RUNNING, AskedChallenge(ours=False), Code.CHALLENGE_UNAVAILABLE),
        (PLAYER, Contest.RUNNING, AskedChallenge(state="hidden"), Code.CHALLENGE_UNAVAILABLE),
        (PLAYER, Contest.RUNNING, AskedChallenge(state="locked"), Code.CHALLENGE_UNAVAILABLE),
        (PLAYER, Contest.RUNNING, AskedChallenge(accessible=False), Code.CHALLENGE_UNAVAILABLE),
        (
            PLAYER,
            Contest.RUNNING,
            AskedChallenge(players_see_challenges=False),
            Code.CHALLENGE_UNAVAILABLE,
        ),
        (PLAYER, Contest.RUNNING, AskedChallenge(unmet=Unmet.HIDDEN), Code.CHALLENGE_UNAVAILABLE),
        (PLAYER, Contest.RUNNING, AskedChallenge(unmet=Unmet.SHOWN), WebCode.FORBIDDEN),
    ],
)
def test_refused(
    person: Person, contest: Contest, subject: AskedChallenge, code: object, wish: Operation
) -> None:
    found = refusal(person, contest, subject, wish)
    assert found is not None
    assert found.code is code
    # Who plays it may look at it and stop it all the same; what is not to be seen is not there.
    for of_what_runs in OF_WHAT_RUNS:
        there = refusal(person, contest, subject, of_what_runs)
        assert there == (found if code is Code.CHALLENGE_UNAVAILABLE else None)


@pytest.mark.parametrize("contest", [Contest.RUNNING, Contest.OPEN_AFTER])
def test_allowed(contest: Contest) -> None:
    assert refusal(PLAYER, contest, OPEN, Operation.START) is None


def test_what_is_hidden_is_refused_as_if_it_were_not_there() -> None:
    hidden = refusal(PLAYER, Contest.RUNNING, AskedChallenge(state="hidden"), Operation.START)
    assert hidden == refusal(PLAYER, Contest.RUNNING, AskedChallenge(ours=False), Operation.START)


def test_an_admin_may_try_everything_there_is() -> None:
    admin = Person(is_admin=True, needs_team=True)
    closed = AskedChallenge(state="hidden", accessible=False, unmet=Unmet.HIDDEN)
    assert refusal(admin, Contest.BEFORE, closed, Operation.START) is None
    assert refusal(admin, Contest.RUNNING, AskedChallenge(ours=False), Operation.START) is not None


ALL = frozenset({1, 2, 3})


@pytest.mark.parametrize(
    ("requirements", "solved", "expected"),
    [
        (None, (), Unmet.NO),
        ({}, (), Unmet.NO),
        ({"prerequisites": None}, (), Unmet.NO),
        ({"prerequisites": [1, 2]}, (1, 2), Unmet.NO),
        ({"prerequisites": [1, 2]}, (1,), Unmet.HIDDEN),
        ({"prerequisites": [1, 9]}, (1,), Unmet.NO),  # 9 was deleted
        ({"prerequisites": [1], "anonymize": True}, (), Unmet.SHOWN),
        ({"prerequisites": [1], "anonymize": "preview"}, (), Unmet.SHOWN),
        ({"prerequisites": [1], "anonymize": False}, (), Unmet.HIDDEN),
    ],
)
def test_prerequisites(requirements: object, solved: tuple[int, ...], expected: Unmet) -> None:
    assert unmet(requirements, ALL, frozenset(solved)) is expected
