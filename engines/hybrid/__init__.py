"""Two backends behind one set of calls, for a rollout that can be turned up and back."""

from __future__ import annotations

from engines.breaker import Breaker
from engines.hybrid.backend import HybridBackend
from engines.hybrid.dial import Dial, Position, Step
from engines.hybrid.dial_store import Change, DialReader, DialStore
from engines.hybrid.router import Keys, Router
from engines.hybrid.routing import Decision, Why

__all__ = [
    "Breaker",
    "Change",
    "Decision",
    "Dial",
    "DialReader",
    "DialStore",
    "HybridBackend",
    "Keys",
    "Position",
    "Router",
    "Step",
    "Why",
]
