"""The commands that a page tells people to type."""

from __future__ import annotations

import re
import shlex
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^ *```console\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
PAGES = [
    *sorted(ROOT.glob("docs/*.md")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *ROOT.glob("examples/*/README.md"),
]
INLINE = re.compile(r"`((?:whale-ready|fake-whale) [^`|]+)`")
OURS = re.compile(r"(?:\$ )?(?:PYTHONPATH=tests )?(?:\.venv/bin/)?((?:whale-ready|fake-whale) .*)")


def commands(page: Path) -> list[str]:
    """The commands of ours in a page's console blocks, in order.

    A line that is broken by a backslash is one; prompts and the folder of a program are left out.
    """
    text = page.read_text(encoding="utf-8")
    lines = "".join(BLOCK.findall(text)).replace("\\\n", " ").splitlines()
    return [match[1] for line in lines if (match := OURS.fullmatch(line.strip()))]


def mentioned(page: Path) -> list[str]:
    """The commands of ours that a page's sentences name."""
    return INLINE.findall(page.read_text(encoding="utf-8"))


def words_of(line: str) -> list[str]:
    """The words of one command, up to where the shell takes over, without the comment."""
    words = shlex.split(line, comments=True)
    return list(takewhile(lambda word: word not in ("|", "&&", ">"), words))
