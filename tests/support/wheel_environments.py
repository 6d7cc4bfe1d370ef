"""Virtual environments into which the wheel of this checkout was installed.

``uv`` makes them, out of its cache where that has the packages.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

ROOT = Path(__file__).parents[2]


def uv(*arguments: str | Path) -> None:
    """Run uv, which must not fail."""
    done = subprocess.run(
        [find_uv_bin(), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Built:
    """What an index would hold; the wheel is made of the sdist, as its users get it."""

    wheel: Path
    sdist: Path


def build(folder: Path) -> Built:
    """Build both into the folder."""
    uv("build", "--quiet", "--python", sys.executable, "--out-dir", folder, ROOT)
    return Built(next(folder.glob("*.whl")), next(folder.glob("*.tar.gz")))


def environment(home: Path, *packages: str, **options: Path) -> Path:
    """Make an environment with these packages; returns the folder of its programs."""
    uv("venv", "--quiet", "--python", sys.executable, home)
    given = [f"--{name}={path}" for name, path in options.items()]
    uv("pip", "install", "--quiet", "--python", home / "bin" / "python", *given, *packages)
    return home / "bin"


class WheelEnvironments:
    """Builds the wheel once, and an environment when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.wheel = build(folder).wheel

    def programs(self, extra: str) -> Path:
        """The folder of the programs of an environment with this extra; "" is the bare install."""
        home = self._folder / (extra or "bare")
        if home.exists():
            return home / "bin"
        return environment(home, f"{self.wheel}[{extra}]" if extra else str(self.wheel))
