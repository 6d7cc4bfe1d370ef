"""Makes a backend's calls and keeps what each took."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.samples import DROPPED, RAISED, RunPart, Sample
from benchmarks.time_source import Time
from conformance.harness import Player
from engines.contract import (
    ActionResult,
    Code,
    ContainerBackend,
    InstanceStatus,
    StartResult,
)
from engines.errors import BackendUnavailable

READY_SECONDS = 20.0
"""How long after its start an address may be silent; then it never was ready."""
LOOK_SECONDS = 0.02

Fetch = Callable[[InstanceStatus], str | None]


@dataclass(frozen=True)
class Heading:
    """What the samples of one block have in common."""

    part: RunPart
    backend: str
    scenario: str
    block: int
    concurrency: int


@dataclass(frozen=True)
class TimedAnswer:
    """What a scenario needs to know of a call that was made."""

    code: str
    definite: bool
    at: float

    @property
    def ok(self) -> bool:
        return self.code == Code.OK.value


class CallRecorder:
    """The four calls on one challenge of one backend, recorded.

    Args:
        fetch: asks an instance's address as a player does; None where that cannot be.
    """

    def __init__(
        self,
        heading: Heading,
        backend: ContainerBackend,
        challenge: int,
        fetch: Fetch | None,
        time: Time,
    ) -> None:
        self.samples: list[Sample] = []
        self._heading = heading
        self._backend = backend
        self._challenge = challenge
        self._fetch = fetch
        self._time = time
        self._lock = threading.Lock()

    def now(self) -> float:
        """The moment, as the samples have it."""
        return self._time.now()

    def start(self, player: Player, intended: float) -> TimedAnswer:
        began, made = self._made(lambda: self._backend.start_instance(*self._of(player)))
        answer = self._answer(made)
        ready = None
        if answer.ok and isinstance(made, StartResult):
            ready = self._ready(made.instance)
        return self._record("start", intended, began, answer, ready)

    def status(self, player: Player, intended: float) -> TimedAnswer:
        began, made = self._made(lambda: self._backend.get_instance_status(*self._of(player)))
        return self._record("status", intended, began, self._answer(made))

    def extend(self, player: Player, intended: float) -> TimedAnswer:
        began, made = self._made(lambda: self._backend.extend_instance(*self._of(player)))
        return self._record("extend", intended, began, self._answer(made))

    def stop(self, player: Player, intended: float) -> TimedAnswer:
        began, made = self._made(lambda: self._backend.stop_instance(*self._of(player)))
        return self._record("stop", intended, began, self._answer(made))

    def clear(self, player: Player) -> bool:
        """Stop without recording it; returns whether nothing is left."""
        _, made = self._made(lambda: self._backend.stop_instance(*self._of(player)))
        return self._answer(made).code in (Code.OK.value, Code.NOT_FOUND.value)

    def dropped(self, call: str, intended: float) -> None:
        """A call was due and is not made."""
        self._keep(call, intended, None, None, None, DROPPED, definite=True)

    def _of(self, player: Player) -> tuple[int, int, int | None]:
        return player.user_id, self._challenge, player.team_id

    def _made(self, call: Callable[[], object]) -> tuple[float, object]:
        began = self._time.now()
        try:
            return began, call()
        except Exception as error:  # noqa: BLE001 - whatever a backend raises is its answer
            return began, error

    def _answer(self, made: object) -> TimedAnswer:
        at = self._time.now()
        if isinstance(made, (StartResult, ActionResult)):
            return TimedAnswer(made.code.value, made.definite, at)
        if isinstance(made, BackendUnavailable):  # as the contract has it for a status
            return TimedAnswer(Code.UNAVAILABLE.value, True, at)
        if isinstance(made, Exception):
            return TimedAnswer(f"{RAISED}{type(made).__name__}", False, at)
        return TimedAnswer(Code.OK.value, True, at)

    def _ready(self, instance: dict[str, object]) -> float | None:
        """When the address answered."""
        if self._fetch is None:
            return None
        until = self._time.now() + READY_SECONDS
        while not self._time.stopped:
            if self._fetch(instance) is not None:  # type: ignore[arg-type] # a start's has the keys
                return self._time.now()
            if self._time.now() > until:
                return None
            self._time.sleep_until(self._time.now() + LOOK_SECONDS)
        return None

    def _record(
        self,
        call: str,
        intended: float,
        began: float,
        answer: TimedAnswer,
        ready: float | None = None,
    ) -> TimedAnswer:
        self._keep(call, intended, began, answer.at, ready, answer.code, definite=answer.definite)
        return answer

    def _keep(
        self,
        call: str,
        intended: float,
        began: float | None,
        answered: float | None,
        ready: float | None,
        code: str,
        *,
        definite: bool,
    ) -> None:
        of = self._heading
        sample = Sample(
            of.part,
            of.backend,
            of.scenario,
            call,
            of.block,
            of.concurrency,
            intended,
            began,
            answered,
            ready,
            code,
            definite,
        )
        with self._lock:
            self.samples.append(sample)
