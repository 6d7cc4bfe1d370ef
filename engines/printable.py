"""Text of other systems, as it may be shown: nothing in it that a terminal acts upon.

What Whale, Docker, CTFd, a catalogue or a file says may hold sequences that rewrite a terminal's
lines, or marks that turn text around. Every output goes through here.
"""

from __future__ import annotations

import json
from typing import Any


def printable(text: str, keep: str = "") -> str:
    """The text with every character that is not printed as itself written as an escape.

    ``keep``: those that stay as they are, such as the ends of lines of a text of our own.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in keep else ascii(each)[1:-1] for each in text
    )


def json_text(document: Any, **options: Any) -> str:
    """JSON for people, in lines; what is not printed as itself is escaped as JSON has it."""
    text = json.dumps(document, indent=2, ensure_ascii=False, **options)
    return "".join(
        each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text
    )
