"""Who wants to hear of a run while it goes on."""

from __future__ import annotations

from conformance.report.results import ScenarioResult


class Observer:
    """Hears nothing; override what is of interest."""

    def opening(self, backend: str) -> None:
        """A backend is being prepared."""

    def noted(self, note: str) -> None:
        """Something a reader must know came up."""

    def begins(self, total: int) -> None:
        """The scenarios are known: ``total`` of them, over all backends."""

    def measured(self, result: ScenarioResult) -> None:
        """One scenario has ended."""
