"""Whale (ctfd-whale: Docker Swarm behind frp) as a backend, spoken to over HTTP."""

from __future__ import annotations

from engines.whale.credentials import Credentials, StaticTokens, load_tokens
from engines.whale.manager import WhaleAPIManager

__all__ = ["Credentials", "StaticTokens", "WhaleAPIManager", "load_tokens"]
