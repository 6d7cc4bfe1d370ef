"""Whose ``engines`` is imported: ours, also in the folder of a project that has its own.

Only the standard library is imported here: this runs before anything whose name may be taken.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("benchmarks", "conformance", "engines", "fake_whale", "whale_ready")
"""The packages of this distribution, which are installed side by side."""

_HOME = Path(__file__).resolve().parents[1]


def ours_first() -> None:
    """Move the current folder, and what else would hide a package of ours, to the end."""
    here = () if sys.flags.safe_path else ("", str(Path.cwd()))
    # In a checkout of ours, which need not be the one that is installed, the folder is home.
    first = [each for each in sys.path[:1] if each in here and not _is_home(each)]
    ours = next((n for n, each in enumerate(sys.path) if _is_home(each)), len(sys.path))
    last = [*first, *(each for each in sys.path[len(first) : ours] if _holds_ours(each))]
    sys.path[:] = [*(each for each in sys.path if each not in last), *dict.fromkeys(last)]


def hidden() -> str | None:
    """One sentence where a package of another project is found in the place of one of ours."""
    for name in PACKAGES:
        found = find_spec(name)
        if found is None or found.origin is None or not _is_home(Path(found.origin).parents[1]):
            where = "nowhere" if found is None else found.origin or "a folder of that name"
            return (
                f"{name} is a package of whale-ready, and Python finds another one in its place "
                f"({where}): rename that, or take its folder out of PYTHONPATH"
            )
    return None


def _holds_ours(entry: str) -> bool:
    folder = Path(entry)
    return any((folder / name).is_dir() or (folder / f"{name}.py").is_file() for name in PACKAGES)


def _is_home(entry: str | Path) -> bool:
    return Path(entry).resolve() == _HOME
