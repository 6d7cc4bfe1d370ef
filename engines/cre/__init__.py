"""The Container Runtime Engine: instances on a container runtime, their state in a database."""

from __future__ import annotations

from engines.cre.engine import ContainerRuntimeEngine

__all__ = ["ContainerRuntimeEngine"]
