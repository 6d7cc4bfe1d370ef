"""``whale-ready metrics`` and ``whale-ready worker --metrics``: Prometheus metrics."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from wsgiref.simple_server import WSGIServer

import click

from engines.settings import Settings
from engines.state.database import Database
from whale_ready.command import Command, could_not_run
from whale_ready.lines import echo_lines


class CannotServe(Exception):
    """Metrics cannot be had; says why and what would help."""


class Address(NamedTuple):
    """Where to listen; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _address(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Address | None:
    if value is None:
        return None
    host, _, port = value.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    number = int(port) if port.isascii() and port.isdecimal() else -1
    if not 0 <= number <= 65535 or (":" in host and not bracketed):
        raise click.BadParameter(f"{value!r}: write host and port, as 127.0.0.1:9470")
    try:  # before a database is opened, or waited for
        import engines.metrics  # noqa: F401
    except ImportError as error:
        sys.exit(could_not_run(str(error)))
    return Address(host.strip("[]") or "127.0.0.1", number)


metrics_option = click.option(
    "--metrics",
    "address",
    metavar="HOST:PORT",
    callback=_address,
    help="Serve Prometheus metrics at http://HOST:PORT/metrics meanwhile; a port alone is one of "
    "127.0.0.1.",
)


@contextmanager
def serving_metrics(address: Address | None, settings: Settings) -> Iterator[Address | None]:
    """Serve metrics while the block runs; yields where. None serves nothing.

    Raises:
        CannotServe: the address cannot be listened on.
    """
    if address is None:
        yield None
        return
    database = Database(settings.state_url)
    try:
        server, thread = _server(database, address)
        try:
            yield Address(address.host, server.server_port)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
    finally:
        database.close()


@click.command(
    "metrics",
    cls=Command,
    short_help="Print Prometheus metrics of what runs, once.",
    epilog="""\b
Exit codes:
  0    printed, also when the database is down: whale_ready_up is 0 then
  3    could not run: a bad option or setting, or prometheus_client is not installed

\b
Examples:
  whale-ready metrics
  whale-ready metrics > whale.tmp && mv whale.tmp /var/lib/node_exporter/whale_ready.prom
""",
)
def metrics_command() -> None:
    """Print the metrics of this deployment's database in Prometheus' text format.

    For node_exporter's textfile collector, or a look. whale-ready worker --metrics serves the same
    over HTTP. docs/metrics.md says what each of them means.
    """
    try:
        from engines.metrics import exposition

        database = Database(Settings.from_environ().state_url)
    except ImportError as error:
        sys.exit(could_not_run(str(error)))
    try:
        echo_lines(exposition(database).decode())
    finally:
        database.close()


def _server(database: Database, address: Address) -> tuple[WSGIServer, threading.Thread]:
    from engines.metrics import serve

    try:
        return serve(database, address.host, address.port)
    except OSError as error:
        raise CannotServe(
            f"--metrics {address}: {error.strerror}; name an address of this machine and a port "
            "that nobody listens on"
        ) from error
