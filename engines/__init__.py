"""Interchangeable backends that run a CTFd's challenge instances."""

from __future__ import annotations

__version__ = "0.1.0"
