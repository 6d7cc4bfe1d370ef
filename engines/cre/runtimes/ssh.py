"""Docker's API over the system's ssh client: what ``docker -H ssh://…`` does.

Every connection is ``ssh HOST docker system dial-stdio`` with a socket pair in the place of a
network connection. The SDK's own ssh transport (up to 7.2) needs paramiko even where the system's
client does the work, begins a new ssh for every request, never collects the ended ones, and waits
without end for an engine that is silent.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Sequence
from typing import IO, Any
from urllib.parse import urlsplit

from urllib3.connectionpool import HTTPConnectionPool

from engines.child import Child
from engines.cre.runtimes.one_pool import OnePool
from engines.deadline import BoundedConnection

SSH_OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "LogLevel=ERROR")
"""Nobody is there to type a password or to judge a host key: ssh fails instead of asking."""
DIAL = ("docker", "system", "dial-stdio")


def ssh_command(address: str) -> tuple[str, ...]:
    """The command that reaches the engine of ``ssh://[USER@]HOST[:PORT]``.

    Raises:
        ValueError: the address has no host, a wrong port, a password or a path.
    """
    parts = urlsplit(address)
    if not parts.hostname or parts.password or parts.path not in ("", "/"):
        raise ValueError("write ssh://USER@HOST or ssh://USER@HOST:PORT; keys are ssh's business")
    user = ("-l", parts.username) if parts.username else ()
    port = ("-p", str(parts.port)) if parts.port else ()
    return ("ssh", *SSH_OPTIONS, *user, *port, "--", parts.hostname, *DIAL)


class SSHAdapter(OnePool):
    """Brings the requests of a session to the engine on the far side.

    Args:
        command: from :func:`ssh_command`.
        pool_size: connections that are kept.
    """

    def __init__(self, command: Sequence[str], pool_size: int) -> None:
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        super().__init__(_Pool("docker", maxsize=pool_size, command=command, words=self._words))

    def last_words(self) -> str:
        """The last line that an ssh of this adapter printed, as ``Permission denied``."""
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")[:200]

    def close(self) -> None:
        super().close()
        self._words.close()


class _Connection(BoundedConnection):
    """A connection that is one ssh process."""

    def __init__(
        self,
        host: str,
        port: int | None = None,
        *,
        command: Sequence[str],
        words: IO[bytes],
        **options: Any,
    ) -> None:
        super().__init__(host, port, **options)
        self._command = command
        self._words = words
        self._ssh: Child | None = None

    def connect(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                # A session of its own: Ctrl-C is for us, who still need the engine to clean up.
                files = (theirs.fileno(), theirs.fileno(), self._words.fileno())
                self._ssh = Child(self._command, files)
        except OSError:
            ours.close()
            raise
        self.sock = ours
        if isinstance(self.timeout, (int, float)):
            ours.settimeout(self.timeout)

    def close(self) -> None:
        super().close()
        ssh, self._ssh = self._ssh, None
        if ssh is not None:
            ssh.end()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection
