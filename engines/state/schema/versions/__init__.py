"""The revisions. Alembic reads the files of this folder by itself."""

from __future__ import annotations
