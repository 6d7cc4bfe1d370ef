"""The endpoints ``/api/v1/container/*`` for any Flask application; docs/endpoints.md has them.

Needs Flask, which nothing else in ``engines`` does: ``pip install 'whale-ready[web]'``, or the one
that CTFd brings.
"""

from __future__ import annotations

try:
    import flask as _flask  # noqa: F401 - only to say how to get it
except ImportError as error:
    raise ImportError(
        "the endpoints need Flask, which is not installed: pip install 'whale-ready[web]'"
    ) from error

from engines.web.answers import KEYS, RETRY_SECONDS, STATUSES, Refusal, WebCode
from engines.web.blueprint import container_blueprint
from engines.web.callers import Caller, Gate, Identity, OpenGate, Wish
from engines.web.calls import PREFIX
from engines.web.openapi import document
from engines.web.overview import DatabaseOverview, HistoryQuery, Overview

__all__ = [
    "KEYS",
    "PREFIX",
    "RETRY_SECONDS",
    "STATUSES",
    "Caller",
    "DatabaseOverview",
    "Gate",
    "HistoryQuery",
    "Identity",
    "OpenGate",
    "Overview",
    "Refusal",
    "WebCode",
    "Wish",
    "container_blueprint",
    "document",
]
