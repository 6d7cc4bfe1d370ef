"""Virtual environments into which the wheel of this checkout was installed, one for each extra."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


class WheelEnvironments:
    """Builds the wheel once, and an environment when it is first asked for.

    With uv where it is to be had, which shares files between environments; else with pip.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        places = f"{Path(sys.prefix) / 'bin'}:{ROOT / '.venv/bin'}"
        self._uv = shutil.which("uv") or shutil.which("uv", path=places)
        self._run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT)
        (self.wheel,) = folder.glob("whale_ready-*.whl")

    def programs(self, extra: str) -> Path:
        """The folder of the programs of an environment with this extra; "" is the bare install."""
        made = self._folder / (extra or "bare")
        if not made.exists():
            wanted = f"{self.wheel}[{extra}]" if extra else str(self.wheel)
            if self._uv:
                self._run(self._uv, "venv", "-q", "--python", sys.executable, made)
                python = made / "bin" / "python"
                self._run(self._uv, "pip", "install", "-q", "--python", python, wanted)
            else:
                self._run(sys.executable, "-m", "venv", made)
                self._run(made / "bin" / "python", "-m", "pip", "install", "-q", wanted)
        return made / "bin"

    @staticmethod
    def _run(*command: str | Path) -> None:
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
