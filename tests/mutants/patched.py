"""One part of the program replaced while a harness is open: what no subclass can break.

The worker's round, the front over two backends and the endpoints are made where a mutant has no
hand in it; so what is replaced is an attribute of a class or module, for as long as the run lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from conformance.harness import Harness, Options, World


@dataclass(frozen=True)
class Change:
    """A part of the program and what stands in its place."""

    owner: Any
    name: str
    broken: Callable[..., Any]
    """Called with the sound one, and then with its arguments."""

    @contextmanager
    def made(self) -> Iterator[None]:
        """The program is broken inside this block."""
        sound = getattr(self.owner, self.name)
        broken = self.broken
        is_property = isinstance(sound, property)

        def stand_in(*args: Any, **named: Any) -> Any:
            return broken(sound.fget if is_property else sound, *args, **named)

        setattr(self.owner, self.name, property(stand_in) if is_property else stand_in)
        try:
            yield
        finally:
            setattr(self.owner, self.name, sound)


class _PatchedHarness(Harness):
    """A sound harness of a program that is broken while it is open."""

    def __init__(self, sound: Harness, changes: tuple[Change, ...]) -> None:
        self._sound = sound
        self._changes = changes
        self._made = ExitStack()
        self.kind = f"broken on purpose: {changes[0].broken.__doc__}"
        self.simulated = sound.simulated
        self.hooks = sound.hooks

    def open(self) -> None:
        for change in self._changes:
            self._made.enter_context(change.made())
        self._sound.open()
        self.hooks = self._sound.hooks

    def versions(self) -> dict[str, str]:
        return self._sound.versions()

    def world(self, options: Options) -> World:
        return self._sound.world(options)

    def close(self) -> None:
        try:
            self._sound.close()
        finally:
            self._made.close()

    def leftovers(self) -> list[str] | None:
        return self._sound.leftovers()


def patched(sound: Callable[[], Harness], *changes: Change) -> Callable[[], Harness]:
    """The harness of a program that these changes break."""
    return lambda: _PatchedHarness(sound(), changes)
