"""The container image, started on a real engine.

Its base is made of this very interpreter, so that the test needs no image from a registry: once
with the packages that the fake needs, once with pip alone and wheels to install them from.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors
import pytest
import requests
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from fake_whale.image.requirements import REQUIREMENTS
from fake_whale.testing import WhalePlayer, said

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "blinker", "certifi", "charset_normalizer", "click", "docker", "flask", "idna", "itsdangerous",
    "jinja2", "markupsafe", "msgspec", "requests", "urllib3", "waitress", "werkzeug",
)  # fmt: skip
SKIPPED = re.compile(
    r"(^|/)(__pycache__|test|tests|idlelib|tkinter|ensurepip|site-packages|EXTERNALLY-MANAGED)(/|$)"
)
WHEELS = "wheels"
LIBRARY = re.compile(r"(/\S+\.so\S*) \(0x")


def test_the_image_asks_for_what_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(REQUIREMENTS.values()) <= set(project["dependencies"])


def everyday_name(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if SKIPPED.search(member.name) else member


def base_image(packages: tuple[str, ...], wheels: Path | None) -> bytes:
    """A root file system with this interpreter at its own path, as a tar file."""
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    python = Path(sys.executable).resolve()
    site = Path(sysconfig.get_path("purelib"))
    ask = "import site; print(site.getsitepackages()[0])"  # Debian's own Python has another place
    answer = subprocess.run([python, "-I", "-c", ask], capture_output=True, text=True, check=True)
    there = answer.stdout.strip()
    # What is installed later needs a system's libraries too, as every real base image has them.
    binaries = [python, *stdlib.glob("lib-dynload/*.so"), *site.glob("msgspec/*.so")]
    listed = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True).stdout
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.add(python, str(python))
        tar.add(stdlib, str(stdlib), filter=everyday_name)
        for library in sorted(set(LIBRARY.findall(listed))):
            tar.add(Path(library).resolve(), library)
        # CTFd's older Flask does without some of them.
        for package in filter(lambda name: (site / name).exists(), packages):
            tar.add(site / package, f"{there}/{package}")
        for module in site.glob("*.dist-info"):
            if module.name.lower().startswith(packages):
                tar.add(module, f"{there}/{module.name}")
        if wheels is not None:
            tar.add(wheels, WHEELS)
        link = tarfile.TarInfo("usr/bin/python3")
        link.type, link.linkname = tarfile.SYMTYPE, str(python)
        tar.addfile(link)
        made_tmp = tarfile.TarInfo("tmp")
        made_tmp.type, made_tmp.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(made_tmp)
    return made.getvalue()


def context() -> io.BytesIO:
    """The build context: the room ``fake_whale/`` alone."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.add(ROOT / "fake_whale", "fake_whale", filter=everyday_name)
    made.seek(0)
    return made


def wheels_of_requirements(folder: Path) -> Path:
    """Wheels of all that ``fake-whale serve`` imports, fetched by this machine's pip."""
    command = [sys.executable, "-m", "pip", "download", "-q", "-d", str(folder)]
    subprocess.run([*command, *REQUIREMENTS.values()], check=True, timeout=100)
    return folder


@pytest.fixture(params=["complete", "bare"])
def image(docker_engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The image, built from the project's Dockerfile; removed afterwards."""
    client = docker.from_env()
    tag = f"fake-whale-test:{uuid.uuid4().hex[:12]}"
    base = f"{tag}-base"
    repository, _, version = base.partition(":")
    if request.param == "bare":
        tar = base_image(("pip",), wheels_of_requirements(tmp_path))
        changes = [f"ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/{WHEELS} PIP_ROOT_USER_ACTION=ignore"]
    else:
        tar, changes = base_image(PACKAGES, None), []
    try:
        client.api.import_image_from_data(tar, repository=repository, tag=version, changes=changes)
        client.images.build(
            fileobj=context(),
            custom_context=True,
            dockerfile="fake_whale/image/Dockerfile",
            buildargs={"BASE": base},
            tag=tag,
            rm=True,
        )
        yield tag
    finally:
        for name in (tag, base):
            try:
                client.images.remove(name, force=True)
            except docker.errors.ImageNotFound:
                continue
        client.close()


def test_the_image_serves(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)
    container = (
        DockerContainer(image)
        .with_env("FAKE_WHALE_CONTROL_TOKEN", "s3cret")
        .with_exposed_ports(8000)
        .waiting_for(LogMessageWaitStrategy('"url"'))
    )
    with container:
        first_line = container.get_logs()[0].decode().splitlines()[0]
        assert json.loads(first_line)["control"] is True
        port = container.get_exposed_port(8000)
        url = f"http://{container.get_container_host_ip()}:{port}"
        assert said(WhalePlayer(url, "ctfd_demo_alice").post()) == (200, "Container created")
        assert requests.get(f"{url}/_fake/state", timeout=10).status_code == 401
        state = requests.get(
            f"{url}/_fake/state", headers={"X-Fake-Control-Token": "s3cret"}, timeout=10
        )
        assert len(state.json()["records"]) == 1
