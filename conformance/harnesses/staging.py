"""What a run can do with a site that serves nobody else: break what Whale needs, move its clock.

The organiser starts that site so that Whale's frpc or Docker is reached through this run, and its
CTFd with the plugin ``examples/staging_clock``; docs/how-to.md shows how.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

from conformance.harness import CannotRun, FaultKind, Hook
from conformance.harnesses.gate import ConnectionGate, reaching
from conformance.harnesses.world_file import StagingFile, Through


class StagedClock:
    """The clock of CTFd's processes, and of the adapter."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._ahead = 0.0

    def now(self) -> datetime:
        return datetime.now(timezone.utc) + timedelta(seconds=self._ahead)

    def advance(self, seconds: float) -> None:
        self._ahead += seconds
        self._write()

    def reset(self) -> None:
        """Back to real time. Raises :class:`CannotRun` where the file cannot be written."""
        self._ahead = 0.0
        self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        try:
            self._path.write_text(f"+{self._ahead:.3f}\n", encoding="ascii")
        except OSError as error:
            raise CannotRun(
                f"staging.clock_file: {error.strerror}; name the STAGING_CLOCK_FILE of the site's "
                "CTFd, and let this user write it"
            ) from None


class Staging:
    """The site's ways and clock, for a run."""

    def __init__(self, file: StagingFile) -> None:
        self._file = file
        self._gates = ExitStack()
        self._behind: ConnectionGate | None = None
        self.clock = StagedClock(file.clock_file)

    @property
    def hooks(self) -> frozenset[Hook]:
        """What the site adds."""
        return frozenset({Hook.CLOCK}) if self._file.clock_file is not None else frozenset()

    @property
    def refuses(self) -> bool:
        """Whether Whale can be made to refuse every write."""
        return self._file.frpc is not None or self._file.docker is not None

    def open(self) -> None:
        """Let Whale through, and set its clock.

        Raises:
            CannotRun: an address cannot be had, or the clock cannot be set.
        """
        ways = [through for through in (self._file.frpc, self._file.docker) if through is not None]
        for way in ways:
            gate = _gate(way)
            self._gates.callback(gate.close)
            # frpc first: where Docker refuses, Whale has taken the instance's address away already.
            self._behind = self._behind or gate
        if self._file.clock_file is not None:
            self.clock.reset()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Whale cannot carry out a start or a stop."""
        if self._behind is None:
            raise RuntimeError("open() comes first, and the file names a way to break")
        with self._behind.fault(FaultKind.UNREACHABLE):
            yield

    def close(self) -> None:
        self._gates.close()
        if self._file.clock_file is not None:
            self.clock.reset()


def _gate(way: Through) -> ConnectionGate:
    try:
        return ConnectionGate(reaching(way.to), listen=way.listen)
    except OSError as error:
        host, port = way.listen
        raise CannotRun(f"staging: no listening on {host}:{port}: {error.strerror}") from None
