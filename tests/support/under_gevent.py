"""Runs :mod:`support.gevent_child` as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHILD = Path(__file__).with_name("gevent_child.py")
LIVES = 4 * ["ok", "ok"] + ["ok"]
"""What four players and the first one's stop are answered."""


def under_gevent(kind: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """What the child saw; nothing may stand on its stderr.

    Args:
        kind: of backend: memory, whale or docker.
        environ: with the child's settings.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", str(CHILD), kind],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.stderr == ""
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found
