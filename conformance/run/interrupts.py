"""Ctrl-C and SIGTERM: none is lost, and none cuts clearing up short.

Python raises KeyboardInterrupt wherever the program is just then. Inside a finaliser or a weak
reference's callback, as where urllib3 closes a pool's connections, it is dropped and the run would
go on as if nobody had said a word. So it is noted besides.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Whether a signal has come."""

    def __init__(self) -> None:
        self.came = False

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Take note of signals that have a handler, besides what that does.

        In another thread than the main one nothing is noted: signals do not come there.
        """
        before = {signals: signal.getsignal(signals) for signals in _SIGNALS if _in_main_thread()}
        handlers = {signals: handler for signals, handler in before.items() if callable(handler)}

        def note(number: int, frame: FrameType | None) -> None:
            self.came = True
            handlers[signal.Signals(number)](number, frame)

        for signals in handlers:
            signal.signal(signals, note)
        try:
            yield
        finally:
            for signals, handler in handlers.items():
                signal.signal(signals, handler)

    def check(self) -> None:
        """To be called between pieces of work.

        Raises:
            KeyboardInterrupt: a signal has come, and the work before went on all the same.
        """
        if self.came:
            raise KeyboardInterrupt


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back: a second one must not leave containers behind."""
    before = {signals: signal.getsignal(signals) for signals in _SIGNALS if _in_main_thread()}
    for signals in before:
        signal.signal(signals, signal.SIG_IGN)
    try:
        yield
    finally:
        for signals, handler in before.items():
            signal.signal(signals, handler)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
