"""Backends that installed packages bring: the entry points of the group ``whale_ready.backends``.

A package that says in its pyproject.toml ::

    [project.entry-points."whale_ready.backends"]
    mine = "my_package.backend:make"

is checked with ``--backend mine``, as with ``--backend mine=my_package.backend:make``. The suite's
own backends are no entry points: some take arguments (``whale:fake:DIALECT``), and they must be
there however the suite was installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

GROUP = "whale_ready.backends"


@dataclass(frozen=True, order=True)
class Installed:
    """One entry point."""

    name: str
    package: str
    """Name of the distribution, as pip shows it."""
    version: str
    target: str
    """``package.module:factory``"""

    @property
    def origin(self) -> str:
        """Where it is from, for people."""
        return f"{self.package} {self.version}"


def installed_backends() -> list[Installed]:
    """All of them by name, those that clash too; nothing is imported."""
    return sorted(
        Installed(
            point.name,
            "an unnamed package" if point.dist is None else point.dist.name,
            "" if point.dist is None else point.dist.version,
            point.value,
        )
        for point in metadata.entry_points(group=GROUP)
    )
