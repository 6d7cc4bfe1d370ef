"""What to say where something is asked for whose packages are not installed.

A base install holds what a CTFd process, the command line and the fake need; the rest comes with
the extras of pyproject.toml.
"""

from __future__ import annotations

OURS = ("benchmarks", "conformance", "engines", "fake_whale", "whale_ready")
"""The packages of this distribution."""


def advice(what: str, extra: str, error: ImportError) -> str | None:
    """One line: what is missing, and how to install it.

    Args:
        what: what was asked for, as in ``whale-ready check``.
        extra: the extra that brings all it needs.
        error: of the import that failed.

    Returns None when a module of our own is missing: that is a fault, and no extra mends it.
    """
    missing = error.name or getattr(error.__cause__, "name", None)
    if not missing or missing.partition(".")[0] in OURS:
        return None
    return f"{what} needs {missing}, which is not installed: pip install 'whale-ready[{extra}]'"
