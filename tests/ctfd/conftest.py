"""Sites for the tests of the plugin, and browsers at two widths.

Without a CTFd (``CTFD_HOME``) every test that needs one is skipped by name.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from support.loopback import Program, free_port, listens

from conformance.harnesses.challenge_image import ensure_image
from ctfd.site import FIX, OWN_PLUGINS, PASSWORD, TOO_MANY, Site, home
from ctfd.whale_site import Frpc, Swarm, own_swarm, stubbed_frpc
from engines.cre.runtimes.base import LABEL_DEPLOYMENT

SPELLING = "**/codemirror.spell-checker/**"
"""The editor of CTFd asks the internet for a dictionary, on pages of CTFd: it gets an empty one."""

PHONE = {"width": 390, "height": 800}
DESKTOP = {"width": 1280, "height": 900}
MEMORY = {"aa_memory_runtime": OWN_PLUGINS / "aa_memory_runtime"}
BESIDE = {"docker_challenges_names": OWN_PLUGINS / "docker_challenges_names"}


@pytest.fixture(scope="session")
def ctfd() -> Path:
    """The checkout of CTFd."""
    from conftest import require

    found = home()
    require("ctfd", found is not None, FIX)
    assert found is not None
    return found


@pytest.fixture(scope="session")
def whale_plugin(ctfd: Path) -> Path:
    """A checkout of ctfd-whale, whose requirements CTFd's Python has."""
    from conftest import require

    given = os.environ.get("CTFD_WHALE_HOME", "").strip()
    found = Path(given) if given else None
    present = found is not None and (found / "challenge_type.py").is_file()
    require("ctfd-whale", present, "set CTFD_WHALE_HOME to a checkout of ctfd-whale")
    assert found is not None
    return found


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """A redis of our own."""
    from conftest import require

    program = shutil.which("redis-server")
    require("redis", program is not None, "install redis (Debian: redis-server)")
    port = free_port()
    command = [str(program), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    server = Program(command, tmp_path / "redis.log", lambda: listens(port))
    yield f"redis://127.0.0.1:{port}"
    server.close()


@pytest.fixture(scope="session")
def docker_image() -> str:
    """An image that serves HTTP on port 80 on real Docker; empty where there is no Docker."""
    import docker
    from conftest import collect_sockets
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=60)
    except DockerException:
        collect_sockets()
        return ""
    try:
        client.ping()
        return ensure_image(client)
    except DockerException:
        return ""
    finally:
        client.close()


@pytest.fixture
def swarm(own_engines: None, docker_image: str) -> Iterator[Swarm]:
    """A swarm of our own for ctfd-whale."""
    from conftest import require

    require("docker", bool(docker_image), "start a Docker engine (as root: dockerd)")
    with own_swarm(docker_image) as found:
        yield found


@pytest.fixture
def frpc() -> Iterator[Frpc]:
    """A stub in frpc's place."""
    with stubbed_frpc() as found:
        yield found


@contextmanager
def swept(deployment: str) -> Iterator[None]:
    """Remove what a site has left on the Docker engine."""
    import docker

    yield
    client = docker.from_env(timeout=60)
    try:
        label = {"label": f"{LABEL_DEPLOYMENT}={deployment}"}
        for row in client.api.containers(all=True, filters=label):
            client.api.remove_container(row["Id"], force=True)
        for network in client.api.networks(filters=label):
            client.api.remove_network(network["Id"])
    finally:
        client.close()


@pytest.fixture(scope="session")
def users_site(
    ctfd: Path, docker_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Users play; real Docker where there is one. Another plugin has container for a name."""
    folder = tmp_path_factory.mktemp("users")
    deployment = f"ctfd-{secrets.token_hex(4)}"
    environ = {"CRE_DEPLOYMENT": deployment}
    if not docker_image:
        site = Site(folder, plugins={**MEMORY, **BESIDE}, environ=environ)
        yield site
        site.stop()
        return
    with swept(deployment):
        site = Site(folder, plugins=BESIDE, environ=environ)
        yield site
        site.stop()


@pytest.fixture(scope="session")
def teams_site(ctfd: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Teams play, on simulated containers."""
    environ = {"CRE_DEPLOYMENT": f"ctfd-{secrets.token_hex(4)}"}
    site = Site(tmp_path_factory.mktemp("teams"), teams=True, plugins=MEMORY, environ=environ)
    yield site
    site.stop()


@pytest.fixture(scope="session")
def image(docker_image: str) -> str:
    """What the users' site runs."""
    return docker_image or "simulated:latest"


class Window:
    """A player's or an admin's browser window; any error in its console fails the test.

    What the site refuses on purpose (a status of 400 and more) the browser logs too: that is no
    error of the page.
    """

    def __init__(self, browser: Browser, site: Site, size: dict[str, int]) -> None:
        self.site = site
        self.context = browser.new_context(
            viewport={"width": size["width"], "height": size["height"]}
        )
        self.context.route(SPELLING, lambda route: route.fulfill(body=""))
        self.page: Page = self.context.new_page()
        self.errors: list[str] = []
        self.strangers: list[str] = []
        self.leaving = False
        """A page that is left has its requests broken off, and CTFd's own pages complain."""
        self.page.on("pageerror", lambda error: self._failed(str(error)))
        self.page.on("console", self._heard)
        self.page.on("request", self._asked)

    def log_in(self, name: str) -> Window:
        while self._logged_in(name) == TOO_MANY:
            self.page.wait_for_timeout(1000)  # ten in five seconds from one address are let in
        self.page.wait_for_url(lambda url: "/login" not in url)
        return self

    def _logged_in(self, name: str) -> int:
        """Fill in the form of the login; returns the answer's status."""
        self.page.goto(f"{self.site.url}/login")
        self.page.fill('input[name="name"]', name)
        self.page.fill('input[name="password"]', PASSWORD)
        with self.page.expect_response(lambda found: found.request.method == "POST") as answer:
            self.page.press('input[name="password"]', "Enter")
        return answer.value.status

    def open(self, path: str) -> Page:
        self.leaving = True
        self.page.goto(self.site.url + path)
        self.leaving = False
        return self.page

    def overflows(self) -> bool:
        """Whether the page is wider than its window."""
        return bool(
            self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth + 1")
        )

    def close(self) -> None:
        self.leaving = True
        self.context.close()
        assert self.errors == []
        assert self.strangers == []

    def _failed(self, text: str) -> None:
        if not (self.leaving and "Failed to fetch" in text):
            self.errors.append(text)

    def _heard(self, message: object) -> None:
        kind, text = getattr(message, "type", ""), getattr(message, "text", "")
        if kind == "error" and "Failed to load resource" not in text:
            self.errors.append(text)

    def _asked(self, request: object) -> None:
        url = str(getattr(request, "url", ""))
        if SPELLING.strip("*") in url:
            return
        if not url.startswith((self.site.url, "data:", "blob:")):
            self.strangers.append(url)


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def size(request: pytest.FixtureRequest) -> dict[str, int]:
    return dict(request.param)


@pytest.fixture
def windows(browser: Browser) -> Iterator[list[Window]]:
    """Windows that are closed, and looked through for errors, at the end."""
    opened: list[Window] = []
    yield opened
    for window in opened:
        window.close()
