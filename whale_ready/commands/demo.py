"""``whale-ready demo``: the swap from CRE to Whale, seen live."""

from __future__ import annotations

import logging
import sys
import webbrowser
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from conformance.harness import CannotRun
from engines.errors import EngineError
from whale_ready.command import Command, could_not_run, told_to_stop
from whale_ready.lines import echo

if TYPE_CHECKING:
    import threading

    from whale_ready.demo.backends import Demo

NOISY = ("engines", "fake_whale", "waitress")
"""Loggers that say what the page shows, every outage among it."""


@click.command(
    "demo",
    cls=Command,
    short_help="See the swap from CRE to Whale live, on one page.",
    epilog="""\b
Exit codes:
  0    ended by Ctrl-C or SIGTERM, which is how a demo ends
  3    could not run: a bad option, the port is in use, or --docker without Docker

\b
Examples:
  whale-ready demo --open
  whale-ready demo --docker --port 9000
""",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8070,
    show_default=True,
    help="Port of the page; 0: any free one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address of the page; who reaches it may turn all of it. Instances stay on 127.0.0.1.",
)
@click.option("--docker", "on_docker", is_flag=True, help="Run CRE's containers on Docker.")
@click.option("--open/--no-open", "opens", default=False, help="Open the page in a browser.")
def demo_command(port: int, host: str, on_docker: bool, opens: bool) -> None:
    """Serve a page with a player on one side and the rollout's dial on the other, until Ctrl-C.

    Behind it are the real endpoints, engine, adapter, routing and worker; Whale is a fake one, and
    containers are simulated unless --docker is given. It needs no network, and nothing of it is
    left at the end. docs/demo.md says what to try.
    """
    from whale_ready.demo.backends import running

    for name in NOISY:
        logging.getLogger(name).addHandler(logging.NullHandler())
    try:
        containers = None
        if on_docker:
            from whale_ready.demo.on_docker import docker_containers

            containers = docker_containers()
        with told_to_stop() as told, running(containers) as demo:
            _serve_until_told(demo, host, port, told, opens=opens)
    except (CannotRun, EngineError) as error:
        sys.exit(could_not_run(str(error)))
    echo("stopped; nothing is left")


def _serve_until_told(
    demo: Demo, host: str, port: int, told: threading.Event, *, opens: bool
) -> None:
    """Raises CannotRun when it cannot listen there."""
    from conformance.spec.web import serving
    from whale_ready.demo.app import demo_app

    with ExitStack() as stack:
        try:
            _, bound = stack.enter_context(serving(demo_app(demo, host), host, port))
        except OSError as error:
            raise CannotRun(
                f"--host {host} --port {port}: {error.strerror or error}; name an address of this "
                "machine and a port that nobody listens on, or --port 0 for any free one"
            ) from error
        url = f"http://{f'[{host}]' if ':' in host else host}:{bound}/"
        echo(f"demo: {url}")
        echo(f"CRE: the engine, {'simulated' if demo.simulated else 'Docker'} containers")
        echo(f"Whale: the adapter, over HTTP to a fake at {demo.whale_url}")
        echo("Ctrl-C ends it and removes all of it")
        if opens:
            webbrowser.open(url)
        told.wait()
