"""Ctrl-C, held until nothing is under way.

A call to Docker that is broken off goes on in the engine: what it then makes comes after everything
that was made has been removed, and stays.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

_SAID = b"interrupted: what is under way is ended, and what was made is removed\n"


class DeferredInterrupts:
    """While it is entered, Ctrl-C and SIGTERM are noted; :meth:`check` is where they take effect.

    In another thread than the main one it does nothing: signals do not come there.
    """

    def __init__(self) -> None:
        self._came = False
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> DeferredInterrupts:
        if threading.current_thread() is threading.main_thread():
            for signals in (signal.SIGINT, signal.SIGTERM):
                self._before[signals] = signal.signal(signals, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for signals, handler in self._before.items():
            signal.signal(signals, handler)

    def check(self) -> None:
        """To be called where nothing is under way.

        Raises:
            KeyboardInterrupt: one came.
        """
        if self._came:
            self._came = False
            raise KeyboardInterrupt

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if not self._came:
            os.write(2, _SAID)  # a signal may come in the middle of a print
        self._came = True
