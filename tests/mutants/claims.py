"""Engines whose claim is not the database's to decide; parallel starts must find them out."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from engines.cre import ContainerRuntimeEngine
from engines.state.instance_store import Admission
from engines.state.instances import Claimed, InstanceRequest, Obstacle, Taken


class LooksThenClaims(ContainerRuntimeEngine):
    """Looks whether there is a row, then inserts one under a key that keeps no other away."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        claim = self._store.claim

        def blind(
            request: InstanceRequest, now: datetime, admit: Admission | None = None
        ) -> Claimed | Obstacle:
            for row in self._store.all():
                if row.account.startswith(request.account):
                    return Taken(row)
            loose = replace(request, account=f"{request.account}.{request.flag[-6:-1]}")
            return claim(loose, now, admit)

        self._store.claim = blind  # type: ignore[method-assign] # the bug


class SharesPorts(ContainerRuntimeEngine):
    """Publishes wherever Docker happens to find room, and tells of the first port of the range."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        launch = self._launcher.launch

        def careless(*of: Any) -> Any:
            return replace(launch(*of), ports=("23000",))

        self._launcher.launch = careless  # type: ignore[assignment,method-assign] # the bug
