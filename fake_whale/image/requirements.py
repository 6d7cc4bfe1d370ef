"""Run while the image is built: installs what the base image lacks."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

REQUIREMENTS = {
    "flask": "Flask>=2.1.3",
    "msgspec": "msgspec>=0.18.6",
    "waitress": "waitress>=3.0",
    "click": "click>=8.2",
    "requests": "requests>=2.32",
    "docker": "docker>=7.1",
}
"""What ``fake-whale serve`` imports, and how pip knows it."""


def missing() -> list[str]:
    """The requirements this interpreter cannot import."""
    return [name for module, name in REQUIREMENTS.items() if find_spec(module) is None]


if __name__ == "__main__":
    wanted = missing()
    if wanted:
        command = [sys.executable, "-m", "pip", "install", "--no-cache-dir", *wanted]
        subprocess.run(command, check=True)  # noqa: S603  # our own list
