"""``--database URL`` and ``--database-file FILE``: a URL with a password is no argument for ps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from whale_ready.command import could_not_run

_Function = TypeVar("_Function", bound=Callable[..., Any])


def database_options(text: str, variable: str) -> Callable[[_Function], _Function]:
    """Add both options; the command gets ``database`` and ``database_file``.

    Args:
        text: what the database is for.
        variable: of the environment, where the URL may be too; part of the text.
    """
    url = click.option("--database", metavar="URL", help=f"{text} With a password, use {variable}.")
    file = click.option(
        "--database-file",
        metavar="FILE",
        type=click.Path(allow_dash=True, path_type=Path),
        help="A file that holds this URL; - reads it from the standard input.",
    )
    return lambda function: url(file(function))


def chosen_url(given: str | None, file: Path | None) -> str | None:
    """The URL that the two options name; ends with exit code 3 where both do, or the file none."""
    if file is None:
        return given
    if given is not None:
        sys.exit(could_not_run("--database and --database-file: leave one of them out"))
    try:
        found = (sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        sys.exit(could_not_run(f"--database-file {file}: {why}; name a file that holds a URL"))
    if not found:
        sys.exit(could_not_run(f"--database-file {file}: it is empty; write the URL into it"))
    return found
