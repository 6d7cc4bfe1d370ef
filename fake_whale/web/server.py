"""Serving a fake over HTTP: waitress on a thread of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from waitress.server import create_server

from ..whale.errors import FakeWhaleError
from .transport import SpoiledChannel

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

SHUTDOWN_SECONDS = 5.0
THREADS = 80
"""Enough that 64 slow calls at once do not queue."""
MOST_CONNECTIONS = 4000
LATELY_SECONDS = 0.05
"""How long a client takes, at most, to the next request of the call that it is at."""


class FakeServer:
    """A fake that answers at :attr:`url` until it is closed. A context manager."""

    def __init__(
        self,
        app: WSGIApplication,
        host: str,
        port: int,
        on_close: Callable[[], None],
        threads: int = THREADS,
    ) -> None:
        self._on_close = on_close
        self._closed = False
        self._timer: threading.Timer | None = None
        self._sockets: dict[int, Any] = {}
        server: Any = create_server(
            app,
            map=self._sockets,
            sockets=[_bound(host, port)],
            threads=threads,
            connection_limit=MOST_CONNECTIONS,
            asyncore_use_poll=True,
            ident="gunicorn",
            clear_untrusted_proxy_headers=True,
        )
        server.channel_class = SpoiledChannel
        self._server = server
        self.host = host
        self.port = int(self._server.effective_port)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.port}"
        self._thread = threading.Thread(target=self._run, name="fake-whale", daemon=True)
        self._thread.start()

    @property
    def connections(self) -> int:
        """How many connections are in use: busy, just answered, or so new that they have not asked
        anything yet."""
        lately = time.monotonic() - LATELY_SECONDS
        channels = list(self._server.active_channels.values())
        return sum(
            1
            for channel in channels
            if channel.requests or channel.answered_at is None or channel.answered_at > lately
        )

    def refuse(self, seconds: float) -> None:
        """Refuse every connection for ``seconds`` of real time, or until :meth:`accept_again`."""
        self._on_loop_and_wait(self._stop_listening)
        self._timer = threading.Timer(seconds, self.accept_again)
        self._timer.daemon = True
        self._timer.start()

    def accept_again(self) -> None:
        """End :meth:`refuse`. Idempotent."""
        timer, self._timer = self._timer, None
        if timer is None:
            return
        timer.cancel()
        self._on_loop_and_wait(self._listen_again)

    def close(self) -> None:
        """Stop answering, wake sleepers, end every thread. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._on_close()
        # A worker that pulls the trigger at the same time can have the sockets, trigger included,
        # closed before our own pull writes to it: then the work is done.
        with contextlib.suppress(OSError):
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._on_loop(self._hang_up)
        self._server.task_dispatcher.shutdown(timeout=SHUTDOWN_SECONDS)
        # The trigger is closed last: workers pull it when they end.
        self._on_loop(self._server.trigger.del_channel)
        self._thread.join(timeout=SHUTDOWN_SECONDS)
        self._server.trigger.close()

    def __enter__(self) -> FakeServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        self._server.run()

    def _on_loop(self, work: Callable[[], object]) -> None:
        """Run ``work`` on the server's own thread, which owns all sockets."""
        self._server.trigger.pull_trigger(work)

    def _on_loop_and_wait(self, work: Callable[[], object]) -> None:
        done = threading.Event()

        def then_tell() -> None:
            work()
            done.set()

        self._on_loop(then_tell)
        done.wait(timeout=SHUTDOWN_SECONDS)

    def _stop_listening(self) -> None:
        server = self._server
        for channel in list(server.active_channels.values()):
            channel.close_when_idle()
        server.del_channel()
        server.socket.close()
        # Bound but not listening: nobody else gets the port, and connections are refused.
        server.create_socket(server.family, server.socktype)
        server.del_channel()
        server.set_reuse_addr()
        server.socket.bind((self.host, self.port))

    def _listen_again(self) -> None:
        self._server.set_socket(self._server.socket)
        self._server.accept_connections()

    def _hang_up(self) -> None:
        for channel in list(self._server.active_channels.values()):
            channel.handle_close()
        self._server.del_channel()
        self._server.socket.close()


def _bound(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise FakeWhaleError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another port"
        ) from error
    return made
