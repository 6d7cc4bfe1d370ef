"""One measured call, and the file of them: JSON lines, in the order they were answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from msgspec import DecodeError, json

from engines.contract import Code

DROPPED = "dropped"
"""``code`` of a call that was due and never made: too many were outstanding."""
RAISED = "raised:"
"""``code`` begins so when the backend raised; the exception's type follows."""


class RunPart(str, Enum):
    """What of a run a call belongs to."""

    MAIN = "main"
    """The comparison at one load."""
    SWEEP = "sweep"
    """The search for the knee, at many."""


class Measure(str, Enum):
    """Which time is meant; both begin when the call was due."""

    ANSWER = "answer"
    """Until the call returned."""
    READY = "ready"
    """Until the address that a start gave answered a player."""


@dataclass(frozen=True)
class Sample:
    """One call. Moments are seconds since the run began."""

    part: RunPart
    backend: str
    scenario: str
    call: str
    block: int
    """Its turn: calls of one number were made one system after the other."""
    concurrency: int
    """Workers that called."""
    intended: float
    """When it was due, which is where its time begins, also if the generator came late."""
    began: float | None
    answered: float | None
    ready: float | None
    """When the instance's address answered; None for other calls, or when it never did."""
    code: str
    definite: bool

    @property
    def ok(self) -> bool:
        """Whether the call did what was asked."""
        return self.code == Code.OK.value

    def seconds(self, measure: Measure) -> float | None:
        """How long it took; None when it did not come that far."""
        end = self.answered if measure is Measure.ANSWER else self.ready
        return None if end is None else end - self.intended

    def as_json(self) -> str:
        """One line."""
        return json.encode(self).decode()


class SamplesError(ValueError):
    """A file of samples cannot be used; the message names file, line and what is wrong."""


def write_samples(samples: Iterable[Sample], path: Path) -> None:
    """Append to the file, one line each."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{sample.as_json()}\n" for sample in samples)


def read_samples(path: Path) -> list[Sample]:
    """What :func:`write_samples` wrote.

    Raises:
        SamplesError: it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SamplesError(f"{path}: cannot be read ({type(error).__name__})") from None
    return list(_parsed(path, lines))


def _parsed(path: Path, lines: Iterable[str]) -> Iterator[Sample]:
    for number, line in enumerate(lines, 1):
        try:
            yield json.decode(line, type=Sample)
        except DecodeError as error:
            raise SamplesError(
                f"{path}, line {number}: {error}; write it anew with whale-ready bench --report"
            ) from None
