"""Keeps secrets out of everything the suite writes: traces, messages, reports."""

from __future__ import annotations

import re
from typing import Any, TypeVar

_T = TypeVar("_T")

_FLAG = re.compile(r"\b\w{1,32}\{[^{}\s\"',:]{8,}\}")
"""A flag that nobody told us of: flag{…}, CTF{…}"""
_CERTAIN_FLAG = re.compile(r"(?i)\b\w*(?:flag|ctf)\w*\{[^{}\s\"',:]{8,}\}")
"""Nothing else looks like this; other programs print objects as ``Pool{size=10;idle=2}``."""
_TOKEN = re.compile(r"\bctfd_[0-9a-f]{16,}\b")
_FORMS: tuple[tuple[re.Pattern[str], str], ...] = (
    (_FLAG, "‹flag›"),
    (_TOKEN, "‹token›"),
    # The header line first, then the same words inside JSON, a query or a repr.
    (re.compile(r"(?i)\b((?:set-)?cookie|authorization)(\s*:\s*)[^\r\n\"']+"), r"\1\2‹secret›"),
    (
        re.compile(
            r"(?i)\b((?:set-)?cookie|authorization|(?:access_|api_)?token|nonce|csrf-token|csrfNonce"
            r"|session|password|secret)([\"']?\s*[:=]\s*[\"']?)(?!‹)(?:(?:token|bearer|basic)\s+)?[^\s\"',;&}]+"
        ),
        r"\1\2‹secret›",
    ),
    (re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"), "‹secret›"),
)


class Flag:
    """A flag that can be compared and looked for, but never printed."""

    __slots__ = ("_number", "_value")

    def __init__(self, value: str, number: int) -> None:
        self._value = value
        self._number = number

    def is_in(self, text: str) -> bool:
        """Whether ``text`` gives the flag away."""
        return self._value in text

    @property
    def empty(self) -> bool:
        return not self._value.strip()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Flag) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return f"‹flag {self._number}›"


class Secrets:
    """The secrets met in one scenario, and a cleaner for texts that may hold them."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def flag(self, value: str) -> Flag:
        """Remember a flag; the same value gets the same number."""
        number = self._numbers.setdefault(value, len(self._numbers) + 1)
        return Flag(value, number)

    def given_away_by(self, text: str) -> bool:
        """Whether a known flag stands in ``text``."""
        return any(value and value in text for value in self._numbers)

    def rule_broken_by(self, text: str) -> str:
        """The rule that a log with ``text`` in it breaks, or nothing."""
        if self.given_away_by(text) or _CERTAIN_FLAG.search(text):
            return "FLAG-009"
        return "ACCOUNT-034" if _TOKEN.search(text) else ""

    def clean(self, text: str) -> str:
        """``text`` without any known flag and without anything that looks like a secret."""
        for value in sorted(self._numbers, key=len, reverse=True):
            if value:
                text = text.replace(value, f"‹flag {self._numbers[value]}›")
        for form, instead in _FORMS:
            text = form.sub(instead, text)
        return text


def cleaned(value: _T) -> _T:
    """Plain data with every text in it cleaned, by form; names of fields stay."""
    return _cleaned(value)  # type: ignore[no-any-return]  # of the type it was


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return Secrets().clean(value)
    if isinstance(value, dict):
        return {name: _cleaned(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_cleaned(each) for each in value)
    return value
