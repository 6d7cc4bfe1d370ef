"""A container backend without containers: each instance is a process of this machine."""

from local_process.backend import ProcessBackend

__all__ = ["ProcessBackend"]
