"""Database servers for tests: one of each kind for a run, on loopback, removed at its end.

``PYTHONPATH=tests python -m support.servers`` runs them for micro-benchmarks, until Ctrl-C.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import sqlalchemy as sa

READY_SECONDS = 60.0


class DatabaseServer(ABC):
    """A server of our own with a fresh data folder; :meth:`create` makes databases on it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="whale-ready-test-"))
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = int(found.getsockname()[1])
        self.log = (self.folder / "server.log").open("wb")
        try:
            self.process = self.start()
            self._wait()
        except BaseException:  # Ctrl-C too: no server is left behind; raised again
            self.close()
            raise

    @abstractmethod
    def start(self) -> subprocess.Popen[bytes]:
        """Prepare the data folder and start the server."""

    @property
    @abstractmethod
    def admin_url(self) -> str:
        """SQLAlchemy URL from which databases are made."""

    def run(self, *command: str) -> None:
        """Run a command of the server's to its end."""
        subprocess.run(command, check=True, stdout=self.log, stderr=self.log, timeout=120)

    def create(self) -> str:
        """A new empty database; returns its SQLAlchemy URL."""
        name = f"t{uuid.uuid4().hex}"
        engine = sa.create_engine(self.admin_url, isolation_level="AUTOCOMMIT", future=True)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        return sa.engine.make_url(self.admin_url).set(database=name).render_as_string(False)

    def close(self) -> None:
        """End the server and remove its data."""
        process = getattr(self, "process", None)
        if process is not None and process.poll() is None:
            process.terminate()
            process.wait(timeout=60)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait(self) -> None:
        engine = sa.create_engine(self.admin_url, future=True)
        until = time.monotonic() + READY_SECONDS
        while True:
            try:
                with engine.connect():
                    break
            except sa.exc.OperationalError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"no database server: {self.said()}") from None
                time.sleep(0.05)  # a server that comes up gives no sign to wait for
        engine.dispose()

    def said(self) -> str:
        """The last of the server's log."""
        return (self.folder / "server.log").read_text(errors="replace")[-2000:]


class MariaDB(DatabaseServer):
    """At REPEATABLE-READ, MariaDB's default and CTFd's."""

    programs = ("mariadbd", "mariadb-install-db")

    def start(self) -> subprocess.Popen[bytes]:
        data = str(self.folder / "data")
        user = f"--user={pwd.getpwuid(os.getuid()).pw_name}"
        self.run(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data}",
            user,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )
        return subprocess.Popen(
            [
                *("mariadbd", "--no-defaults", f"--datadir={data}", user),
                *(f"--port={self.port}", "--bind-address=127.0.0.1"),
                *(f"--socket={self.folder / 's'}", f"--pid-file={self.folder / 'pid'}"),
                "--innodb-flush-log-at-trx-commit=0",
            ],
            stdout=self.log,
            stderr=self.log,
        )

    @property
    def admin_url(self) -> str:
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/mysql"


class PostgreSQL(DatabaseServer):
    """Run as the user ``postgres`` where we are root: it refuses to be root's."""

    @staticmethod
    def program(name: str) -> str:
        """Path of one of its programs; empty when it is not there."""
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        return str(found[-1]) if found else shutil.which(name) or ""

    def start(self) -> subprocess.Popen[bytes]:
        data = self.folder / "data"
        prefix: tuple[str, ...] = ()
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
            prefix = ("runuser", "-u", "postgres", "--")
        self.run(*prefix, self.program("initdb"), "-D", str(data), "-U", "postgres", "-A", "trust")
        return subprocess.Popen(
            [
                *(*prefix, self.program("postgres"), "-D", str(data), "-p", str(self.port)),
                *(
                    "-c",
                    "listen_addresses=127.0.0.1",
                    "-c",
                    f"unix_socket_directories={self.folder}",
                ),
                *("-c", "fsync=off", "-c", "max_connections=300"),
            ],
            stdout=self.log,
            stderr=self.log,
        )

    @property
    def admin_url(self) -> str:
        return f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/postgres"


def main() -> None:
    """Start what is installed, tell the options of ``pytest benchmarks/micro``, wait for Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    present = {
        MariaDB: all(shutil.which(program) for program in MariaDB.programs),
        PostgreSQL: bool(PostgreSQL.program("initdb")),
    }
    with ExitStack() as stack:
        for kind, there in present.items():
            if there:
                server = stack.enter_context(closing(kind()))
                said = f"--database {server.create()}"
            else:
                said = f"{kind.__name__} is not installed"
            sys.stdout.write(f"{said}\n")
            sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
