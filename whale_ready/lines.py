"""Plain lines of a command, and its log: no control character gets out."""

from __future__ import annotations

import logging

import click

from engines.printable import printable


def echo(line: str, *, err: bool = False) -> None:
    """Print one line, with whatever others have said in it; it stays one."""
    click.echo(printable(line), err=err)


def echo_lines(text: str) -> None:
    """Print a text of our own that has lines, and ends where it ends."""
    click.echo(printable(text, keep="\n"), nl=False)


class Formatter(logging.Formatter):
    """A record as it is printed where nothing else is set up, in one line but for a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record), keep="\n")


def log_to_stderr() -> None:
    """Warnings go to stderr, as without any set-up, and escaped."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(Formatter())
