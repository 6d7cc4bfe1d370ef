"""What the tests run beside Python is on this machine, whole, and starts.

In a bare Debian, where only the project's own set-up has installed anything, too: with
``scripts/bare-debian``, which CI runs the set-up of ``scripts/test`` in.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import playwright
import pytest
from conftest import require

ROOT = Path(__file__).parents[2]
PROGRAMS = ("busybox", "debootstrap", "ip", "iptables", "redis-server", "slirp4netns")
REQUIRED = ("chromium", "docker", "dockerd", "mariadb", "postgresql", "registry", "sshd", "swarm")


def missing_libraries(files: list[Path]) -> set[str]:
    """Shared libraries that these files are linked with and that are not on this machine."""
    done = subprocess.run(
        ["ldd", *map(str, files)], capture_output=True, text=True, check=False, timeout=60
    )
    lines = done.stdout.splitlines()
    return {line.split()[0] for line in lines if line.endswith("not found")}


def elf(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"


def test_the_browsers_driver_starts() -> None:
    node = Path(playwright.__file__).parent / "driver" / "node"
    assert missing_libraries([node]) == set()
    subprocess.run([str(node), "--version"], check=True, timeout=60)


def test_every_library_that_packages_of_python_are_linked_with_is_here() -> None:
    site = Path(playwright.__file__).parents[1]
    files = [file for file in site.rglob("*.so") if file.is_file() and elf(file)]
    assert files
    # What a wheel brings along is found by the library that asks for it.
    assert {name for name in missing_libraries(files) if not list(site.rglob(name))} == set()


@pytest.mark.parametrize(
    "part",
    [
        "docker_engine",
        "mariadb",
        "own_engines",
        "pages",
        "postgresql",
        "registry",
        "ssh_host",
        "tls_engine",
    ],
)
def test_a_part_starts(part: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(part)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_is_here(program: str) -> None:
    found = shutil.which(program)
    require(program, found is not None, "scripts/test installs it on Debian, as root")
    assert found is not None
    assert missing_libraries([Path(found)]) == set()


@pytest.mark.timeout(1200)
def test_a_bare_debian_has_everything_after_set_up() -> None:
    """The set-up of ``scripts/test`` where nothing is installed, then the tests above."""
    here = all(shutil.which(program) for program in ("debootstrap", "slirp4netns"))
    require("debootstrap", here, "as root: install debootstrap and slirp4netns")
    script = (
        "scripts/test --notest -e ctfd38 && . scripts/setup.sh && ensure_docker &&"
        f" WHALE_READY_REQUIRE={','.join((*REQUIRED, *PROGRAMS))} .tox/ctfd38/bin/pytest -q"
        " -p no:cacheprovider tests/integration/test_parts.py -k 'not bare_debian'"
    )
    done = subprocess.run(
        [str(ROOT / "scripts/bare-debian"), "bash", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
