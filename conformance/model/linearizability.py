"""Whether the answers of parallel calls are those of some order of these calls.

A search over orders, after Wing and Gong (1993), that remembers where it has been, after Lowe
(2017): a call may come next if no other one had ended before it began, and its answer must be one
that the model allows there. Calls with no definite answer may have been done at any time after they
began, or never. Calls that gave way have done nothing, and may say ``busy`` only in company.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from conformance.model.calls import NOTHING_DONE, PLACES, Act, CallAnswer
from conformance.model.histories import Op, sentence, timetable
from conformance.model.rulebook import Rulebook
from conformance.model.states import ModelState
from engines.contract import Code, Scope

NEVER = float("inf")
_UNAVAILABLE = Code.UNAVAILABLE.value
_IDLE = frozenset(
    {
        *PLACES,
        Code.ALREADY_RUNNING.value,
        Code.CHALLENGE_UNAVAILABLE.value,
        Code.EXTENSION_LIMIT.value,
        Code.NOT_FOUND.value,
    }
)
"""Words of calls that found what there was and changed nothing."""


@dataclass(frozen=True)
class Impossible:
    """A history that no order explains: as little of it as is enough to see that."""

    ops: tuple[Op, ...]
    furthest: tuple[Op, ...]
    """The longest order that was found."""
    stuck: tuple[Op, ...]
    """What could have come next, and fits not."""

    def __str__(self) -> str:
        names: dict[str, str] = {}
        order = [sentence(op, names) for op in self.furthest]
        lines = [
            "these answers are impossible if calls are handled one at a time:",
            timetable(self.ops),
        ]
        if order:
            lines.append("the longest order that fits begins")
            lines += [f"  {number}. {line}" for number, line in enumerate(order, start=1)]
        lines.append("and none of these can follow:" if order else "none of these can be first:")
        lines += [f"  {sentence(op, names)}" for op in self.stuck]
        return "\n".join(lines)


def impossible(
    rules: Rulebook, history: Iterable[Op], *, shared: bool = False
) -> Impossible | None:
    """Why the history is that of no order of its calls; None when it is.

    Args:
        shared: whether accounts share something, as the places of a full system. Else each account
            is looked at by itself, which is as strict and much quicker.
    """
    ops = list(history)
    parts = [ops] if shared else partition(ops, rules.capabilities.scope)
    for part in parts:
        alone = lonely(part)
        if alone is not None:
            return Impossible((alone,), (), (alone,))
        if Search(rules, part).order is None:
            return _smallest(rules, part)
    return None if shared else _twice(ops)


def partition(ops: Sequence[Op], scope: Scope) -> list[list[Op]]:
    """The history by account; accounts with a common user together where users hold one instance.

    What is nobody's, as the clock, is in every part.
    """
    group: dict[str, str] = {}
    if scope is Scope.PER_ACCOUNT:
        users: dict[int, str] = {}
        for op in ops:
            if op.call is not None:
                first = users.setdefault(op.call.player.user_id, op.call.account)
                _join(group, first, op.call.account)
    parts: dict[str, list[Op]] = defaultdict(list)
    for op in ops:
        if op.call is not None:
            parts[_root(group, op.call.account)].append(op)
    nobodys = [op for op in ops if op.call is None]
    return [sorted([*part, *nobodys], key=lambda op: op.began) for part in parts.values()]


def lonely(ops: Sequence[Op]) -> Op | None:
    """A call that gave way though nothing else was going on; ``rate_limited``: or had been."""
    for op in ops:
        if not _gave_way(op) or op.answer is None:
            continue
        others = [other for other in ops if other is not op]
        if op.answer.word == Code.BUSY.value:
            others = [other for other in others if op.overlaps(other)]
        if not any(other.began <= op.ended for other in others):
            return op
    return None


class Search:
    """Looks for an order; ``order`` is one, or None.

    A start that was refused for want of a place may have met a call in the middle of its work: such
    a call holds its place before its instance is live, and until it is gone.
    """

    def __init__(self, rules: Rulebook, ops: Sequence[Op]) -> None:
        self._rules = rules
        self._ops = [op for op in map(_as_heard, ops) if not _gave_way(op)]
        self._needed = sum(1 << at for at, op in enumerate(self._ops) if op.ended != NEVER)
        self._in_company = [
            _placeless(op) and any(op.overlaps(o) for o in self._ops if _moves_a_place(o))
            for op in self._ops
        ]
        self._been: set[tuple[int, ModelState]] = set()
        self.furthest: tuple[Op, ...] = ()
        self.stuck: tuple[Op, ...] = ()
        self.order = self._found()

    def _found(self) -> tuple[Op, ...] | None:
        stack: list[tuple[int, ModelState, tuple[int, ...]]] = [(0, ModelState(), ())]
        while stack:
            done, state, order = stack.pop()
            if done & self._needed == self._needed:
                return tuple(self._ops[at] for at in order)
            if (done, state) in self._been:
                continue
            self._been.add((done, state))
            following = self._next(done)
            if len(order) > len(self.furthest) or not self.stuck:
                self.furthest = tuple(self._ops[at] for at in order)
                self.stuck = tuple(self._ops[at] for at in following)
            stack.extend(
                (done | 1 << at, after, (*order, at))
                for at, after in reversed(self._worth_trying(state, following))
            )
        return None

    def _next(self, done: int) -> list[int]:
        """Who may come next: nobody left had ended before they began."""
        left = [at for at in range(len(self._ops)) if not done >> at & 1]
        first_end = min(self._ops[at].ended for at in left)
        return [at for at in left if self._ops[at].began <= first_end]

    def _worth_trying(
        self, state: ModelState, following: list[int]
    ) -> list[tuple[int, ModelState]]:
        """What may come next and what is so then.

        A look or a refusal that fits now may as well come now: it changes nothing wherever it
        comes, so that no order is lost by leaving out those in which it comes later.
        """
        found: list[tuple[int, ModelState]] = []
        for at in following:
            after = self._after(state, at)
            if after == {state} and _changes_nothing(self._ops[at]) and self._needed >> at & 1:
                return [(at, state)]
            found.extend((at, model_state) for model_state in after)
        return found

    def _after(self, state: ModelState, at: int) -> frozenset[ModelState]:
        op = self._ops[at]
        if op.call is None:
            return frozenset({state.moved(op.moves) if op.moves else state})
        answer = op.answer or CallAnswer(_UNAVAILABLE, definite=False)
        after = self._rules.follow((state,), op.call, answer)
        if not after and self._in_company[at]:
            return frozenset({state})
        return after


def _as_heard(op: Op) -> Op:
    """A call with no definite answer has no end: what it did may be done at any time."""
    heard = op.call is None or (op.answer is not None and op.answer.definite)
    return op if heard else replace(op, ended=NEVER)


def _gave_way(op: Op) -> bool:
    return op.answer is not None and op.answer.definite and op.answer.word in NOTHING_DONE


def _placeless(op: Op) -> bool:
    return op.answer is not None and op.answer.word in PLACES


def _moves_a_place(op: Op) -> bool:
    """Whether a call takes or frees a place; a start that fails does so for a while."""
    if op.call is None:
        return True  # the worker, or an expiry
    moves = op.call.act in (Act.START, Act.STOP, Act.CLEAN_UP)
    return moves and not _changes_nothing(op)


def _twice(ops: Sequence[Op]) -> Impossible | None:
    """Two accounts that were shown one container."""
    owner: dict[str, Op] = {}
    for op in ops:
        if op.call is None or op.answer is None or op.answer.seen is None:
            continue
        first = owner.setdefault(op.answer.seen.container, op)
        if first.call is not None and first.call.account != op.call.account:
            return Impossible((first, op), (first,), (op,))
    return None


# To make a failing history short.


def _smallest(rules: Rulebook, ops: list[Op]) -> Impossible:
    """The shortest beginning that is impossible, without the looks and refusals that do not matter.

    Both keep what was wrong: what begins an explained history is explained, and so is one that
    leaves out calls which changed nothing.
    """
    kept = ops
    for end in sorted({op.ended for op in ops if op.ended != NEVER}):
        beginning = [_until(op, end) for op in ops if op.began <= end]
        if Search(rules, beginning).order is None:
            kept = beginning
            break
    for op in sorted(kept, key=lambda each: each.began, reverse=True):
        fewer = [each for each in kept if each is not op]
        if _changes_nothing(op) and Search(rules, fewer).order is None:
            kept = fewer
    search = Search(rules, kept)
    return Impossible(tuple(kept), search.furthest, search.stuck)


def _until(op: Op, end: float) -> Op:
    return op if op.ended <= end else replace(op, ended=NEVER, answer=None)


def _changes_nothing(op: Op) -> bool:
    """Whether this is a look, or was refused for what was found."""
    if op.call is None:
        return False
    heard = op.answer is not None and op.answer.definite
    return op.call.act is Act.STATUS or (
        heard and op.answer is not None and op.answer.word in _IDLE
    )


def _join(group: dict[str, str], one: str, other: str) -> None:
    group[_root(group, other)] = _root(group, one)


def _root(group: dict[str, str], account: str) -> str:
    while group.get(account, account) != account:
        account = group[account]
    return account
