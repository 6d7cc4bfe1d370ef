"""The endpoints ``/api/v1/container/*`` for any Flask application; docs/endpoints.md has them.

Nothing else in ``engines`` needs Flask.
"""

from __future__ import annotations

from engines.web.answers import KEYS, RETRY_SECONDS, STATUSES, WebCode, WebRefusal
from engines.web.blueprint import container_blueprint
from engines.web.callers import Caller, Gate, Identity, OpenGate, Operation
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
    "Operation",
    "Overview",
    "WebCode",
    "WebRefusal",
    "container_blueprint",
    "document",
]
