"""Instances live and go with the docker SDKs that people have beside us.

ctfd-whale pins docker 4.1.0, and CTFd's image installs the requirements of each plugin last.
CTFd 3.8 pins requests 2.32.4 and urllib3 2.6.0, with which no SDK before 7.1 reaches an engine by
itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PINS = ("requests==2.32.4", "urllib3==2.6.0")
ROOT = Path(__file__).parents[2]

LIFE = """
import sys
from pathlib import Path

import docker

from engines.catalog import ChallengeSpec, Companion, StaticCatalog
from engines.cre import ContainerRuntimeEngine
from engines.settings import Settings

image, deployment, folder = sys.argv[1:]
assert docker.__file__.startswith(folder), docker.__file__
settings = Settings(
    cre_deployment=deployment,
    cre_firewall="none",
    database_url=f"sqlite:///{Path(folder) / deployment}.db",
)
specs = [
    ChallengeSpec(id=1, name="alone", image=image),
    ChallengeSpec(id=2, name="two", image=image, companions=(Companion(name="db", image=image),)),
]
engine = ContainerRuntimeEngine(settings, catalog=StaticCatalog(specs))
for number in (1, 2):
    print(engine.start_instance(7, number).code.value)
    engine.cleanup_worker.run_once()
    print("running" if engine.get_instance_status(7, number) else "lost")
    print(engine.stop_instance(7, number).code.value)
engine.close()
"""


def with_sdk(
    folder: Path, *arguments: str, program: str = LIFE
) -> subprocess.CompletedProcess[str]:
    """Run a program where the packages of ``folder`` come first."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.mark.parametrize("version", ["4.1.0", "6.1.3"])
def test_an_older_sdk_does(version: str, image: str, deployment: str, tmp_path: Path) -> None:
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    subprocess.run(
        [*pip, "--no-compile", "--target", str(tmp_path), f"docker=={version}", *PINS],
        check=True,
        timeout=100,
    )
    done = with_sdk(tmp_path, image, deployment, str(tmp_path))
    if version < "6" and sys.version_info >= (3, 12):  # it needs distutils, which is gone there
        assert f"the docker SDK {version} cannot be imported" in done.stderr
        assert "pip install 'docker>=7.1'" in done.stderr
        return
    assert done.stdout.split() == ["ok", "running", "ok"] * 2, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("raise ModuleNotFoundError('No module named distutils')", "No module named distutils"),
        ("", "No module named 'docker.errors'"),  # somebody's folder of that name
    ],
)
def test_an_sdk_that_cannot_be_imported_is_one_clear_sentence(
    content: str, why: str, tmp_path: Path
) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "__init__.py").write_text(content)
    program = (
        "from engines.errors import SettingsError\n"
        "from engines.factory import build\n"
        "from engines.settings import Settings\n"
        "try: build(Settings(database_url='sqlite:///x.db'))\n"
        "except SettingsError as error: print(error)\n"
    )
    done = with_sdk(tmp_path, program=program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the docker SDK")
    assert why in done.stdout
    assert "pip install 'docker>=7.1'" in done.stdout
