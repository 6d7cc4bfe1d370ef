"""What every command of ``whale-ready`` shares: bad options end with our own exit code."""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from conformance.report.results import Verdict
from conformance.spec.redaction import Secrets
from engines.errors import EngineError
from engines.published import document
from whale_ready.lines import echo

COULD_NOT_RUN = Verdict.COULD_NOT_RUN.exit_code
INTERRUPTED = Verdict.INTERRUPTED.exit_code


_PAGE = re.compile(r"docs/([\w-]+\.md)")


class Command(click.Command):
    """A command whose bad options end with our exit code 3, not with click's 2.

    Its help names a page as ``docs/NAME.md``; shown is the name, and at the end the address.
    """

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._pages: dict[str, None] = {}
        self.help = self._named(self.help)
        for param in self.params:
            if isinstance(param, click.Option):
                param.help = self._named(param.help)

    def _named(self, text: str | None) -> str | None:
        if text is None:
            return None
        self._pages |= dict.fromkeys(_PAGE.findall(text))
        return _PAGE.sub(r"\1", text)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The epilog, and where the pages are that the help names."""
        super().format_epilog(ctx, formatter)
        if self._pages:
            with formatter.section("Pages"):
                for page in self._pages:
                    formatter.write(f"  {document(page)}\n")  # never wrapped

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: object,
    ) -> click.Context:
        with _usage_is_could_not_run():
            return super().make_context(info_name, args, parent, **extra)


class CommandGroup(Command, click.Group):
    """The same for unknown commands."""

    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().main(*args, **extra)
        finally:
            # An interrupt that was met inside code made from a string, as SQLAlchemy and
            # dataclasses make it, is remembered: CPython would end by the signal after all, and
            # not with our exit code. The next such code makes it forget.
            exec("")  # noqa: S102 - empty

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        with _usage_is_could_not_run():
            return super().resolve_command(ctx, args)


def could_not_run(sentence: str) -> int:
    """Print why; returns the exit code."""
    echo(f"Error: {Secrets().clean(sentence)}", err=True)
    return COULD_NOT_RUN


@contextmanager
def faults_could_not_run() -> Iterator[None]:
    """A setting that is wrong, or a database that cannot be asked, ends with exit code 3."""
    try:
        yield
    except EngineError as error:
        sys.exit(could_not_run(str(error)))
    except Exception as error:
        said = database_fault(error)
        if said is None:
            raise
        sys.exit(could_not_run(said))


def database_fault(error: Exception) -> str | None:
    """What to say of an error of the state's database, without a secret; None of any other."""
    if "sqlalchemy" not in sys.modules:
        return None
    from sqlalchemy.exc import SQLAlchemyError  # a tenth of a second, for those who need it

    from engines.doctor.database_side import reason
    from engines.settings import Settings
    from engines.state.database import VARIABLE, parsed_url

    if not isinstance(error, SQLAlchemyError):
        return None
    said = reason(error, parsed_url(Settings.from_environ().state_url))
    return f"the database cannot be asked: {said}; see whether it runs and {VARIABLE} is right"


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does: cleaned up."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def told_to_stop() -> Iterator[threading.Event]:
    """SIGTERM and Ctrl-C set the event, and end nothing, while the block runs."""
    told = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        told.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _usage_is_could_not_run() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        error.show()
        sys.exit(COULD_NOT_RUN)
