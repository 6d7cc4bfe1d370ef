"""ContainerRuntimeEngine on simulated containers: bugs that a contest's whole life brings out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from engines.cre import ContainerRuntimeEngine
from engines.cre.evidence import FailureEvidence
from engines.errors import BackendUnavailable
from engines.owners import Key, Mark
from engines.state.database import Database


class KnowsChallengesByNumber(ContainerRuntimeEngine):
    """An instance belongs to whatever challenge has the number."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        owners = self._parts.owners
        look = owners._marks

        def blind(keys: Collection[Key]) -> Mapping[Key, Mark] | None:
            found = look(keys)
            if found is None:
                return None
            return {key: Mark(mark.account, f"challenge {key[2]}") for key, mark in found.items()}

        owners._marks = blind  # type: ignore[method-assign] # the bug


class LeasesForTheLongestStart(ContainerRuntimeEngine):
    """A start's row is its process's own for as long as the longest start takes, dead or alive."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._parts.heartbeat.lease = lambda longest: longest  # type: ignore[method-assign] # the bug


class LosesWithoutAWord(ContainerRuntimeEngine):
    """The event of a lost instance does not say what became of it."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._removal._why_lost = lambda row: FailureEvidence()  # type: ignore[method-assign] # the bug


class WaitsForTheNetwork(ContainerRuntimeEngine):
    """A stop that had to leave the network, as something else is on it, is told as failed."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        clear = self._removal._clear

        def whole(row: Any) -> Any:
            if left := clear(row):
                raise BackendUnavailable(str(left))
            return left

        self._removal._clear = whole  # type: ignore[method-assign] # the bug


class BelievesTheVersion(ContainerRuntimeEngine):
    """Tables of the newest version are taken for right, whatever an import has made of them."""

    def __init__(self, *args: Any, database: Database, **parts: Any) -> None:
        database.tables_differ = lambda: False  # type: ignore[method-assign] # the bug
        super().__init__(*args, database=database, **parts)
