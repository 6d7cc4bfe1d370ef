"""Admins' lists from the deployment's database, whenever it can be opened."""

from __future__ import annotations

from engines.bulk_stop import Chosen, InstanceSelection
from engines.ctfd.deployment import Deployment
from engines.web import HistoryQuery
from engines.web.overview import HistoryPage, LiveInstance


class LazyOverview:
    """Opens the database at the first question, so that a wrong setting keeps no CTFd down."""

    def __init__(self, site: Deployment) -> None:
        self._site = site

    def live(self) -> list[LiveInstance]:
        return self._site.parts().overview.live()

    def chosen(self, selection: InstanceSelection) -> list[Chosen]:
        return self._site.parts().overview.chosen(selection)

    def history(self, query: HistoryQuery) -> HistoryPage:
        return self._site.parts().overview.history(query)
