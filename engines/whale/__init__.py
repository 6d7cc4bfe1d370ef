"""Whale (ctfd-whale: Docker Swarm behind frp) as a backend, spoken to over HTTP."""

from __future__ import annotations

from engines.whale.credentials import (
    BrowserSession,
    Credentials,
    CredentialsFile,
    RequestSession,
    StaticTokens,
)
from engines.whale.ctfd_tokens import CtfdTokens
from engines.whale.manager import WhaleAPIManager

__all__ = [
    "BrowserSession",
    "Credentials",
    "CredentialsFile",
    "CtfdTokens",
    "RequestSession",
    "StaticTokens",
    "WhaleAPIManager",
]
