"""What a run in several processes and its controller say to each other.

Both ends are ours and of one version, so the messages are pickled.
"""

from __future__ import annotations

from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from conformance.report.ledger import Books
from conformance.report.results import BackendInfo, ScenarioResult

if TYPE_CHECKING:
    from conformance.run.runner import CheckRequest

Key = tuple[str, str]
"""A backend's name and a scenario's id."""


@dataclass(frozen=True)
class Job:
    """What a worker is to do: the first thing it hears."""

    request: CheckRequest
    number: int
    """From 0; only worker 0 opens backends of which there may be one at a time."""


@dataclass(frozen=True)
class Opening:
    """The worker prepares a backend."""

    backend: str


@dataclass(frozen=True)
class WorkerNote:
    """Something a reader must know came up."""

    note: str


@dataclass(frozen=True)
class Ready:
    """The worker has opened its backends and asks for scenarios from now on."""

    backends: tuple[str, ...]
    """Their names by now: what stands in for another has its own."""
    infos: tuple[BackendInfo, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Next:
    """The worker asks for a scenario; it hears a :data:`Key`, or None when there is none left."""


@dataclass(frozen=True)
class ScenarioEnded:
    """A scenario has ended."""

    result: ScenarioResult


@dataclass(frozen=True)
class Idle:
    """All worlds of the worker are closed; it waits for a word to close its harnesses.

    What harnesses share outside their processes (networks, the firewall) is only removed when
    nobody uses it, so they are closed one after the other once all workers are idle.
    """


@dataclass(frozen=True)
class WorkerEnded:
    """The last word of a worker."""

    exit_code: int
    output: str
    interrupted: bool
    problems: tuple[str, ...]
    """What pytest could not collect."""
    backend_problems: tuple[str, ...]
    """What went wrong with a harness outside of any scenario."""
    books: Books
    """What became of the containers that it made."""


Message = Opening | WorkerNote | Ready | Next | ScenarioEnded | Idle | WorkerEnded
Line = Connection
"""The connection between the two."""
