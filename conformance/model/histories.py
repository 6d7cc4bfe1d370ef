"""Histories: calls of several threads on a real backend, with when each began and ended."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from conformance.harness import Player
from conformance.model.calls import VERBS, Act, CallAnswer, ModelCall
from conformance.spec.context import ScenarioContext
from conformance.spec.steps import together


@dataclass(frozen=True)
class Op:
    """One call of a history; or, where ``call`` is None, the clock that moves or the worker.

    Moments are seconds of a clock of the recorder's own. An answer of None was never heard.
    """

    number: int
    thread: str
    began: float
    ended: float
    call: ModelCall | None = None
    answer: CallAnswer | None = None
    moves: float = 0
    """By how many seconds the backend's clock is moved on."""

    def overlaps(self, other: Op) -> bool:
        return self.began <= other.ended and other.began <= self.ended


class HistoryRecorder:
    """Makes calls on a stage, from any thread, and writes down when."""

    def __init__(self, stage: ScenarioContext) -> None:
        self.stage = stage
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._zero = time.perf_counter()
        self._drift = stage.drifted()
        self.ops: list[Op] = []

    def start(self, player: Player, challenge: int) -> CallAnswer:
        call = ModelCall(Act.START, player, challenge)
        return self._made(call, lambda: CallAnswer.of_start(self.stage.start(player, challenge)))

    def extend(self, player: Player, challenge: int) -> CallAnswer:
        call = ModelCall(Act.EXTEND, player, challenge)
        return self._made(call, lambda: CallAnswer.of_action(self.stage.extend(player, challenge)))

    def stop(self, player: Player, challenge: int) -> CallAnswer:
        call = ModelCall(Act.STOP, player, challenge)
        return self._made(call, lambda: CallAnswer.of_action(self.stage.stop(player, challenge)))

    def clean_up(self, player: Player, challenge: int) -> CallAnswer:
        call = ModelCall(Act.CLEAN_UP, player, challenge)
        return self._made(
            call, lambda: CallAnswer.of_action(self.stage.clean_up(player, challenge))
        )

    def status(self, player: Player, challenge: int) -> CallAnswer:
        call = ModelCall(Act.STATUS, player, challenge)
        return self._made(call, lambda: CallAnswer.of_status(self.stage.status(player, challenge)))

    def advance(self, seconds: float) -> None:
        """The clock moves on: it is one of the things that have their place in the order."""
        began = self._now()
        self.stage.advance(seconds)
        self._write(began, moves=seconds)

    def worker(self) -> None:
        began = self._now()
        self.stage.run_worker()
        self._write(began)

    def drift(self) -> float:
        """Seconds that the backend's time has moved by itself meanwhile."""
        return self.stage.drifted() - self._drift

    def _made(self, call: ModelCall, make: Callable[[], CallAnswer]) -> CallAnswer:
        began = self._now()
        answer = make()
        self._write(began, call=call, answer=answer)
        return answer

    def _write(self, began: float, **what: Any) -> None:
        ended = self._now()
        with self._lock:
            number = next(self._numbers)
            self.ops.append(Op(number, threading.current_thread().name, began, ended, **what))

    def _now(self) -> float:
        return time.perf_counter() - self._zero


Programme = Sequence[Callable[[], object]]
"""What one thread does, one call after the other."""


def run_together(programmes: Sequence[Programme]) -> None:
    """Run every programme on a thread of its own, all let go at one moment."""

    def run(programme: Programme) -> None:
        for call in programme:
            call()

    together([lambda each=each: run(each) for each in programmes])  # type: ignore[misc] # bound at once


def sentence(op: Op, names: dict[str, str]) -> str:
    """An operation for people: who, what, and the answer in short."""
    if op.call is None:
        return f"the clock moves on by {op.moves:g} s" if op.moves else "the worker runs"
    who = (
        op.call.account
        if op.call.player.team_id is None
        else (f"user:{op.call.player.user_id} of {op.call.account}")
    )
    asked = f"{who} {VERBS[op.call.act]} challenge {op.call.challenge}"
    if op.answer is None:
        return f"{asked}: no answer"
    seen = op.answer.seen
    if seen is None:
        return f"{asked}: {op.answer.word}{'' if op.answer.definite else ', not definite'}"
    name = names.setdefault(seen.container, f"c{len(names) + 1}")
    return f"{asked}: {op.answer.word} ({name}, {seen.extensions} extensions)"


def timetable(ops: Sequence[Op]) -> str:
    """A history on paper: one line per operation, in the order they began."""
    names: dict[str, str] = {}
    threads: dict[str, int] = {}
    lines = []
    for op in sorted(ops, key=lambda each: each.began):
        thread = threads.setdefault(op.thread, len(threads) + 1)
        until = "…" if op.ended == float("inf") else f"{op.ended * 1000:.1f}"
        span = f"{op.began * 1000:.1f} to {until} ms"
        lines.append(f"  thread {thread}, {span}: {sentence(op, names)}")
    return "\n".join(lines)
