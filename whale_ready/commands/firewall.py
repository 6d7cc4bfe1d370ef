"""``whale-ready firewall``: the rules that keep instances from Docker's host and the internet."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import click

from engines.cre.firewall import Firewall
from engines.cre.guard import NO_BRIDGE_NETFILTER, docker_host, is_remote, sees_bridged
from engines.errors import EngineError
from engines.settings import Settings
from whale_ready.command import COULD_NOT_RUN, Command, CommandGroup
from whale_ready.lines import echo, echo_lines

_T = TypeVar("_T")

EXIT_CODES = """\b
Exit codes:
  0    done; check: all rules are there and asked first
  1    check: rules are missing
  3    could not run: a bad option, no iptables, no permission, not Docker's host
"""


@click.group("firewall", cls=CommandGroup, short_help="Keep instances from host and internet.")
def firewall_group() -> None:
    """Rules of iptables on Docker's host that keep instances from it and from the internet.

    As root there. With CRE_FIREWALL=engine a process that runs as root on Docker's host applies
    them by itself; with CRE_FIREWALL=operator this command does, once per boot (docs/isolation.md).
    """


@firewall_group.command("apply", cls=Command, epilog=EXIT_CODES)
def apply_command() -> None:
    """Put the rules there; those that are there stay without a gap."""
    _on_dockers_host(Firewall().apply)
    echo("applied")
    if not sees_bridged():
        echo(f"Warning: {NO_BRIDGE_NETFILTER}", err=True)


@firewall_group.command("check", cls=Command, epilog=EXIT_CODES)
def check_command() -> None:
    """Say whether the rules are there and asked before all others."""
    if not _on_dockers_host(Firewall().applied):
        echo("not applied: run whale-ready firewall apply")
        sys.exit(1)
    if not sees_bridged():
        echo(f"not in force: {NO_BRIDGE_NETFILTER}")
        sys.exit(1)
    echo("applied")


@firewall_group.command("remove", cls=Command, epilog=EXIT_CODES)
def remove_command() -> None:
    """Take the rules away; instances that run are not kept from anything from then on."""
    _on_dockers_host(Firewall().remove)
    echo("removed")


@firewall_group.command("script", cls=Command, epilog=EXIT_CODES)
def script_command() -> None:
    """Print a shell script that does what apply does, for a host without whale-ready."""
    echo_lines(Firewall().script())


def _on_dockers_host(work: Callable[[], _T]) -> _T:
    try:
        address = docker_host(Settings.from_environ())
        if is_remote(address):
            echo(f"Error: the Docker engine is at {address}: run this there", err=True)
            sys.exit(COULD_NOT_RUN)
        return work()
    except EngineError as error:
        echo(f"Error: {error}", err=True)
        sys.exit(COULD_NOT_RUN)
