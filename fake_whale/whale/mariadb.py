"""How MariaDB reads text where a number stands (docs/whale-wire.md, "challenge_id").

A comparison takes the longest numeric prefix (``1abc`` is 1); storing into an integer column takes
only a whole number's spelling (``1abc`` is an error, ``1.0`` and ``1e0`` are fine). Numbers are
exact decimals: ``1.00000000000000001`` is not 1.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache

from .errors import DatabaseError

LARGEST_INTEGER = 2**31 - 1
"""What an integer column holds."""

_BLANK = " \t\n\r\v\f"
_NUMBER = re.compile(
    rf"[{_BLANK}]*(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
)
# Seen of MariaDB 10.11, and not explained: these are equal to no id, though ``1..0``, ``1.0 .``,
# ``1.0e`` and a fraction of 20 digits before the second point are read by their prefix.
_EQUAL_TO_NOTHING = re.compile(rf"[{_BLANK}]*[+-]?[0-9]+\.(?:[0-9]{{1,19}}\.|[0-9]+[eE][+-]\Z)")
_BARE_EXPONENT = re.compile(r"[eE][+-]")
_NOWHERE = Decimal("Infinity")


def compared(text: str) -> Decimal:
    """The number ``text`` is compared as; 0 when it does not begin with one."""
    found = _NUMBER.match(text)
    return _decimal(found["number"]) if found else Decimal(0)


@lru_cache(maxsize=1024)
def equal_to(text: str) -> int:
    """The one whole number that ``text`` is equal to; -1, which is no id, when there is none."""
    if _EQUAL_TO_NOTHING.match(text):
        return -1
    number = compared(text)
    fits = abs(number) <= LARGEST_INTEGER and number == number.to_integral_value()
    return int(number) if fits else -1


def looked_up(text: str) -> int | None:
    """The number ``text`` finds in an index that is not unique: rounded, half away from zero.

    None for one that no integer column can hold.
    """
    number = compared(text)
    return _whole(number) if abs(number) <= LARGEST_INTEGER else None


def stored(text: str) -> int:
    """The number ``text`` is stored as; raises :class:`DatabaseError` when it has a rest."""
    found = _NUMBER.match(text)
    rest = _BARE_EXPONENT.sub("", text[found.end() :], count=1) if found else text
    if not found or rest.strip(_BLANK):
        raise DatabaseError("incorrect integer value")
    number = _decimal(found["number"])
    if abs(number) > LARGEST_INTEGER:
        raise DatabaseError("out of range")
    return _whole(number)


def _whole(number: Decimal) -> int:
    return int(number.to_integral_value(ROUND_HALF_UP))


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond all bounds
        return _NOWHERE
