"""The contract as a state machine: for every call which answers are allowed, and what is so then.

Nothing here knows of a backend; what differs between them stands in their capabilities. States are
immutable and can be hashed, so that a search over orders of calls meets each of them once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations

from conformance.model.calls import LIVE, NONE, UNASKED, Act, CallAnswer, ModelCall, SeenInstance
from conformance.model.states import EVER, Held, ModelState, Span
from conformance.spec.steps import OWN_START_CODES, START_SLACK_SECONDS
from engines.contract import Capabilities, Code, ExtendMode, Scope

SLACK_SECONDS = 2.0
"""What whole seconds round away, and a real clock moves on in the middle of a call."""

OK, ALREADY = Code.OK.value, Code.ALREADY_RUNNING.value
_OWN = frozenset(code.value for code in OWN_START_CODES)


def _words(*codes: Code) -> frozenset[str]:
    return frozenset(code.value for code in codes)


@dataclass(frozen=True)
class AllowedOutcome:
    """One way a call may end: any of some words, what the answer shows, and what is so then."""

    words: frozenset[str]
    state: ModelState
    shows: Held | None = None
    fresh: bool = False
    """Whether ``shows`` begins with this call, so that its container is not known beforehand."""

    def __str__(self) -> str:
        said = " or ".join(sorted(self.words))
        return said if self.shows is None else f"{said} with {self.shows}"


class Rulebook:
    """What the contract allows a backend of these capabilities.

    Args:
        offered: the challenges that can be started.
        failing: those whose start fails by itself.
        capacity: live instances in the whole system; None for any number.
        slack: seconds that times may be off by.
        blur: seconds that an expiry may be shown off by, where the clock moves on during calls; it
            is none the later for that.
        reads_clock: whether the remaining time of an answer tells what time it is. Not so among
            parallel calls, where the answer may be older than what was done since.
    """

    def __init__(
        self,
        capabilities: Capabilities,
        offered: Iterable[int],
        *,
        failing: Iterable[int] = (),
        capacity: int | None = None,
        slack: float = SLACK_SECONDS,
        blur: float = 0,
        reads_clock: bool = True,
    ) -> None:
        self.capabilities = capabilities
        self._offered = frozenset(offered)
        self._failing = frozenset(failing)
        self._capacity = capacity
        self._slack = slack
        self._blur = blur
        self._reads_clock = reads_clock

    def follow(
        self, states: Iterable[ModelState], call: ModelCall, answer: CallAnswer
    ) -> frozenset[ModelState]:
        """The states in which the call may have left things; none when that is no answer."""
        found: set[ModelState] = set()
        for state in states:
            for outcome in self.outcomes(state, call):
                after = self._met(outcome, answer)
                if after is not None:
                    found.add(after)
            if not answer.definite:
                found.update(self._in_doubt(state, call))
        return frozenset(found)

    def outcomes(self, state: ModelState, call: ModelCall) -> Iterator[AllowedOutcome]:
        """Every way the call may end; more than one where the contract leaves it open."""
        for view in self.views(state):
            if call.outage:
                yield from self._cut_off(view, call)
            else:
                yield from self._plain(view, call)

    def views(self, state: ModelState) -> Iterator[ModelState]:
        """The state without what has ended by itself; with and without what may have."""
        doubtful: list[Held] = []
        for held in state.held:
            if state.now.lo >= held.expires.hi:
                state = state.without(held, lingers=True)
            elif held.lost or state.now.hi >= held.expires.lo:
                doubtful.append(held)
        for count in range(len(doubtful) + 1):
            for ended in combinations(doubtful, count):
                view = state
                for held in ended:
                    view = view.without(held, lingers=True)
                yield view

    def _plain(self, state: ModelState, call: ModelCall) -> Iterator[AllowedOutcome]:
        held = state.find(call.account, call.challenge)
        if call.act is Act.START:
            yield from self._start(state, call, held)
        elif call.act is Act.STATUS:
            words = frozenset({NONE if held is None else LIVE})
            yield AllowedOutcome(words, state, held)
        elif held is None:
            # A clean-up of what is gone already has nothing left to do: both are true of it.
            gone = {Code.OK, Code.NOT_FOUND} if call.act is Act.CLEAN_UP else {Code.NOT_FOUND}
            yield AllowedOutcome(_words(*gone), state)
        elif call.act is not Act.EXTEND:
            yield AllowedOutcome(_words(Code.OK), state.without(held))
        elif held.extensions >= self.capabilities.max_extensions:
            yield AllowedOutcome(_words(Code.EXTENSION_LIMIT), state)
        else:
            before = state.without(held, ends=False)
            yield AllowedOutcome(_words(Code.OK), before.having(self._extended(held, state)))

    def _start(
        self, state: ModelState, call: ModelCall, held: Held | None
    ) -> Iterator[AllowedOutcome]:
        if held is not None:
            yield AllowedOutcome(_words(Code.ALREADY_RUNNING), state, held)
            return
        refusals: set[str] = set()
        if call.challenge in self._failing:
            refusals |= _OWN
        elif call.challenge not in self._offered:
            refusals.add(Code.CHALLENGE_UNAVAILABLE.value)
        # Which of several reasons is told is left open.
        must = bool(refusals)
        if len(state.of(call.account)) >= self.capabilities.account_limit:
            refusals.add(Code.LIMIT_REACHED.value)
            must = True
        elif self._busy_elsewhere(state, call):
            refusals.add(Code.LIMIT_REACHED.value)
        if self._capacity is not None and len(state.held) >= self._capacity:
            refusals.add(Code.CAPACITY.value)
            must = True
        elif self._capacity is not None and state.places >= self._capacity:
            refusals.add(Code.CAPACITY.value)
        if refusals:
            yield AllowedOutcome(frozenset(refusals), state)
        if not must:
            yield AllowedOutcome(_words(Code.OK), state, self._begun(state, call), fresh=True)

    def _busy_elsewhere(self, state: ModelState, call: ModelCall) -> bool:
        """Whether the user has an instance for another account, where users hold one."""
        if self.capabilities.scope is not Scope.PER_ACCOUNT:
            return False
        return any(held.user_id == call.player.user_id for held in state.held)

    def _cut_off(self, state: ModelState, call: ModelCall) -> Iterator[AllowedOutcome]:
        """In an outage nothing is done, and what needs no asking may be answered as ever."""
        if call.act is Act.STATUS:
            held = state.find(call.account, call.challenge)
            yield AllowedOutcome(frozenset({UNASKED} if held else {UNASKED, NONE}), state)
            return
        yield AllowedOutcome(_words(Code.UNAVAILABLE), state)
        for outcome in self._plain(state, call):
            if outcome.shows is None and outcome.state == state:
                yield outcome

    def _begun(self, state: ModelState, call: ModelCall) -> Held:
        life = float(self.capabilities.timeout_seconds)
        expires = state.now.moved(life).widened(START_SLACK_SECONDS + self._slack, self._slack)
        user = call.player.user_id
        return Held(call.account, call.challenge, user, "", "", EVER, expires, 0)

    def _extended(self, held: Held, state: ModelState) -> Held:
        count = held.extensions + 1
        if self.capabilities.extend is ExtendMode.ADDITIVE:
            later = held.expires.moved(self.capabilities.extension_seconds)
        else:
            renewed = state.now.moved(self.capabilities.extension_seconds)
            later = held.expires.at_least(renewed.widened(self._slack, self._slack))
        return replace(held, expires=later, extensions=count)

    def _met(self, outcome: AllowedOutcome, answer: CallAnswer) -> ModelState | None:
        """The state after an answer, or None when it is not this outcome's."""
        if answer.word not in outcome.words:
            return None
        shown = outcome.shows
        if shown is None or answer.seen is None:
            return outcome.state if (shown is None) == (answer.seen is None) else None
        bound = self._bound(outcome, shown, answer.seen)
        now = self._time(outcome.state.now, answer.seen)
        if bound is None or now is None:
            return None
        state = outcome.state if outcome.fresh else outcome.state.without(shown, ends=False)
        return replace(state, now=now).having(bound)

    def _bound(self, outcome: AllowedOutcome, shown: Held, seen: SeenInstance) -> Held | None:
        """What the model holds with what the answer adds to it, or None when they disagree."""
        if not shown.container:
            if outcome.state.knows(seen.container, seen.address):
                return None
            life = self.capabilities.timeout_seconds
            gained = self.capabilities.extension_seconds * shown.extensions
            if not -1 <= seen.remaining <= life + gained + self._slack:
                return None
            if outcome.fresh and seen.remaining < life - START_SLACK_SECONDS - self._slack:
                return None
        elif (shown.container, shown.address) != (seen.container, seen.address):
            return None
        if seen.extensions != shown.extensions:
            return None
        expires = Span.at(seen.expires_at)
        if not shown.expires.holds(seen.expires_at):
            if not shown.expires.widened(self._blur, self._blur).holds(seen.expires_at):
                return None
            expires = shown.expires
        if not shown.started.holds(seen.started_at):
            return None
        return replace(
            shown,
            container=seen.container,
            address=seen.address,
            started=Span.at(seen.started_at),
            expires=expires,
        )

    def _time(self, now: Span, seen: SeenInstance) -> Span | None:
        """What time it is after this answer, or None when it cannot be so."""
        if not self._reads_clock and now != EVER:
            return now
        told = Span.at(seen.expires_at - seen.remaining).widened(1.5, 0.5)
        return told.within(now.widened(self._slack, self._slack))

    def _in_doubt(self, state: ModelState, call: ModelCall) -> Iterator[ModelState]:
        """A call whose outcome is not known has done nothing, or all of it."""
        for view in self.views(state):
            yield view
            for outcome in self._plain(view, call):
                begun = outcome.shows if outcome.fresh else None
                yield outcome.state if begun is None else outcome.state.having(begun)
