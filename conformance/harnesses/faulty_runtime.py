"""A container runtime whose writes fail in the ways of :class:`conformance.harness.FaultKind`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TypeVar

from conformance.harness import FaultKind
from conformance.harnesses.turnstile import Turnstile
from engines.contract import Isolation
from engines.cre.evidence import FailureEvidence, Redactor
from engines.cre.runtimes.base import Cleared, Launch, Launched, ListedResource, Overfull, Runtime
from engines.deadline import wait
from engines.errors import BackendUnavailable, EngineError, RuntimeFault
from engines.pulse import ANSWER_SECONDS, LOOK_SECONDS, Pulse

_T = TypeVar("_T")
_STAYS = BackendUnavailable("it cannot be removed")


class FaultyRuntime(Runtime):
    """Passes everything on to a real runtime; inside :meth:`fault` its writes go wrong.

    Args:
        look_seconds, answer_seconds: see :class:`engines.pulse.Pulse`.
    """

    def __init__(
        self,
        real: Runtime,
        *,
        look_seconds: float = LOOK_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._real = real
        self._goes_on = threading.Event()
        self._goes_on.set()
        self._late: list[Callable[[], object]] = []
        self._pulse = Pulse(
            "the runtime", self._hang, look_seconds=look_seconds, answer_seconds=answer_seconds
        )
        self._fault: FaultKind | None = None
        self._images = ""
        self._turnstile = Turnstile()
        self._seconds = 0.0
        self.name = real.name
        self.simulated = real.simulated
        self.multi_node = real.multi_node

    @property
    def isolation(self) -> frozenset[Isolation]:
        return self._real.isolation

    def refresh(self) -> None:
        self._real.refresh()

    @contextmanager
    def fault(self, kind: FaultKind) -> Iterator[None]:
        """Writes are refused, request or answer gets lost, or nothing is answered."""
        self._fault = kind
        if kind is FaultKind.HANGS:
            self._goes_on.clear()
        try:
            yield
        finally:
            self._fault = None
            self._go_on()

    @contextmanager
    def slow_answers(self, seconds: float) -> Iterator[Callable[[], int]]:
        """Every request takes so long; gives how many there were."""
        self._seconds, self._requests = seconds, 0
        try:
            yield lambda: self._requests
        finally:
            self._seconds = 0.0

    def slow(self) -> AbstractContextManager[Callable[[], int]]:
        """No container is made before the block ends; gives what tells how many are wanted."""
        return self._turnstile.shut()

    def launch(self, launch: Launch) -> Launched:
        with self._turnstile.passing():
            return self._write(
                lambda: self._real.launch(launch), RuntimeFault("the runtime makes no container")
            )

    def remove(self, container_id: str) -> Cleared:
        return self._write(lambda: self._real.remove(container_id), _STAYS)

    def clear(self, deployment: str, name: str, fence: int) -> Cleared:
        return self._write(lambda: self._real.clear(deployment, name, fence), _STAYS)

    def wait_ready(self, launch: Launch, launched: Launched, seconds: float) -> None:
        self._read(lambda: self._real.wait_ready(launch, launched, seconds))

    def is_running(self, container_id: str) -> bool:
        return self._read(lambda: self._real.is_running(container_id))

    def why_ended(self, container_id: str, redactor: Redactor) -> FailureEvidence:
        return self._real.why_ended(container_id, redactor)

    def find(self, deployment: str) -> list[ListedResource]:
        return self._read(lambda: self._real.find(deployment))

    def overfull(self, deployment: str) -> list[Overfull]:
        return self._real.overfull(deployment)

    def alarmed(self) -> bool:
        return self._real.alarmed()

    def change_images(self) -> None:
        """From now on every image is another one, by the same name."""
        self._images += "'"

    def image_id(self, image: str) -> str | None:
        known = self._real.image_id(image)
        return None if known is None else known + self._images

    def versions(self) -> dict[str, str]:
        return self._real.versions()

    def close(self) -> None:
        self._real.close()

    def end(self) -> None:
        """Let go of what stands in front of the real runtime."""
        self._pulse.close()

    def _go_on(self) -> None:
        """Carry out what was asked for while nothing was answered."""
        self._goes_on.set()
        late, self._late = self._late, []
        for work in late:
            with suppress(EngineError):
                work()

    def _hang(self) -> None:
        """Return once there are answers."""
        try:
            wait(self._goes_on.wait)
        except TimeoutError:
            raise BackendUnavailable("nothing was answered", unanswered=True) from None

    def _read(self, look: Callable[[], _T]) -> _T:
        self._take_time()
        with self._pulse.asking():
            self._hang()
        return look()

    def _write(self, work: Callable[[], _T], refusal: EngineError) -> _T:
        self._take_time()
        if self._fault is FaultKind.REFUSES_WRITES:
            raise refusal
        if self._fault is FaultKind.LOST_REQUEST:
            raise BackendUnavailable("the connection broke", unanswered=True)
        try:
            with self._pulse.asking():
                self._hang()
        except BackendUnavailable as error:
            if error.unanswered:
                self._late.append(work)
            raise
        done = work()
        if self._fault is FaultKind.LOST_ANSWER:
            raise BackendUnavailable("the connection broke before the answer", unanswered=True)
        return done

    def _take_time(self) -> None:
        if self._seconds:
            time.sleep(self._seconds)
            self._requests += 1
