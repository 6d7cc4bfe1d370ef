"""What a check of the set-up has seen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from engines.printable import printable


class FindingState(str, Enum):
    """How one thing is."""

    OK = "ok"
    NOT_OK = "not_ok"
    UNKNOWN = "unknown"

    @property
    def words(self) -> str:
        """As people read it."""
        return self.value.replace("_", " ")


@dataclass(frozen=True)
class DoctorFinding:
    """One check's result. Carries no secret and no control character."""

    check: str
    """Its id, as docs/doctor.md has it."""
    state: FindingState
    seen: str
    fix: str = ""
    """What to do about it; empty when it is ok."""

    @property
    def sentence(self) -> str:
        """All of it in one line, for a log."""
        return f"{self.check}: {self.seen}" + (f". To put it right: {self.fix}" if self.fix else "")


def ok(check: str, seen: str) -> DoctorFinding:
    """It is right."""
    return DoctorFinding(check, FindingState.OK, printable(seen))


def not_ok(check: str, seen: str, fix: str) -> DoctorFinding:
    """It is wrong."""
    return DoctorFinding(check, FindingState.NOT_OK, printable(seen), printable(fix))


def unknown(check: str, seen: str, fix: str = "") -> DoctorFinding:
    """It cannot be found out from here."""
    return DoctorFinding(check, FindingState.UNKNOWN, printable(seen), printable(fix))
