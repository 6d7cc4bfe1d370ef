"""Two backends behind one set of calls, for a rollout that can be turned up and back."""

from __future__ import annotations

from engines.breaker import Breaker
from engines.hybrid.backend import HybridBackend
from engines.hybrid.dial import Dial, Position, RolloutStep
from engines.hybrid.dial_store import Change, DialReader, DialStore
from engines.hybrid.router import Keys, StartRouter
from engines.hybrid.routing import RoutedBy, RoutingDecision

__all__ = [
    "Breaker",
    "Change",
    "Dial",
    "DialReader",
    "DialStore",
    "HybridBackend",
    "Keys",
    "Position",
    "RolloutStep",
    "RoutedBy",
    "RoutingDecision",
    "StartRouter",
]
