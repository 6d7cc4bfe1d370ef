"""The parts of a process that dies: whatever it does outside goes through its :class:`Life`.

In one process with the scenario, and not in a child that is killed: simulated containers and the
fake Whale live in this process beside its threads, and a fork of such a process is no true copy.
What makes a death is kept all the same: nothing of the dead has any effect any more, a transaction
that was not committed is rolled back, and who comes after has nothing but what is outside. Real
kills of real processes on real Docker are ``tests/crash`` (docs/crash-proof.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy.engine import Connection

from conformance.spec.crash import Life
from engines.contract import Isolation
from engines.cre.evidence import FailureEvidence, Redactor
from engines.cre.runtimes.base import Cleared, Launch, Launched, ListedResource, Overfull, Runtime
from engines.state.database import Database
from engines.whale import Credentials

_T = TypeVar("_T")


class MortalDatabase(Database):
    """The connections of one process to a database that outlives it.

    Boundaries: before and after every commit of a change.
    """

    def __init__(self, real: Database, life: Life) -> None:
        self.engine = real.engine
        self.clock = real.clock
        self._real = real
        self._life = life

    def ensure_schema(self) -> None:
        self._real.ensure_schema()

    def schema_version(self) -> str | None:
        return self._real.schema_version()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        self._life.goes_on()
        with self._real.write() as connection:
            yield connection
            self._life.boundary()
        self._life.boundary()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        self._life.goes_on()
        with self._real.read() as connection:
            yield connection

    def close(self) -> None:
        """The others go on with it."""


class MortalRuntime(Runtime):
    """The way of one process to a container runtime that outlives it.

    Boundaries: before and after everything that changes something there.
    """

    def __init__(self, real: Runtime, life: Life) -> None:
        self._real = real
        self._life = life
        self.name = real.name
        self.simulated = real.simulated
        self.multi_node = real.multi_node

    @property
    def isolation(self) -> frozenset[Isolation]:
        return self._real.isolation

    def launch(self, launch: Launch) -> Launched:
        return self._change(lambda: self._real.launch(launch))

    def remove(self, container_id: str) -> Cleared:
        return self._change(lambda: self._real.remove(container_id))

    def clear(self, deployment: str, name: str, fence: int) -> Cleared:
        return self._change(lambda: self._real.clear(deployment, name, fence))

    def refresh(self) -> None:
        self._life.goes_on()
        self._real.refresh()

    def wait_ready(self, launch: Launch, launched: Launched, seconds: float) -> None:
        self._life.goes_on()
        self._real.wait_ready(launch, launched, seconds)

    def is_running(self, container_id: str) -> bool:
        self._life.goes_on()
        return self._real.is_running(container_id)

    def why_ended(self, container_id: str, redactor: Redactor) -> FailureEvidence:
        self._life.goes_on()
        return self._real.why_ended(container_id, redactor)

    def find(self, deployment: str) -> list[ListedResource]:
        self._life.goes_on()
        return self._real.find(deployment)

    def overfull(self, deployment: str) -> list[Overfull]:
        self._life.goes_on()
        return self._real.overfull(deployment)

    def image_id(self, image: str) -> str | None:
        self._life.goes_on()
        return self._real.image_id(image)

    def versions(self) -> dict[str, str]:
        return self._real.versions()

    def close(self) -> None:
        """The others go on with it."""

    def _change(self, change: Callable[[], _T]) -> _T:
        self._life.boundary()
        done = change()
        self._life.boundary()
        return done


class MortalCredentials(Credentials):
    """What one process shows to Whale with every request: a boundary before each."""

    def __init__(self, real: Credentials, life: Life) -> None:
        self._real = real
        self._life = life

    def headers(self, user_id: int) -> Mapping[str, str]:
        self._life.boundary()
        return self._real.headers(user_id)

    def refresh(self, user_id: int) -> bool:
        self._life.goes_on()
        return self._real.refresh(user_id)
