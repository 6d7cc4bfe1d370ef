"""The three ways a Whale is spoken to."""

from __future__ import annotations

from enum import Enum


class FakeDialect(str, Enum):
    """``ctfd-whale`` is measured; the other two are read (docs/whale-wire.md)."""

    CTFD_WHALE = "ctfd-whale"
    DOCUMENTED = "documented"
    LEGACY = "legacy"
