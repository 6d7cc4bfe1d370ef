"""Work that takes long goes on, and what waits for a server that hangs does not."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
import requests

from engines.deadline import BoundedAdapter, deadline, looking, wait
from engines.errors import BackendUnavailable
from engines.probe import wait_until
from engines.pulse import Pulse

SOON = 30.0
NEVER = 3600.0
LOOK_SECONDS, ANSWER_SECONDS = 0.1, 0.3


class Server:
    """What is asked: it may hang, be down, or be slow with what it was asked for."""

    def __init__(self, *, look: float = LOOK_SECONDS, answer: float = ANSWER_SECONDS) -> None:
        self.lives = threading.Event()
        self.lives.set()
        self.done = threading.Event()
        """The work that it was asked for."""
        self.down = False
        self.signs = 0
        self.pulse = Pulse("the server", self._sign, look_seconds=look, answer_seconds=answer)

    def look(self) -> None:
        """A request that is answered at once, if at all."""
        self._ask(self.lives)

    def work(self) -> None:
        """A request that is answered when its work is done."""
        self._ask(self.done)

    def _ask(self, answered: threading.Event) -> None:
        with self.pulse.asking():
            self._answer(answered)

    def _answer(self, answered: threading.Event) -> None:
        try:
            wait(answered.wait)
        except TimeoutError:
            raise BackendUnavailable("no answer", unanswered=True) from None

    def _sign(self) -> None:
        if self.down:
            raise BackendUnavailable("nobody listens", untouched=True)
        self._answer(self.lives)
        self.signs += 1


@contextmanager
def served(**settings: float) -> Iterator[Server]:
    server = Server(**settings)
    with closing(server.pulse):
        yield server


def refused(ask: Callable[[], None]) -> bool:
    """Whether a request is not even made."""
    with pytest.raises(BackendUnavailable) as caught:
        ask()
    return caught.value.untouched


def test_work_goes_on_for_as_long_as_there_are_signs_of_life() -> None:
    with served() as server:
        worker = threading.Thread(target=server.work)
        worker.start()
        # Each sign needs a silence of its own: these are many times what would be waited for.
        assert wait_until(lambda _timeout: server.signs >= 10, SOON)
        assert worker.is_alive()
        server.done.set()
        worker.join(SOON)
        assert not server.pulse.hangs


def test_work_is_given_up_and_then_refused_until_there_is_an_answer() -> None:
    with served() as server:
        server.lives.clear()
        assert not refused(server.work)
        assert server.pulse.hangs
        assert refused(server.work)
        assert refused(server.look)
        server.lives.set()  # nobody asks meanwhile
        assert wait_until(lambda _timeout: not server.pulse.hangs, SOON)
        server.look()


def test_who_only_looks_does_not_wait_for_what_others_wait_for() -> None:
    with served(answer=NEVER) as server:
        server.lives.clear()
        with looking(LOOK_SECONDS):
            refused(server.look)
            assert wait_until(lambda _timeout: refused(server.look), SOON)  # by a sign not given
        assert not server.pulse.hangs
        server.lives.set()

        def seen(_timeout: float) -> bool:
            with looking(SOON):
                try:
                    server.look()
                except BackendUnavailable:
                    return False
            return True

        assert wait_until(seen, SOON)


def test_one_request_without_an_answer_is_no_server_that_hangs() -> None:
    with served() as server:
        with looking(LOOK_SECONDS):
            assert not refused(server.work)
        server.look()
        with deadline(LOOK_SECONDS):
            assert not refused(server.work)
        assert not server.pulse.hangs


def test_a_server_that_has_ended_does_not_hang_any_more() -> None:
    with served() as server:
        server.lives.clear()
        assert not refused(server.work)
        server.down = True  # asked again, it would say so at once
        assert wait_until(lambda _timeout: not server.pulse.hangs, SOON)


def test_an_exchange_without_any_time_out_is_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

        server = threading.Thread(target=answer)
        server.start()
        session = requests.Session()
        session.mount("http://", BoundedAdapter())
        with session, closing(session):
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            assert session.get(url, timeout=None).status_code == 204
        server.join(SOON)


def test_an_inner_deadline_is_never_later_than_an_outer_one() -> None:
    nothing = threading.Event()
    with deadline(0.05), deadline(NEVER), pytest.raises(TimeoutError):
        wait(nothing.wait)
    nothing.set()
    with deadline(math.inf):
        wait(nothing.wait)


def test_answers_of_a_client_that_waits_by_itself_are_signs_of_life() -> None:
    """Of one that is not ours to watch, with requests that overlap all the time."""
    server = Server()
    with closing(server.pulse), server.pulse.asking():
        until = time.monotonic() + 3 * ANSWER_SECONDS
        while time.monotonic() < until:
            with server.pulse.asking():
                time.sleep(ANSWER_SECONDS / 10)  # its own wait
    assert not server.pulse.hangs


def test_nobody_is_refused_before_a_sign_of_life_was_asked_for() -> None:
    server = Server()
    with closing(server.pulse), server.pulse.asking():
        time.sleep(2 * ANSWER_SECONDS)  # its own wait, as above
        server.look()
    assert not server.pulse.hangs
