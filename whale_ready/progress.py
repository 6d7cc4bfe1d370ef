"""What a run looks like while it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from conformance.report.results import ScenarioResult, Status
from conformance.run.observer import Observer
from conformance.spec.rules import BY_ID
from whale_ready.console import Console

_MARKS = {
    Status.FAIL: "[bold red]FAIL[/]",
    Status.ERROR: "[bold yellow]ERROR[/]",
    Status.KNOWN_DEVIATION: "[yellow]KNOWN DEVIATION[/]",
    Status.WAIVED: "[yellow]WAIVED[/]",
}


@contextmanager
def progress_on(console: Console) -> Iterator[Observer]:
    """An observer that shows a bar on a terminal, and plain lines elsewhere."""
    if not console.is_terminal:
        lines = PlainLines(console)
        yield lines
        lines.end_group()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as bar:
        yield LiveBar(bar, console)


class LiveBar(Observer):
    """One bar over all scenarios; what does not pass is printed above it."""

    def __init__(self, bar: Progress, console: Console) -> None:
        self._bar = bar
        self._console = console
        self._task = bar.add_task("preparing", total=None)

    def opening(self, backend: str) -> None:
        self._bar.update(self._task, description=f"preparing {escape(backend)}")

    def noted(self, note: str) -> None:
        self._console.say(note, "yellow")

    def begins(self, total: int) -> None:
        self._bar.update(self._task, total=total, description="running")

    def measured(self, result: ScenarioResult) -> None:
        self._bar.update(self._task, advance=1, description=escape(result.id))
        if result.status in _MARKS:
            self._console.print(_line(result))


class PlainLines(Observer):
    """One line per backend and group, for logs; what does not pass at once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._group: tuple[str, str] | None = None
        self._seen = 0

    def opening(self, backend: str) -> None:
        self._console.say(f"preparing {backend}")

    def noted(self, note: str) -> None:
        self._console.say(note)

    def begins(self, total: int) -> None:
        self._console.print(f"running {total} scenarios")

    def measured(self, result: ScenarioResult) -> None:
        group = (result.backend, result.group)
        if group != self._group:
            self.end_group()
            self._group, self._seen = group, 0
        self._seen += 1
        if result.status in _MARKS:
            self._console.print(_line(result), soft_wrap=True)

    def end_group(self) -> None:
        """Tell of the group that is over."""
        if self._group is not None:
            backend, group = self._group
            self._console.say(f"{backend} {group}: {self._seen} done")
            self._group = None


def _line(result: ScenarioResult) -> str:
    title = escape(BY_ID[result.rule].title)
    return f"{_MARKS[result.status]} {escape(result.id)} {title}"
