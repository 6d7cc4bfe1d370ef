"""Hand-made histories, with and without an order; on real threads the CONC rules look for one."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.harness import Player
from conformance.model.calls import LIVE, NONE, Act, CallAnswer, ModelCall, SeenInstance
from conformance.model.histories import Op
from conformance.model.linearizability import Impossible, impossible, partition
from conformance.model.rulebook import Rulebook
from conformance.model.states import ModelState
from engines.contract import Scope
from model.test_rulebook import ALICE, BOB, FIRST, MATE, NOW, OTHER, SECOND, rules

LATER = 900


def seen(container: str = "c1", extensions: int = 0, later: float = 0) -> SeenInstance:
    expires = NOW + 3600 + later
    return SeenInstance(container, f"{container}:80", NOW, expires, int(expires - NOW), extensions)


class History:
    """Calls written down by hand; a moment is a whole number."""

    def __init__(self) -> None:
        self.ops: list[Op] = []

    def call(
        self,
        began: float,
        ended: float,
        act: Act,
        word: str,
        shown: SeenInstance | None = None,
        *,
        player: Player = ALICE,
        challenge: int = FIRST,
        definite: bool = True,
    ) -> History:
        asked, answer = ModelCall(act, player, challenge), CallAnswer(word, shown, definite)
        self.ops.append(Op(len(self.ops), f"t{len(self.ops)}", began, ended, asked, answer))
        return self

    def clock(self, began: float, ended: float, seconds: float) -> History:
        self.ops.append(Op(len(self.ops), "clock", began, ended, moves=seconds))
        return self

    def judged(self, *, capacity: int | None = None, **capabilities: object) -> Impossible | None:
        declared = rules(**capabilities).capabilities
        book = Rulebook(declared, (FIRST, SECOND), capacity=capacity, slack=60, reads_clock=False)
        return impossible(book, self.ops, shared=capacity is not None)


def begun() -> History:
    return History().call(0, 1, Act.START, "ok", seen())


GOOD: dict[str, History] = {
    "one after the other": begun().call(2, 3, Act.STOP, "ok").call(4, 5, Act.STATUS, NONE),
    "a look that overlaps a stop sees it or not": begun()
    .call(2, 6, Act.STOP, "ok")
    .call(3, 4, Act.STATUS, LIVE, seen())
    .call(4.5, 5, Act.STATUS, NONE),
    "a second start in company is sent away": History()
    .call(0, 4, Act.START, "ok", seen())
    .call(1, 2, Act.START, "busy")
    .call(5, 6, Act.START, "already_running", seen()),
    "an answer that is older than another one": History()
    .call(0, 9, Act.START, "already_running", seen())
    .call(1, 8, Act.START, "ok", seen()),
    "a stop of unknown outcome was done late": begun()
    .call(2, 3, Act.STOP, "unavailable", definite=False)
    .call(4, 5, Act.STATUS, LIVE, seen())
    .call(6, 7, Act.STATUS, NONE),
    "a start of unknown outcome was done": History()
    .call(0, 1, Act.START, "unavailable", definite=False)
    .call(2, 3, Act.STATUS, LIVE, seen()),
    "a start of unknown outcome was not done": History()
    .call(0, 1, Act.START, "unavailable", definite=False)
    .call(2, 3, Act.STATUS, NONE)
    .call(4, 5, Act.START, "ok", seen("c2")),
    "a place that is held by a start under way": History()
    .call(0, 9, Act.START, "ok", seen())
    .call(1, 2, Act.START, "limit_reached", challenge=SECOND)
    .call(3, 4, Act.STATUS, NONE),
    "an expiry in between": begun()
    .clock(2, 5, 4000)
    .call(3, 4, Act.STATUS, LIVE, seen())
    .call(6, 7, Act.STOP, "not_found"),
    "two extends, each counted": begun()
    .call(2, 5, Act.EXTEND, "ok")
    .call(3, 6, Act.EXTEND, "ok")
    .call(7, 8, Act.STATUS, LIVE, seen(extensions=2, later=2 * LATER)),
    "a clean-up that could have found nothing, and did not": begun()
    .call(2, 5, Act.CLEAN_UP, "ok")
    .call(4, 9, Act.CLEAN_UP, "ok")
    .call(6, 8, Act.START, "ok", seen("c2"))
    .call(10, 11, Act.STATUS, NONE),
    "a clean-up that found nothing, and says so": begun()
    .call(2, 5, Act.CLEAN_UP, "ok")
    .call(6, 9, Act.CLEAN_UP, "not_found")
    .call(10, 11, Act.STATUS, NONE),
    "mates on one key": History()
    .call(0, 3, Act.START, "ok", seen(), player=MATE)
    .call(1, 4, Act.START, "already_running", seen(), player=OTHER),
}

BAD: dict[str, History] = {
    "a stale read after a stop": begun()
    .call(2, 3, Act.STOP, "ok")
    .call(4, 5, Act.STATUS, LIVE, seen()),
    "a read that goes back": begun()
    .call(2, 9, Act.STOP, "ok")
    .call(3, 4, Act.STATUS, NONE)
    .call(5, 6, Act.STATUS, LIVE, seen()),
    "two starts that both say ok": History()
    .call(0, 3, Act.START, "ok", seen())
    .call(1, 4, Act.START, "ok", seen("c2")),
    "two starts, one container, both ok": History()
    .call(0, 3, Act.START, "ok", seen())
    .call(1, 4, Act.START, "ok", seen()),
    "a lost extension": begun()
    .call(2, 5, Act.EXTEND, "ok")
    .call(3, 6, Act.EXTEND, "ok")
    .call(7, 8, Act.STATUS, LIVE, seen(extensions=1, later=LATER)),
    "a count without its time": begun()
    .call(2, 5, Act.EXTEND, "ok")
    .call(3, 4, Act.STATUS, LIVE, seen(extensions=1)),
    "two stops that both say ok": begun().call(2, 5, Act.STOP, "ok").call(3, 6, Act.STOP, "ok"),
    "a start that is forgotten": begun().call(2, 3, Act.STATUS, NONE),
    "busy with nobody there": History().call(0, 1, Act.START, "busy"),
    "rate limited at the first call": History().call(0, 1, Act.START, "rate_limited"),
    "no place, and nobody at work": begun()
    .call(2, 3, Act.STOP, "ok")
    .call(4, 5, Act.START, "limit_reached", challenge=SECOND),
    "two live at a limit of one": begun().call(2, 3, Act.START, "ok", seen("c2"), challenge=SECOND),
    "a container that comes back": begun()
    .call(2, 3, Act.STOP, "ok")
    .call(4, 5, Act.START, "ok", seen()),
    "live beyond its expiry": begun().clock(2, 3, 4000).call(4, 5, Act.STATUS, LIVE, seen()),
    "a mate who does not see it": History()
    .call(0, 1, Act.START, "ok", seen(), player=MATE)
    .call(2, 3, Act.STATUS, NONE, player=OTHER),
    "two accounts with one container": History()
    .call(0, 1, Act.START, "ok", seen())
    .call(0, 1, Act.START, "ok", seen(), player=BOB),
    "a stop that was refused and done": begun()
    .call(2, 3, Act.STOP, "unavailable")
    .call(4, 5, Act.STATUS, NONE),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_history_with_an_order_is_accepted(name: str) -> None:
    found = GOOD[name].judged()

    assert found is None, str(found)


@pytest.mark.parametrize("name", BAD)
def test_a_history_without_an_order_is_refused(name: str) -> None:
    found = BAD[name].judged()

    assert found is not None
    assert "these answers are impossible if calls are handled one at a time" in str(found)


def test_the_last_place_is_given_once() -> None:
    def history(third: str, shown: SeenInstance | None) -> History:
        return (
            History()
            .call(0, 5, Act.START, "ok", seen("c1"))
            .call(1, 6, Act.START, "ok", seen("c2"), player=BOB)
            .call(2, 7, Act.START, third, shown, player=MATE)
        )

    assert history("capacity", None).judged(capacity=2) is None
    assert history("ok", seen("c3")).judged(capacity=2) is not None
    assert history("ok", seen("c3")).judged() is None, "accounts are apart except for the places"


def test_what_is_shown_is_as_little_as_is_enough() -> None:
    history = begun()
    for at in range(2, 22, 2):
        history.call(at, at + 1, Act.STATUS, LIVE, seen())
    history.call(30, 31, Act.STOP, "ok").call(40, 41, Act.STATUS, LIVE, seen())
    history.call(50, 51, Act.START, "ok", seen("c2")).call(60, 61, Act.STOP, "ok")

    found = history.judged()

    assert found is not None
    acts = [op.call.act for op in found.ops if op.call is not None]
    assert acts == [Act.START, Act.STOP, Act.STATUS]
    assert [op.answer.word for op in found.stuck if op.answer] == [LIVE]


def test_many_calls_at_one_moment_are_searched_through_in_time() -> None:
    history = History().call(0, 1, Act.START, "ok", seen())
    for number in range(18):
        history.call(2 + number / 100, 3 + number / 100, Act.STATUS, LIVE, seen())
    history.call(2, 4, Act.STOP, "ok").call(2, 4, Act.STOP, "ok")

    assert history.judged() is not None


def test_users_who_hold_one_instance_join_their_accounts() -> None:
    alone = Player(MATE.user_id)
    history = History().call(0, 1, Act.STATUS, NONE, player=MATE)
    history.call(0, 1, Act.STATUS, NONE, player=alone).call(0, 1, Act.STATUS, NONE, player=BOB)

    assert len(partition(history.ops, Scope.PER_CHALLENGE)) == 3
    assert len(partition(history.ops, Scope.PER_ACCOUNT)) == 2


def by_brute_force(book: Rulebook, ops: list[Op]) -> bool:
    """Whether any order at all will do, by trying each of them."""
    for order in itertools.permutations(ops):
        if any(b.ended < a.began for a, b in itertools.combinations(order, 2)):
            continue
        states = frozenset({ModelState()})
        for op in order:
            assert op.call is not None
            assert op.answer is not None
            states = book.follow(states, op.call, op.answer)
        if states:
            return True
    return False


answers = st.sampled_from(
    [
        (Act.START, "ok", seen()),
        (Act.START, "ok", seen("c2")),
        (Act.START, "already_running", seen()),
        (Act.STOP, "ok", None),
        (Act.STOP, "not_found", None),
        (Act.CLEAN_UP, "ok", None),
        (Act.EXTEND, "ok", None),
        (Act.STATUS, NONE, None),
        (Act.STATUS, LIVE, seen()),
        (Act.STATUS, LIVE, seen("c2")),
        (Act.STATUS, LIVE, seen(extensions=1, later=LATER)),
    ]
)
spans = st.tuples(st.integers(0, 12), st.integers(0, 6))


@settings(max_examples=400)
@given(st.lists(st.tuples(answers, spans), min_size=1, max_size=6))
def test_the_search_finds_an_order_just_where_there_is_one(drawn: list[Any]) -> None:
    history = History()
    for (act, word, shown), (began, took) in drawn:
        history.call(began, began + took, act, word, shown)
    book = Rulebook(rules().capabilities, (FIRST, SECOND), slack=60, reads_clock=False)

    assert (impossible(book, history.ops) is None) is by_brute_force(book, history.ops)
