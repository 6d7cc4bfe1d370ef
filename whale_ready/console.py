"""The console of every command that shows a table or a bar: no control character gets out."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO, Any

import rich.console
from rich.segment import Segment
from rich.text import Text

from engines.printable import printable


class Console(rich.console.Console):
    """Rich's, with everything escaped in what it is given; its own sequences are kept."""

    def __init__(self, file: IO[str] | None = None, **options: Any) -> None:
        # Named, because sys.stdout is another one while pytest runs.
        super().__init__(file=file or sys.stdout, highlight=False, **options)

    def render(
        self,
        renderable: rich.console.RenderableType,
        options: rich.console.ConsoleOptions | None = None,
    ) -> Iterable[Segment]:
        """As Rich does, and escaped."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text, keep="\n"), style)

    def say(self, text: str, style: str = "") -> None:
        """Print one line of whatever origin: no markup, never cut at the width of a log."""
        self.print(Text(printable(text), style=style), soft_wrap=not self.is_terminal)
