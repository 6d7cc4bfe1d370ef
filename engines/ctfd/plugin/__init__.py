"""The CTFd plugin: link this folder into ``CTFd/plugins/`` as ``whale_ready``.

docs/ctfd-plugin.md says how. A thin layer: it asks CTFd who calls and what may be done, and hands
that on to :mod:`engines.web` and :mod:`engines.ctfd`. Nothing of CTFd is imported before
:func:`load`, so this module can be looked at where there is none.
"""

from __future__ import annotations

from typing import Any


def load(app: Any) -> None:
    """What CTFd calls for each of its plugins."""
    from .loading import load_into

    load_into(app, __name__.rpartition(".")[2])
