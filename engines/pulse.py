"""Whether a server answers at all, so that one that hangs does not hold up whoever asks it.

A time-out alone cannot tell work that takes long from a server that hangs. So as long as a request
has no answer, the server is asked for a sign of life beside it, from a thread of its own: work goes
on while there are any, and is given up when nothing at all was answered for ``answer_seconds``.
Who only looks (:func:`engines.deadline.looking`) gives up after ``look_seconds``.

A breaker remembers what was found: while it is open every request is refused at once, and the
thread asks on. The first answer closes it, whoever gets it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from requests.exceptions import RequestException

from engines.breaker import Breaker
from engines.clock import SystemClock
from engines.deadline import Ready, deadline, only_looks, time_left, watched
from engines.errors import BackendUnavailable

log = logging.getLogger(__name__)

SLICE_SECONDS = 0.1
"""How often somebody who waits looks whether it is worth while."""
PAUSE_SECONDS = 0.5
"""Between two questions for a sign of life."""
LOOK_SECONDS, ANSWER_SECONDS = 2.0, 10.0
"""As the settings have them."""


class Pulse:
    """Watches over the requests to one server. Safe in any thread.

    Args:
        who: the server, for messages: ``the Docker engine``.
        ask: one short request. Raises BackendUnavailable where there is no answer; ``untouched``
            where nobody is there to give one, which is an answer of its kind.
        look_seconds: silence after which who only looks does without.
        answer_seconds: silence after which work is given up.
    """

    def __init__(
        self,
        who: str,
        ask: Callable[[], object],
        *,
        look_seconds: float = LOOK_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._who = who
        self._ask = ask
        self._look_seconds = look_seconds
        self._answer_seconds = answer_seconds
        self._breaker = Breaker(SystemClock(), failures=1, seconds=PAUSE_SECONDS)
        self._lock = threading.Lock()
        self._open_requests = 0
        self._since = 0.0
        """While there are any: since when none of them was answered."""
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    @property
    def hangs(self) -> bool:
        """Whether the server was found to answer nothing, and has not answered since."""
        return self._breaker.open

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around one request of this thread.

        Raises:
            BackendUnavailable: nothing is answered now; the request is not made.
        """
        self.check()
        try:
            with self._counted(), watched(self):
                yield
            self._heard()
        except BackendUnavailable as error:
            if not error.untouched:
                self._suspect()
            raise
        except (RequestException, OSError):
            self._suspect()
            raise

    def check(self) -> None:
        """Raises BackendUnavailable, as :meth:`asking`, where it is of no use to ask."""
        if self._in_vain():
            if self._suspect() and not self.hangs:
                # Nobody has asked for a sign of life yet, as with a client whose waits are not
                # ours to watch.
                self._since = time.monotonic()
                return
            raise BackendUnavailable(
                f"{self._who} cannot be reached: it does not answer in time", untouched=True
            )

    def wait(self, ready: Ready, seconds: float) -> None:
        """See :class:`engines.deadline.DeadlineWatch`."""
        until = time.monotonic() + seconds
        while not ready(max(0.0, min(SLICE_SECONDS, until - time.monotonic(), time_left()))):
            if self._silence >= self._look_seconds / 2:
                self._suspect()
            if self._in_vain() or time.monotonic() >= until:
                self._give_up()
                raise TimeoutError("nothing was answered")
        self._heard()

    def connecting(self) -> float:
        """See :class:`engines.deadline.DeadlineWatch`."""
        return min(time_left(), self._answer_seconds)

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    @property
    def _silence(self) -> float:
        """Seconds that nothing was answered while something was asked."""
        return time.monotonic() - self._since if self._open_requests else 0.0

    def _in_vain(self) -> bool:
        patience = self._look_seconds if only_looks() else self._answer_seconds
        return self.hangs or self._silence >= patience

    def _give_up(self) -> None:
        if self._silence >= self._answer_seconds and not self.hangs:
            log.warning("%s has answered nothing for %g s", self._who, self._answer_seconds)
            self._breaker.failed()

    def _heard(self) -> None:
        self._since = time.monotonic()
        if self.hangs:
            log.warning("%s answers again", self._who)
            self._breaker.succeeded()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            if not self._open_requests:
                self._since = time.monotonic()
            self._open_requests += 1
        try:
            yield
        finally:
            with self._lock:
                self._open_requests -= 1

    # The sign of life.

    def _suspect(self) -> bool:
        """Have the server asked for a sign of life; returns whether nobody did so already."""
        with self._lock:
            working = self._thread is not None and self._thread.is_alive()  # none outlives a fork
            if not working and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
                self._thread.start()
            return not working

    def _run(self) -> None:
        while not self._closing.is_set():
            if self._breaker.lets_through() and self._lives():
                self._heard()
                break
            self._closing.wait(PAUSE_SECONDS)
        with self._lock:
            self._thread = None

    def _lives(self) -> bool:
        with self._counted(), watched(_Patient(self)), deadline(self._answer_seconds):
            try:
                self._ask()
            except BackendUnavailable as error:
                if not error.untouched:
                    self._give_up()
                return error.untouched
        return True


class _Patient:
    """Waits for a sign of life itself: until the deadline, or until nobody wants it any more."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse

    def wait(self, ready: Ready, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not ready(max(0.0, min(SLICE_SECONDS, until - time.monotonic(), time_left()))):
            if self._pulse._closing.is_set() or time.monotonic() >= until:
                raise TimeoutError("nothing was answered")

    def connecting(self) -> float:
        return time_left()
