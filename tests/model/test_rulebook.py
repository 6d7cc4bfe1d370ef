"""What is so of the model whatever is called: it takes no time, doubles and forgets nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.harness import Player
from conformance.model.calls import LIVE, NONE, Act, CallAnswer, ModelCall, SeenInstance
from conformance.model.rulebook import AllowedOutcome, Rulebook
from conformance.model.states import Held, ModelState, Span
from engines.contract import Addressing, Capabilities, Code, ExtendMode, Scope

FIRST, SECOND, UNKNOWN = 1, 2, 99
ALICE, BOB, MATE, OTHER = Player(1), Player(2), Player(11, 5), Player(12, 5)
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp()

capabilities = st.builds(
    Capabilities,
    scope=st.sampled_from(Scope),
    extend=st.sampled_from(ExtendMode),
    addressing=st.just(frozenset({Addressing.HOST_PORT})),
    ready_on_start=st.just(True),
    detects_loss=st.booleans(),
    teams=st.just(True),
    multi_node=st.just(False),
    account_limit=st.integers(1, 2),
    max_extensions=st.integers(0, 3),
    timeout_seconds=st.just(3600),
    extension_seconds=st.sampled_from((900, 3600)),
)
calls = st.builds(
    ModelCall,
    st.sampled_from(Act),
    st.sampled_from((ALICE, BOB, MATE, OTHER)),
    st.sampled_from((FIRST, SECOND, UNKNOWN)),
    st.booleans(),
)
steps = st.lists(st.one_of(calls, st.sampled_from((60.0, 1000.0, 4000.0))), max_size=25)


def answered(outcome: AllowedOutcome, now: float, number: int) -> CallAnswer:
    """An answer that is this outcome's."""
    word = sorted(outcome.words)[0]
    shows = outcome.shows
    if shows is None:
        return CallAnswer(word)
    expires = now + 3600 if outcome.fresh else shows.expires.hi
    name = f"c{number}" if outcome.fresh else shows.container
    began = now if outcome.fresh else shows.started.lo
    address = f"{name}:80" if outcome.fresh else shows.address
    left = int(expires - now)
    return CallAnswer(word, SeenInstance(name, address, began, expires, left, shows.extensions))


class Walk:
    """A way through the model that always takes the first outcome, and what is true on it."""

    def __init__(self, declared: Capabilities) -> None:
        self.rules = Rulebook(declared, (FIRST, SECOND))
        self.declared = declared
        self.now = NOW
        self.state = ModelState(now=Span(NOW, NOW))
        self.number = 0

    def take(self, call: ModelCall) -> None:
        self.number += 1
        before = next(self.rules.views(self.state))
        outcome = next(self.rules.outcomes(self.state, call))
        answer = answered(outcome, self.now, self.number)
        after = self.rules.follow((self.state,), call, answer)
        assert after, f"the model refuses its own answer {answer} to {call}"
        assert not self.rules.follow((self.state,), call, CallAnswer(Code.INTERNAL.value))
        self.state = min(after, key=repr)
        self._compare(before, call, answer)

    def _compare(self, before: ModelState, call: ModelCall, answer: CallAnswer) -> None:
        for account in {held.account for held in self.state.held}:
            assert len(self.state.of(account)) <= self.declared.account_limit
        containers = [held.container for held in self.state.held]
        assert len(set(containers)) == len(containers)
        assert not self.state.past & set(containers), "what has ended lives"
        keys = {(held.account, held.challenge): held for held in self.state.held}
        assert len(keys) == len(self.state.held)
        for held in before.held:
            after = keys.get((held.account, held.challenge))
            mine = (held.account, held.challenge) == (call.account, call.challenge)
            if after is None:
                assert mine, "a call ended what it was not about"
                assert call.act in (Act.STOP, Act.CLEAN_UP)
                continue
            assert after.expires.hi >= held.expires.hi, "time was taken away"
            assert after.extensions - held.extensions in (0, 1)
            assert mine or after == held
        if call.outage or answer.word not in (Code.OK.value, LIVE, Code.ALREADY_RUNNING.value):
            assert self.state.held == before.held, "a refusal changed something"


@settings(max_examples=150)
@given(capabilities, steps)
def test_a_walk_through_the_model_breaks_no_law(
    declared: Capabilities, walked: list[ModelCall | float]
) -> None:
    walk = Walk(declared)
    for step in walked:
        if isinstance(step, ModelCall):
            walk.take(step)
        else:
            walk.now += step
            walk.state = walk.state.moved(step)


def test_what_is_extended_has_not_ended() -> None:
    walk = Walk(replace(rules().capabilities, max_extensions=1))
    for act in (Act.START, Act.EXTEND):
        walk.take(ModelCall(act, ALICE, FIRST))
    assert walk.state.past == frozenset()


def held(**changes: object) -> Held:
    fields: dict[str, object] = {
        "account": "user:1",
        "challenge": FIRST,
        "user_id": 1,
        "container": "c1",
        "address": "c1:80",
        "started": Span.at(NOW),
        "expires": Span.at(NOW + 3600),
        "extensions": 0,
    }
    return Held(**{**fields, **changes})  # type: ignore[arg-type] # of the fields' own types


def rules(**changes: object) -> Rulebook:
    fields: dict[str, object] = {
        "scope": Scope.PER_CHALLENGE,
        "extend": ExtendMode.ADDITIVE,
        "addressing": frozenset({Addressing.HOST_PORT}),
        "ready_on_start": True,
        "detects_loss": True,
        "teams": True,
        "multi_node": False,
        "account_limit": 1,
        "max_extensions": 5,
        "timeout_seconds": 3600,
        "extension_seconds": 900,
    }
    return Rulebook(Capabilities(**{**fields, **changes}), (FIRST, SECOND))  # type: ignore[arg-type] # as above


def words(book: Rulebook, state: ModelState, call: ModelCall) -> set[str]:
    return {word for outcome in book.outcomes(state, call) for word in outcome.words}


def test_at_the_edge_of_an_expiry_both_answers_are_allowed() -> None:
    state = ModelState(now=Span(NOW + 3599, NOW + 3601), held=frozenset({held()}))

    assert words(rules(), state, ModelCall(Act.STOP, ALICE, FIRST)) == {"ok", "not_found"}
    past = state.moved(5)
    assert words(rules(), past, ModelCall(Act.STOP, ALICE, FIRST)) == {"not_found"}
    before = state.moved(-5)
    assert words(rules(), before, ModelCall(Act.STOP, ALICE, FIRST)) == {"ok"}


def test_a_user_who_holds_one_elsewhere_may_be_refused_where_users_hold_one() -> None:
    state = ModelState(now=Span.at(NOW), held=frozenset({held(account="team:5")}))
    call = ModelCall(Act.START, ALICE, SECOND)

    assert words(rules(), state, call) == {"ok"}
    shared = rules(scope=Scope.PER_ACCOUNT)
    assert words(shared, state, call) == {"ok", "limit_reached"}


def test_a_call_of_unknown_outcome_was_done_or_not() -> None:
    book, state = rules(), ModelState(now=Span.at(NOW), held=frozenset({held()}))
    lost = CallAnswer(Code.UNAVAILABLE.value, definite=False)

    after = book.follow((state,), ModelCall(Act.STOP, ALICE, FIRST), lost)

    looks = ModelCall(Act.STATUS, ALICE, FIRST)
    assert {word for each in after for word in words(book, each, looks)} == {LIVE, NONE}


def test_states_of_equal_content_are_one() -> None:
    assert len({ModelState(held=frozenset({held()})), ModelState(held=frozenset({held()}))}) == 1
