"""A container runtime whose writes fail in the ways of :class:`conformance.harness.FaultKind`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from conformance.harness import FaultKind
from conformance.harnesses.turnstile import Turnstile
from engines.contract import Isolation
from engines.cre.evidence import Evidence, Redactor
from engines.cre.runtimes.base import Cleared, Found, Launch, Launched, Runtime
from engines.errors import BackendUnavailable, EngineError, RuntimeFault

_T = TypeVar("_T")
_STAYS = BackendUnavailable("it cannot be removed")


class FaultyRuntime(Runtime):
    """Passes everything on to a real runtime; inside :meth:`fault` its writes go wrong."""

    def __init__(self, real: Runtime) -> None:
        self._real = real
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
        """Writes are refused, or request or answer gets lost."""
        self._fault = kind
        try:
            yield
        finally:
            self._fault = None

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
        self._real.wait_ready(launch, launched, seconds)

    def is_running(self, container_id: str) -> bool:
        self._take_time()
        return self._real.is_running(container_id)

    def why_ended(self, container_id: str, redactor: Redactor) -> Evidence:
        return self._real.why_ended(container_id, redactor)

    def find(self, deployment: str) -> list[Found]:
        return self._real.find(deployment)

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

    def _write(self, work: Callable[[], _T], refusal: EngineError) -> _T:
        self._take_time()
        if self._fault is FaultKind.REFUSES_WRITES:
            raise refusal
        if self._fault is FaultKind.LOST_REQUEST:
            raise BackendUnavailable("the connection broke")
        done = work()
        if self._fault is FaultKind.LOST_ANSWER:
            raise BackendUnavailable("the connection broke before the answer")
        return done

    def _take_time(self) -> None:
        if self._seconds:
            time.sleep(self._seconds)
            self._requests += 1
