"""Work that takes so long that the next one who wants the same arrives meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

LONGEST_SECONDS = 0.3
"""For one who comes alone."""


def slow(work: Callable[..., Any]) -> Callable[..., Any]:
    """``work``, begun when two are there to do it, or after a moment alone."""
    arrived = threading.Condition()
    present = 0

    def awaited(*args: Any) -> Any:
        nonlocal present
        with arrived:
            present += 1
            arrived.notify_all()
            arrived.wait_for(lambda: present >= 2, LONGEST_SECONDS)
        return work(*args)

    return awaited
