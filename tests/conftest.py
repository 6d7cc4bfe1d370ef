"""What the project's own tests share.

A test that needs a part of the machine asks :func:`require` for it. Where the part is missing the
test is skipped and says what would run it; named in ``WHALE_READY_REQUIRE`` (``docker,mariadb``),
a missing part is a failure instead.
"""

from __future__ import annotations

import gc
import os
import secrets
import shutil
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from support import private_engine
from support import registry as registries
from support import ssh_host as ssh_hosts
from support.servers import MariaDB, PostgreSQL

from engines.state.database import Database

if TYPE_CHECKING:  # parts that the extra `dev` does not bring
    from playwright.sync_api import Browser
    from support.shown_pages import Pages
    from support.tls_engine import TLSEngine

# No deadlines: speed is measured in benchmarks. A failure prints the blob that repeats it.
settings.register_profile("local", deadline=None, print_blob=True)
settings.register_profile("ci", settings.get_profile("local"), database=None, max_examples=200)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def require(part: str, present: bool, fix: str) -> None:
    """Skip, or fail when the part is required, unless it is present."""
    if present:
        return
    required = os.environ.get("WHALE_READY_REQUIRE", "").split(",")
    if part in [name.strip() for name in required]:
        pytest.fail(f"{part} is required and missing: {fix}")
    pytest.skip(f"{part} is missing; to run this: {fix}")


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's state folder, for this process and all that it starts: empty at first.

    What the user's own has, of an older version perhaps, is no test's business, nor the other way.
    """
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


def collect_sockets() -> None:
    """Where no Docker answers, its SDK leaves a socket open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def docker_engine() -> str:
    """The version of a Docker engine that answers."""
    import docker
    from docker.errors import DockerException

    version = ""
    try:
        client = docker.from_env(timeout=10)
        try:
            version = str(client.version()["Version"])
        finally:
            client.close()
    except DockerException:
        pass
    if not version:
        collect_sockets()
    require("docker", bool(version), "start a Docker engine (as root: dockerd)")
    return version


@pytest.fixture(scope="session")
def own_engines() -> None:
    """For tests that run Docker engines of their own."""
    require("swarm", private_engine.possible(), private_engine.FIX)


PAGE_PATIENCE_MS = 30_000
"""How long something on a page may take to show, on a machine that is busy with other tests."""

CHROMIUMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium for tests of pages."""
    found = next((path for name in CHROMIUMS if (path := shutil.which(name))), "")
    require("chromium", bool(found), "install Chromium (Debian: chromium-headless-shell)")
    require("chromium", bool(find_spec("playwright")), "pip install playwright")
    return found


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """A headless Chromium: the only one, for a process can have one Playwright at a time."""
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        expect.set_options(timeout=PAGE_PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture
def pages(browser: Browser) -> Pages:
    """Pages as a headless Chromium shows them."""
    from support.shown_pages import Pages

    return Pages(browser)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    database = Database(f"sqlite:///{tmp_path / 'state.db'}")
    yield database
    database.close()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A MariaDB server of our own."""
    present = all(shutil.which(program) for program in MariaDB.programs)
    require("mariadb", present, "install MariaDB (Debian: mariadb-server)")
    server = MariaDB()
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server of our own."""
    require(
        "postgresql", bool(PostgreSQL.program("initdb")), "install PostgreSQL (Debian: postgresql)"
    )
    server = PostgreSQL()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def any_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database, once of every kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'state.db'}"
    else:
        url = request.getfixturevalue(request.param).create()
    database = Database(url)
    yield database
    database.close()


@pytest.fixture(scope="session")
def registry() -> Iterator[registries.Registry]:
    """A registry of our own that asks for a password."""
    require("registry", registries.possible(), registries.FIX)
    server = registries.Registry(password=f"secret-{secrets.token_hex(8)}")
    yield server
    server.close()


@pytest.fixture(scope="session")
def tls_engine() -> Iterator[TLSEngine]:
    """A Docker engine of our own that asks for a certificate."""
    from support import tls_engine as tls_engines

    require("dockerd", tls_engines.possible(), tls_engines.FIX)
    engine = tls_engines.TLSEngine()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def ssh_host() -> Iterator[ssh_hosts.SSHHost]:
    """A machine that is reached by ssh: this one."""
    require("sshd", ssh_hosts.possible(), ssh_hosts.FIX)
    host = ssh_hosts.SSHHost()
    yield host
    host.close()
