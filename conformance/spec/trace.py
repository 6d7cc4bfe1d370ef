"""What happened in one scenario, line by line, without secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from conformance.spec.redaction import Secrets


class HarnessFault(Exception):
    """The harness failed, not the backend: the scenario says nothing about any rule."""


class Trace:
    """The calls of one scenario and their answers, in order."""

    def __init__(self) -> None:
        self.secrets = Secrets()
        self.calls = 0
        """Calls to the backend that were answered, by a result or by an exception."""
        self.containers: set[str] = set()
        """Ids of the containers that starts told of."""
        self.pending: str | None = None
        """The call that has not returned yet; what a time-out interrupts."""
        self._lines: list[str] = []

    def note(self, line: str) -> None:
        self._lines.append(line)

    @contextmanager
    def call(self, text: str) -> Iterator[None]:
        """The backend is at work inside this block."""
        self.pending = text
        try:
            yield
            self.pending = None
        except Exception:
            self.pending = None
            raise
        # Any other BaseException (a time-out, Ctrl-C) leaves the call pending.

    def lines(self) -> tuple[str, ...]:
        """Everything noted, redacted with all secrets known by now."""
        return tuple(self.secrets.clean(line) for line in self._lines)
