"""Whale's Jinja templates (sub-domain, flag), in a sandbox and, given a seed, repeatable."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from functools import lru_cache
from random import Random
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import SandboxedEnvironment

from .errors import MechanismError

_environment = SandboxedEnvironment()


@lru_cache(maxsize=64)
def _compiled(template: str) -> Any:
    return _environment.from_string(template)


class SeededUuid:
    """Stands where templates use Python's ``uuid`` module; only ``uuid4`` is there."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def uuid4(self) -> uuid.UUID:
        """A version 4 UUID from the seeded source."""
        return uuid.UUID(int=self._random.getrandbits(128), version=4)


def render(
    template: str, container: Mapping[str, object], **names: Callable[..., Any] | Any
) -> str:
    """``template`` with ``container`` and ``names``; raises :class:`MechanismError` when broken."""
    try:
        return str(_compiled(template).render(container=container, **names))
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise MechanismError(f"template failed: {type(error).__name__}") from error
