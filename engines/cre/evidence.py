"""What the engine and an instance's own programs say of a failure, fit for a log and for admins.

Everything here is bounded, in printable characters, and without the flag or another secret of the
challenge. Players are never shown any of it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from engines.catalog import ChallengeSpec
from engines.printable import printable

SENTENCE = 400
"""Characters of one sentence."""
LINES, LINE, OUTPUT = 20, 300, 2000
"""The last lines of a program that are kept, the characters of one, and of all."""
HIDDEN = "[hidden]"

_SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|KEY|CRED|FLAG", re.IGNORECASE)
_SHORTEST = 4
"""A value shorter than this would be found everywhere."""
_ADDRESS = ((re.compile(r"://[^/\s@]*@"), "://"), (re.compile(r"\?\S*"), ""))
"""What an address may carry of secrets."""


@dataclass(frozen=True)
class FailureEvidence:
    """Why something failed: one sentence, and what was printed last. Both may be empty."""

    reason: str = ""
    output: tuple[str, ...] = ()

    def __str__(self) -> str:
        """In one line, for a log."""
        said = " | ".join(self.output)
        return f"{self.reason}; printed last: {said}" if said else self.reason

    def detail(self) -> dict[str, object]:
        """As an event of the audit log carries it."""
        found: dict[str, object] = {}
        if self.reason:
            found["reason"] = self.reason
        if self.output:
            found["output"] = list(self.output)
        return found


@dataclass(frozen=True)
class Redactor:
    """Takes an instance's secrets out of texts of others."""

    secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, flag: str, spec: ChallengeSpec | None = None) -> Redactor:
        """For an instance with this flag; the challenge's own passwords are hidden too."""
        found = [*_spellings(flag)]
        for sandbox in () if spec is None else (spec, *spec.companions):
            found += _secret_values(sandbox.environment)
        return cls(tuple(sorted(set(found), key=len, reverse=True)))

    def clean(self, text: str) -> str:
        """The text without secrets; not bounded yet."""
        for secret in self.secrets:
            text = re.sub(re.escape(secret), HIDDEN, text, flags=re.IGNORECASE)
        return text

    def sentence(self, text: str) -> str:
        """The first line, as it may stand in a sentence of ours."""
        first = next(iter(text.strip().splitlines()), "")
        for pattern, instead in _ADDRESS:
            first = pattern.sub(instead, first)
        return printable(_short(self.clean(first), SENTENCE))

    def lines(self, text: str, name: str = "") -> tuple[str, ...]:
        """The last lines of what a program printed; ``name`` is put before each."""
        cleaned = self.clean(text).split("\n")
        prefix = f"{name}: " if name else ""
        found = [f"{prefix}{_short(printable(each.rstrip()), LINE)}" for each in cleaned]
        kept: list[str] = []
        room = OUTPUT
        for line in reversed([each for each in found if each.strip() != prefix.strip()][-LINES:]):
            room -= len(line)
            if room < 0:
                break
            kept.append(line)
        return tuple(reversed(kept))


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _spellings(flag: str) -> Iterator[str]:
    """The flag, what is between its braces, and both as a program may print them encoded."""
    inner = flag.partition("{")[2].rstrip("}")
    for text in (flag, inner):
        if len(text) < _SHORTEST:
            continue
        data = text.encode()
        yield from (text, text[::-1], data.hex())
        for shift in range(3):
            # In the middle of a longer text its first and last characters depend on the rest.
            coded = base64.b64encode(b"\0" * shift + data).decode().rstrip("=")
            yield coded[(0, 2, 3)[shift] : len(coded) - 1]


def _secret_values(environment: Mapping[str, str]) -> list[str]:
    return [
        value
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST
    ]
