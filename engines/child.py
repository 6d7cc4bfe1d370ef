"""Programs that this process runs, the same under plain threads and under gevent.

gevent replaces ``subprocess`` by its own, which forks this process with all its at-fork hooks:
CTFd's gevent (25.5) then prints "Exception ignored in _ForkHooks" to the server's log whenever
another greenlet is at work. ``os.posix_spawn`` runs no hook, and nothing replaces it. The end of
a program is read from a socket, which gevent waits for without holding up other requests; its
exit code too, as gevent's event loop may collect any child before we do.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SHELL = ("/bin/sh", "-c", 'trap : TERM; "$@" 3>&-; echo $? >&3', "sh")
"""Outlives SIGTERM, to collect the program that does not."""
END_SECONDS = 5.0
"""How long a program that was told to end may take."""
_EXIT_CODE_FD = 3


@dataclass(frozen=True)
class Done:
    """What a program that ended has said."""

    returncode: int
    stdout: str
    stderr: str


class Child:
    """One program, in a session of its own: Ctrl-C is not for it.

    Args:
        files: descriptors that become its standard input, output and error.
        environ: its environment; None for ours.

    Raises:
        FileNotFoundError: there is no such program.
        OSError: it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        files: tuple[int, int, int],
        environ: Mapping[str, str] | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        if shutil.which(command[0], path=environ.get("PATH")) is None:
            raise FileNotFoundError(command[0])
        self._ended, theirs = socket.socketpair()
        told = theirs.detach()  # closed by us at once: gevent may put off the closing of a socket
        # Moved above the four first, so that none of them is overwritten before it is copied.
        given = [_high(number) for number in (*files, told)]
        os.close(told)
        try:
            self._pid = os.posix_spawn(
                _SHELL[0],
                [*_SHELL, *command],
                environ,
                file_actions=[
                    *((os.POSIX_SPAWN_DUP2, each, own) for own, each in enumerate(given)),
                    *((os.POSIX_SPAWN_CLOSE, each) for each in _inherited()),
                ],
                setsid=True,
                setsigdef=[signal.SIGPIPE],  # which Python ignores
            )
        except BaseException:  # raised again
            self._ended.close()
            raise
        finally:
            for number in given:
                os.close(number)

    def wait(self, seconds: float) -> int:
        """The exit code, once it has ended; below 0 when it was killed.

        Raises:
            TimeoutError: it is still at work.
        """
        self._ended.settimeout(seconds)
        said = b""
        # The line is whole when the program has ended: nothing waits for the end of the stream.
        while not said.endswith(b"\n") and (more := self._ended.recv(16)):
            said += more
        self._ended.close()
        with suppress(ChildProcessError):  # gevent's loop has collected it
            os.waitpid(self._pid, 0)
        return int(said) if said else -signal.SIGKILL

    def end(self) -> None:
        """Tell it to end, and see that it does."""
        self._signal(signal.SIGTERM)
        try:
            self.wait(END_SECONDS)
        except TimeoutError:
            self._signal(signal.SIGKILL)
            self.wait(END_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._pid, number)


def run(
    command: Sequence[str],
    *,
    text: str = "",
    seconds: float,
    environ: Mapping[str, str] | None = None,
) -> Done:
    """Run a program to its end, with ``text`` for its input.

    Raises:
        FileNotFoundError: there is no such program.
        TimeoutError: it took longer, and was killed.
        OSError: it cannot be started.
    """
    files = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
    try:
        os.write(files[0], text.encode())
        os.lseek(files[0], 0, os.SEEK_SET)
        child = Child(command, (files[0], files[1], files[2]), environ)
        try:
            code = child.wait(seconds)
        except BaseException:  # a worker that is told to end too; raised again
            child.end()
            raise
        return Done(code, _text(files[1]), _text(files[2]))
    finally:
        for number in files:
            os.close(number)


def _high(number: int) -> int:
    """A copy of the descriptor that is not among the four that a child is given."""
    return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _EXIT_CODE_FD + 1)


def _inherited() -> list[int]:
    """Descriptors that a child must not have: gunicorn's listening sockets are inheritable."""
    return [
        number
        for path in Path("/proc/self/fd").iterdir()
        if (number := int(path.name)) > _EXIT_CODE_FD
    ]


def _text(number: int) -> str:
    return os.pread(number, os.fstat(number).st_size, 0).decode(errors="replace")
