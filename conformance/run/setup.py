"""The backends of one run: opened once before the first scenario, closed in every case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from enum import Enum
from typing import Any

from conformance.harness import CannotRun, Options
from conformance.registry.backends import BackendSpecError, Subject
from conformance.report.ledger import Books
from conformance.report.results import BackendInfo
from conformance.report.waivers import wrong_declarations
from conformance.run.interrupts import uninterrupted
from conformance.run.observer import Observer
from conformance.spec.hooks import broken_promises
from conformance.spec.redaction import Secrets
from engines.contract import Capabilities


class Backends:
    """Opens and closes the harnesses of a run.

    Raises:
        BackendSpecError: two backends have one name.
    """

    def __init__(self, subjects: Sequence[Subject], observer: Observer) -> None:
        names = [subject.name for subject in subjects]
        for name in names:
            if names.count(name) > 1:
                raise BackendSpecError(f"--backend {name} is given twice; name each backend once")
        self.subjects = list(subjects)
        self.infos: list[BackendInfo] = []
        self.problems: list[str] = []
        """What went wrong with a harness outside of any scenario."""
        self.notes: list[str] = []
        self.books = Books()
        self._observer = observer
        self._to_close: list[Subject] = []

    def open(self) -> None:
        """Open all of them; stops at the first that cannot be, which is then a problem."""
        for place, subject in enumerate(self.subjects):
            opened = self._open(subject)
            if opened is None:
                return
            self.subjects[place] = opened

    def close(self) -> None:
        """Close what was opened, last first; safe to repeat. Ctrl-C waits until it is done."""
        with uninterrupted():
            while self._to_close:
                subject = self._to_close.pop()
                try:
                    subject.harness.close()
                except Exception as error:  # noqa: BLE001 - the other harnesses are closed too
                    self._problem(subject, f"was not closed: {type(error).__name__}: {error}")
                self._count_leftovers(subject)

    def _count_leftovers(self, subject: Subject) -> None:
        left = None
        try:
            left = subject.harness.leftovers()
        except Exception as error:  # noqa: BLE001 - as above
            what = f"cannot tell what is left: {type(error).__name__}: {error}"
            self._problem(subject, what)
        if left:
            self._problem(subject, f"left behind after it was closed: {', '.join(left)}")
        self.books.closed(subject.name, left)

    def _open(self, subject: Subject) -> Subject | None:
        self._observer.opening(subject.name)
        # Before opening: an interrupt half-way must be cleaned up too.
        self._to_close.append(subject)
        try:
            subject.harness.open()
            self.infos.append(_info(subject))
        except CannotRun as error:
            if subject.fallback is None:
                self._problem(subject, str(error))
                return None
            return self._fall_back(subject, error)
        except Exception as error:  # noqa: BLE001 - a third party's harness may raise anything
            self._problem(subject, f"could not be opened: {type(error).__name__}: {error}")
            return None
        return subject

    def _fall_back(self, subject: Subject, error: CannotRun) -> Subject | None:
        if subject.fallback is None:
            return None
        instead = subject.fallback()
        reason = Secrets().clean(str(error))
        note = f"{subject.name} cannot run here, {instead.name} stands in for it: {reason}"
        self.notes.append(note)
        self._observer.noted(note)
        return self._open(instead)

    def _problem(self, subject: Subject, what: str) -> None:
        self.problems.append(Secrets().clean(f"{subject.name}: {what}"))


def _info(subject: Subject) -> BackendInfo:
    """What the backend declares, asked of a world that is made for this and closed again."""
    harness = subject.harness
    world = harness.world(Options())
    try:
        broken = [*broken_promises(harness, world), *wrong_declarations(harness.known_deviations)]
        if broken:
            raise CannotRun("; ".join(broken))
        capabilities = _plain(world.backend.capabilities)
    finally:
        world.close()
    return BackendInfo(
        subject.name,
        harness.kind,
        harness.simulated,
        capabilities,
        harness.versions(),
        harness.known_deviations,
    )


def _plain(capabilities: Capabilities) -> dict[str, Any]:
    return {key: _plain_value(value) for key, value in asdict(capabilities).items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, frozenset):
        return sorted(_plain_value(each) for each in value)
    return value
