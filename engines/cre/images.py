"""Images that starts have fetched: in the background, once for all who wait.

A start never waits for a registry: it holds a row, and a place on the engine. It is told
:class:`engines.errors.ImageComing` instead, and the player tries again.

``always`` means once per process, before the first start. When such a pull fails, the image that
is on the engine is used, with a warning: a registry that is down must not stop a contest. It is
tried again after :data:`PAUSE_SECONDS`, beside starts that go on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import NoReturn

from engines.catalog import Pull
from engines.cre.image_pull import Canceller, Progress, Tell
from engines.errors import BackendUnavailable, ImageComing, ImageMissing
from engines.reasons import reason

log = logging.getLogger(__name__)

PAUSE_SECONDS = 60.0
"""After a pull that failed, until a start has it tried again."""
RETRY_FIRST, RETRY_LEAST, RETRY_MOST = 5.0, 2.0, 30.0
"""Seconds after which a player tries again: while nothing is known, and the bounds of a guess."""
CLOSE_SECONDS = 5.0

PullImage = Callable[[str, Tell, Canceller], None]


class _State(Enum):
    COMING = auto()
    HERE = auto()
    FAILED = auto()


class _Fetch:
    """One image's latest pull; fields change under the lock of :class:`Images`."""

    def __init__(self, began: float, *, beside: bool) -> None:
        self.state = _State.COMING
        self.progress = Progress()
        self.began = began
        self.ended = began
        self.beside = beside
        """Whether starts go on meanwhile, with what is on the engine."""
        self.warned = False
        self.canceller = Canceller()
        self.thread: threading.Thread | None = None


class Images:
    """What a runtime asks before and after an image was not there.

    Args:
        pull: pulls one image and returns when it is there (:func:`engines.cre.image_pull`).
        monotonic: seconds that never go back.
    """

    def __init__(self, pull: PullImage, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pull = pull
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._fetches: dict[str, _Fetch] = {}
        self._closed = False

    def before(self, image: str, pull: Pull) -> None:
        """Before a container is made of an image; asks nobody unless the policy is ``always``.

        Raises:
            ImageComing: it is being pulled for the first time of this process.
        """
        if pull is not Pull.ALWAYS:
            return
        with self._lock:
            fetch = self._fetches.get(image)
            if fetch is None:
                fetch = self._begin(image, beside=False)
            elif fetch.state is _State.FAILED and self._paused(fetch):
                fetch = self._begin(image, beside=True)
            if fetch.state is _State.COMING and not fetch.beside:
                raise self._coming(fetch)
            warn = fetch.state is not _State.HERE and not fetch.warned
            fetch.warned = True
        if warn:
            log.warning("image %s was not pulled anew; the one on the engine is used", image)

    def missing(self, image: str, pull: Pull) -> NoReturn:
        """The engine does not have an image: always raises.

        Raises:
            ImageComing: it is being pulled.
            ImageMissing: it is not to be pulled, or could not be.
        """
        if pull is Pull.NEVER:
            raise ImageMissing(f"image {image} is not on the engine")
        with self._lock:
            fetch = self._fetches.get(image)
            if fetch is not None and fetch.state is _State.FAILED and not self._paused(fetch):
                raise ImageMissing(f"image {image} is not on the engine and could not be pulled")
            if fetch is None or fetch.state is not _State.COMING:
                fetch = self._begin(image, beside=False)
            raise self._coming(fetch)

    def close(self) -> None:
        """Break off what is being pulled."""
        with self._lock:
            self._closed = True
            running = [each for each in self._fetches.values() if each.state is _State.COMING]
        for fetch in running:
            fetch.canceller.cancel()
        for fetch in running:
            if fetch.thread is not None:
                fetch.thread.join(CLOSE_SECONDS)

    def _begin(self, image: str, *, beside: bool) -> _Fetch:
        if self._closed:
            raise ImageMissing(f"image {image} is not pulled: the engine is being closed")
        fetch = _Fetch(self._monotonic(), beside=beside)
        # A daemon: a registry that hangs must not keep the process from ending.
        fetch.thread = threading.Thread(
            target=self._run, args=(image, fetch), name=f"pull {image}", daemon=True
        )
        self._fetches[image] = fetch
        fetch.thread.start()
        return fetch

    def _run(self, image: str, fetch: _Fetch) -> None:
        log.info("pulling image %s", image)

        def tell(progress: Progress) -> None:
            fetch.progress = progress

        state: _State | None = _State.FAILED
        try:
            self._pull(image, tell, fetch.canceller)
            state = _State.HERE
            log.info("image %s is here", image)
        except ImageMissing as error:
            log.warning("image %s could not be pulled: %s", image, error)
        except BackendUnavailable as error:
            state = None  # says nothing of the image: the next start begins anew
            log.warning("image %s could not be pulled: %s", image, error)
        except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to
            log.error("pulling image %s failed: %s", image, reason(error))
        with self._lock:
            fetch.ended = self._monotonic()
            if state is None:
                del self._fetches[image]
            else:
                fetch.state = state

    def _paused(self, fetch: _Fetch) -> bool:
        """Whether the pause after a failure is over."""
        return self._monotonic() - fetch.ended >= PAUSE_SECONDS

    def _coming(self, fetch: _Fetch) -> ImageComing:
        fraction = fetch.progress.fraction
        left = RETRY_FIRST
        if fraction:
            left = (self._monotonic() - fetch.began) * (1 - fraction) / fraction
        retry_after = round(min(max(left, RETRY_LEAST), RETRY_MOST), 1)
        return ImageComing(str(fetch.progress), retry_after)
