"""What one line of the checklist is: a check before it is made, an item afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from engines.typed_input import Text

if TYPE_CHECKING:
    from whale_ready.preflight.site import PreflightSite


class ItemState(str, Enum):
    """How one thing stands."""

    OK = "ok"
    NOT_OK = "not_ok"
    NOT_CHECKABLE = "not_checkable"

    @property
    def words(self) -> str:
        """As people read it."""
        return self.value.replace("_", " ")


@dataclass(frozen=True)
class Item:
    """One line of the result."""

    id: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9._:+-]+$", description="made of letters, digits and ._:+-"),
    ]
    title: Text
    state: ItemState
    evidence: Text
    """What was seen, or why nothing could be."""
    fix: str
    """How to put it right, or how to make it checkable; empty when it is ok."""
    needed: bool = True
    """Whether something of ours rests on it."""


@dataclass(frozen=True)
class CheckFinding:
    """What a check has seen."""

    state: ItemState
    evidence: str
    fix: str = ""
    """More to the point than the check's own, where there is more to say."""


class NotCheckable(Exception):
    """It cannot be seen: why, and how it could be."""

    def __init__(self, why: str, how: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.how = how


@dataclass(frozen=True)
class Check:
    """One line of the checklist; docs/preflight.md has these texts in its table."""

    id: str
    title: str
    """What must be so."""
    look: Callable[[PreflightSite], CheckFinding]
    """Looks whether it is so. Raises :class:`NotCheckable`, or whatever else goes wrong."""
    rests_on: str
    """The evidence that an ok rests on."""
    fix: str
    """What to do when it is not so."""
    needed: bool = True
    """Whether something of ours rests on it. What is there for people only may be accepted by
    them, also when it is not so (docs/readiness.md)."""


def ok(evidence: str) -> CheckFinding:
    """It is so."""
    return CheckFinding(ItemState.OK, evidence)


def not_ok(evidence: str, fix: str = "") -> CheckFinding:
    """It is not so."""
    return CheckFinding(ItemState.NOT_OK, evidence, fix)


def listed(things: list[str], most: int = 5) -> str:
    """The first of many, in one line."""
    more = f" and {len(things) - most} more" if len(things) > most else ""
    return ", ".join(things[:most]) + more


def numbered(ids: list[int], most: int = 10) -> str:
    """Users or challenges by their ids."""
    return listed([str(number) for number in ids], most)
