"""How MariaDB reads text where a number stands (docs/whale-wire.md, "challenge_id").

A comparison takes the longest numeric prefix (``1abc`` is 1); storing into an integer column takes
only a whole number's spelling (``1abc`` is an error, ``1.0`` and ``1e0`` are fine).
"""

from __future__ import annotations

import math
import re

from .errors import DatabaseError

_NUMBER = re.compile(r"[ \t\n\r\v\f]*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)")


def compared(text: str) -> float:
    """The number ``text`` is compared as; 0 when it does not begin with one."""
    found = _NUMBER.match(text)
    return float(found.group(1)) if found else 0.0


def looked_up(text: str) -> int:
    """The number ``text`` finds in an index that is not unique: rounded, half away from zero."""
    number = compared(text)
    return int(math.copysign(math.floor(abs(number) + 0.5), number))


def stored(text: str) -> int:
    """The number ``text`` is stored as; raises :class:`DatabaseError` when it has a rest."""
    found = _NUMBER.match(text)
    if not found or text[found.end() :].strip():
        raise DatabaseError("incorrect integer value")
    return round(float(found.group(1)))
