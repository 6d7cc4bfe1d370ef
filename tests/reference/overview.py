"""What admins see of a reference backend."""

from __future__ import annotations

from engines.bulk_stop import Chosen, InstanceSelection
from engines.web.overview import HistoryPage, HistoryQuery, LiveInstance, PastEvent
from reference.backend import ReferenceBackend


class ReferenceOverview:
    """An :class:`engines.web.overview.Overview` of what a backend tells of."""

    def __init__(self, backend: ReferenceBackend) -> None:
        self._backend = backend

    def live(self) -> list[LiveInstance]:
        shown = []
        for record in self._backend.listed():
            told = self._backend.describe(record)
            shown.append(
                LiveInstance(
                    backend=told["backend"],
                    user_id=record.user_id,
                    team_id=record.team_id,
                    challenge_id=record.challenge_id,
                    state="running",
                    container_id=told["container_id"],
                    host=told["host"],
                    ports=told["ports"],
                    started_at=told["started_at"],
                    expires_at=told["expires_at"],
                    remaining_seconds=told["remaining_seconds"],
                    extension_count=told["extension_count"],
                )
            )
        return shown

    def history(self, query: HistoryQuery) -> HistoryPage:
        rows = [
            PastEvent(
                id=number,
                at=event.at.isoformat(),
                backend=event.backend,
                user_id=event.user_id,
                team_id=event.team_id,
                challenge_id=event.challenge_id,
                action=event.action.value,
                code=event.code.value,
                duration_ms=event.duration_ms,
                metadata=event.metadata,
                times=event.times,
                last_at=event.last_at and event.last_at.isoformat(),
            )
            for number, event in self._backend.told(query)
        ]
        page = rows[: query.limit]
        return HistoryPage(page, page[-1].id if len(rows) > query.limit else None)

    def chosen(self, selection: InstanceSelection) -> list[Chosen]:
        return [
            Chosen(record.user_id, record.challenge_id, record.team_id)
            for record in self._backend.records.values()
            if self._backend.meant(selection, record)
        ]
