"""Every table that this program keeps its state in, as the code of today has it."""

from __future__ import annotations

from importlib import import_module

import sqlalchemy as sa

_MODULES = (
    "engines.state.audit_log",
    "engines.state.audit_export",
    "engines.call_rate",
    "engines.cre.deployment",
    "engines.cre.pool_store",
    "engines.cre.reservations",
    "engines.cre.start_rate",
    "engines.cre.tables",
    "engines.hybrid.dial_store",
    "engines.hybrid.routes",
    "engines.state.instance_store",
    "engines.state.lease",
    "engines.whale.manager",
    "engines.whale.traits",
    "engines.whale.write_queue",
)
"""Those that define one; each is loaded here, whatever the process is for."""


def all_tables() -> sa.MetaData:
    """The tables as they must be, but that of versions."""
    for name in _MODULES:
        import_module(name)
    from engines.state.database import metadata

    return metadata
