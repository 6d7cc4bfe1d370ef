"""WhaleAPIManager under test: real HTTP to a fake Whale that answers for its instances too.

Adapter and fake share one virtual clock, moved by the scenario. Each scenario has a fake of its
own, on a loopback address of its own, so that direct ports never collide.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import fake_whale
from conformance.harness import Challenges, Harness, Hook, Options, Player, World
from conformance.harnesses.fetch import http_get
from engines.audit import ContainerEvent
from engines.contract import InstanceStatus
from engines.database import Database
from engines.settings import Settings
from engines.whale import StaticTokens, WhaleAPIManager
from engines.whale.client import Answer

CHALLENGES = Challenges(
    first=1, second=2, hidden=3, missing_image=4, exits_at_once=5, subdomain=6, unknown=999_999
)
"""``first`` and ``second`` are direct (a port each), ``subdomain`` is an http name."""
PLAYERS = (Player(11), Player(12), Player(13))
MATES = (Player(21, 2), Player(22, 2), Player(31, 3), Player(32, 3))
IMAGE, CRASHING, MISSING = "chal:1", "crash:1", "no-such-image:1"
READY_SECONDS = 0.5
"""The fake's instances answer at once or never: there is nothing to wait longer for."""
UNLIMITED = 100_000
END = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp()
