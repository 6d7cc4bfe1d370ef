"""Serving a fake over HTTP: waitress on a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from flask import Flask
from waitress.server import create_server

from .errors import FakeWhaleError

THREADS = 80
"""Enough that 64 slow calls at once do not queue."""


class FakeServer:
    """A fake that answers at :attr:`url` until it is closed. A context manager."""

    def __init__(self, app: Flask, host: str, port: int, on_close: Callable[[], None]) -> None:
        self._on_close = on_close
        self._closed = False
        self._sockets: dict[int, Any] = {}
        try:
            server: Any = create_server(
                app,
                map=self._sockets,
                host=host,
                port=port,
                threads=THREADS,
                ident="gunicorn",
                clear_untrusted_proxy_headers=True,
            )
        except OSError as error:
            raise FakeWhaleError(
                f"cannot listen on {host}:{port}: {error.strerror or error}; choose another port"
            ) from error
        self._server = server
        self.host = host
        self.port = int(self._server.effective_port)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.port}"
        self._thread = threading.Thread(target=self._run, name="fake-whale", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering, wake sleepers, end every thread. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._on_close()
        # A worker that pulls the trigger at the same time can have the sockets, trigger included,
        # closed before our own pull writes to it: then the work is done.
        with contextlib.suppress(OSError):
            self._server.trigger.pull_trigger(self._close_sockets)
        self._thread.join(timeout=10)

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
        self._server.task_dispatcher.shutdown()

    def _close_sockets(self) -> None:
        """On the server's own thread: with no socket left its loop ends."""
        for dispatcher in list(self._sockets.values()):
            dispatcher.close()
        self._sockets.clear()
