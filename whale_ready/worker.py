"""``whale-ready worker``: the cleanup worker as a process of its own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from engines.cre import ContainerRuntimeEngine
from engines.settings import Settings
from engines.whale import WhaleAPIManager

BACKENDS = ("cre", "whale")


def backend_named(name: str | None, settings: Settings) -> ContainerRuntimeEngine | WhaleAPIManager:
    """The backend to clean up for; None: the one that the settings choose.

    Raises:
        SettingsError: a setting is missing or wrong.
    """
    if name == "whale" or (name is None and settings.use_whale):
        return WhaleAPIManager(settings)
    return ContainerRuntimeEngine(settings)


def work_until_told(backend: ContainerRuntimeEngine | WhaleAPIManager) -> None:
    """Run the worker until SIGTERM or Ctrl-C; the round at work is brought to its end."""
    with _told_to_stop() as told, backend.cleanup_worker:
        told.wait()


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    told = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        told.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
