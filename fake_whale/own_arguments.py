"""Passwords and tokens on this process's own command line, which every user of a machine can read.

For both commands of this distribution; only the standard library is imported here. What is hidden
was visible for the moment in which Python started, and a shell may have kept it: a file or a
variable is the better way, and :data:`ADVICE` says so.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ADVICE = (
    "note: a password or token is on the command line, where others can read it (ps, the shell's "
    "history); put it into a file or a variable, as --help says\n"
)
_ARG_START, _ARG_END = 45, 46
"""Where /proc/self/stat tells of the arguments, counted behind the program's name (proc(5))."""
_SECRETS = (
    re.compile(rb"://[^:/\s@\0]*:([^\s\0]+)@"),
    re.compile(rb"[?&](?:password|passwd|token|secret)=([^&\s\0]+)"),
    re.compile(rb"--control-token[=\0]([^\0]+)"),
)


def hide() -> None:
    """Put ``*`` in their place for ps and /proc, where this is Linux, and advise on stderr."""
    if not any(_places("\0".join(sys.orig_argv).encode(errors="surrogateescape"))):
        return
    sys.stderr.write(ADVICE)
    start, end = _arguments()
    for first, last in _places(ctypes.string_at(start, end - start) if start else b""):
        ctypes.memset(start + first, ord("*"), last - first)


def _places(said: bytes) -> Iterator[tuple[int, int]]:
    for pattern in _SECRETS:
        yield from (found.span(1) for found in pattern.finditer(said))


def _arguments() -> tuple[int, int]:
    """Where the kernel keeps them in this process's memory; zeros where that is not told."""
    try:
        told = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0, 0
    return int(told[_ARG_START]), int(told[_ARG_END])
