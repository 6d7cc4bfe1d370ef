"""Runs :mod:`gevent_child` as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHILD = Path(__file__).with_name("gevent_child.py")
LIVES = 4 * ["ok", "ok"] + ["ok"]
"""What four players and the first one's stop are answered."""


def under_gevent(kind: str, *, inside: Sequence[str] = (), **settings: str) -> dict[str, Any]:
    """What the child saw; nothing may stand on its stderr.

    Args:
        kind: of backend: memory, whale or docker.
        inside: put before the command, as ``ip netns exec NAME``.
        settings: the environment's, further to none.
    """
    ours = ("CRE_", "WHALE_", "CONTAINER_", "ROLLOUT_", "USE_WHALE")
    environ = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [*inside, sys.executable, "-W", "error", str(CHILD), kind],
        env={**environ, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.stderr == ""
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found
