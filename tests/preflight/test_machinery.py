"""What the Docker engine behind Whale shows, on an engine and a swarm of our own.

What runs frpc, frps and CTFd there is a container with their command line and files.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import docker
import pytest
import sqlalchemy as sa
from preflight.stage import ALL_WISHES, Setup, staged
from support.cluster import eventually, saved
from support.private_engine import PrivateEngine
from support.servers import MariaDB

from conformance.harnesses.challenge_image import ensure_image
from whale_ready.preflight.checks import CHECKS, run
from whale_ready.preflight.items import Item, ItemState
from whale_ready.preflight.site import Wishes

BUSYBOX, NETWORK = "/bin/busybox", "ctfd_frp-containers"
FRPC_INI, FRPS_INI = "/etc/frp/frpc.ini", "/etc/frp/frps.ini"
COMMON, TOKEN = "[common]\nserver_addr = frps\n", "token = t0ken-of-frp\n"
FRPC = ("/usr/bin/frpc", "-c", FRPC_INI)
FRPS = ("/usr/bin/frps", "--config=frps.ini")
REPOSITORY, TAG = "127.0.0.1:9/challenge", "1"
"""A swarm asks the registry first: this one refuses at once, and then what is there is taken."""
CHECKED = {"frpc-token", "frpc-restart", "workers"}


@dataclass(frozen=True)
class Engine:
    """The engine, with a swarm and the network of Whale's instances."""

    url: str
    client: docker.DockerClient
    image: str

    def make(self, name: str, words: tuple[str, ...], files: Mapping[str, str], **more: Any) -> Any:
        """A container that does not run yet."""
        container = self.client.containers.create(
            self.image, list(words), entrypoint=[], name=name, working_dir="/etc/frp", **more
        )
        for path, text in files.items():
            container.put_archive("/", _archive(path, text))
        return container


def _archive(path: str, text: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo(path.lstrip("/"))
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()


@pytest.fixture(scope="module")
def whole_engine(own_engines: None, docker_engine: str) -> Iterator[Engine]:
    with closing(PrivateEngine()) as engine:
        client = engine.client()
        with closing(docker.from_env(timeout=60)) as shared:
            image = ensure_image(shared)
            client.images.load(saved(shared, image))
        client.images.get(image).tag(REPOSITORY, TAG)
        client.swarm.init(advertise_addr=engine.address, listen_addr=f"{engine.address}:2377")
        client.networks.create(NETWORK, driver="overlay", attachable=True)
        yield Engine(engine.url, client, image)


@pytest.fixture
def engine(whole_engine: Engine) -> Iterator[Engine]:
    """The engine without containers."""
    yield whole_engine
    for service in whole_engine.client.services.list():
        service.remove()
    for container in whole_engine.client.containers.list(all=True, ignore_removed=True):
        container.remove(force=True)


def looked(
    folder: Path, engine: str, setup: Setup | None = None, **settings: Any
) -> dict[str, Item]:
    """The items that the engine is asked for."""
    setup = setup or Setup(ending=False, wishes=Wishes(admin=1))
    setup = replace(setup, wishes=replace(setup.wishes, docker=engine))
    with staged(setup, folder) as stage, closing(stage.site(**settings)) as site:
        checks = [check for check in CHECKS if check.id in CHECKED]
        return {item.id: item for item in run(site, checks=checks)}


@pytest.mark.parametrize(
    ("mine", "theirs", "state", "said"),
    [
        ("", TOKEN, ItemState.NOT_OK, "holds no token, and frps asks for one"),
        (TOKEN, TOKEN, ItemState.OK, "the file of frpc holds a token"),
        ("", "", ItemState.OK, "and frps asks for none"),
        ("", None, ItemState.NOT_CHECKABLE, "no containers run frps there"),
        (None, TOKEN, ItemState.NOT_CHECKABLE, f"frpc has no file {FRPC_INI}"),
    ],
    ids=["lost", "kept", "none asked for", "frps elsewhere", "no file"],
)
def test_the_token_of_frpc(
    engine: Engine,
    tmp_path: Path,
    mine: str | None,
    theirs: str | None,
    state: ItemState,
    said: str,
) -> None:
    engine.make("frpc", FRPC, {} if mine is None else {FRPC_INI: COMMON + mine})
    if theirs is not None:
        engine.make("frps", FRPS, {FRPS_INI: COMMON + theirs})
    item = looked(tmp_path, engine.url)["frpc-token"]
    assert (item.state, said in item.evidence) == (state, True), item
    assert "t0ken" not in item.evidence + item.fix


def test_the_token_is_looked_for_after_the_probe(engine: Engine, tmp_path: Path) -> None:
    engine.make("frpc", FRPC, {FRPC_INI: COMMON + TOKEN})
    item = looked(tmp_path, engine.url, Setup(ending=False, wishes=ALL_WISHES))["frpc-token"]
    assert "holds a token, after the probe's writes" in item.evidence


@pytest.mark.parametrize(
    ("network", "policy", "state", "said"),
    [
        (NETWORK, "always", ItemState.NOT_OK, f"on the overlay {NETWORK}"),
        (NETWORK, "no", ItemState.NOT_OK, "restart policy of frpc is no"),
        (
            "bridge",
            "always",
            ItemState.NOT_OK,
            f"frpc is on bridge, and Whale's instances on {NETWORK}",
        ),
    ],
)
def test_frpc_after_a_restart_of_docker(
    engine: Engine, tmp_path: Path, network: str, policy: str, state: ItemState, said: str
) -> None:
    engine.make("frpc", FRPC, {}, network=network, restart_policy={"Name": policy})
    item = looked(tmp_path, engine.url)["frpc-restart"]
    assert (item.state, said in item.evidence) == (state, True), item
    assert item.fix


def test_frpc_on_no_overlay(engine: Engine, tmp_path: Path) -> None:
    """Where instances are on a network of another kind."""
    engine.make("frpc", FRPC, {}, restart_policy={"Name": "unless-stopped"})
    setup = Setup(ending=False, wishes=Wishes(admin=1))
    setup = setup.with_config(docker_auto_connect_network="bridge")
    item = looked(tmp_path, engine.url, setup)["frpc-restart"]
    assert (item.state, "Docker starts frpc again" in item.evidence) == (ItemState.OK, True), item


def test_frpc_as_a_service(engine: Engine, tmp_path: Path) -> None:
    engine.client.services.create(
        f"{REPOSITORY}:{TAG}",
        command=[BUSYBOX, "sh", "-c", "exec /bin/busybox sleep 1000 # frpc"],
        name="frpc",
        networks=[NETWORK],
    )
    eventually(lambda: engine.client.containers.list() != [], "the service's container")
    item = looked(tmp_path, engine.url)["frpc-restart"]
    assert (item.state, "the swarm runs frpc" in item.evidence) == (ItemState.OK, True), item


def test_two_frpc(engine: Engine, tmp_path: Path) -> None:
    engine.make("one", FRPC, {})
    engine.make("two", FRPC, {})
    items = looked(tmp_path, engine.url)
    for name in ("frpc-token", "frpc-restart"):
        assert items[name].state is ItemState.NOT_CHECKABLE
        assert "2 containers run frpc there" in items[name].evidence


@pytest.mark.parametrize(
    ("number", "isolation", "state"),
    [
        (2, "REPEATABLE-READ", ItemState.NOT_OK),
        (2, "READ-COMMITTED", ItemState.OK),
        (1, "REPEATABLE-READ", ItemState.OK),
    ],
)
def test_workers_against_isolation(
    engine: Engine, mariadb: MariaDB, tmp_path: Path, number: int, isolation: str, state: ItemState
) -> None:
    url = mariadb.create()
    with isolated(mariadb, isolation.replace("-", " ")):
        item = with_workers(engine, tmp_path, number, url)
    plural = "" if number == 1 else "s"
    assert item.evidence.startswith(f"ctfd has {number} gunicorn worker{plural}")
    assert item.state is state, item


@contextmanager
def isolated(mariadb: MariaDB, level: str) -> Iterator[None]:
    """The server's default is this one."""
    server = sa.create_engine(mariadb.admin_url, future=True)
    with server.connect() as connection:
        connection.execute(sa.text(f"SET GLOBAL TRANSACTION ISOLATION LEVEL {level}"))
        yield
        connection.execute(sa.text("SET GLOBAL TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
    server.dispose()


def test_workers_on_a_database_that_is_not_known(engine: Engine, tmp_path: Path) -> None:
    item = with_workers(engine, tmp_path, 3, None)
    assert item.state is ItemState.NOT_CHECKABLE
    assert "ctfd has 3 gunicorn workers" in item.evidence


def with_workers(engine: Engine, folder: Path, number: int, url: str | None) -> Item:
    """The item about them, with so many workers and a master."""
    one = f"{BUSYBOX} sh /gunicorn"
    words = (BUSYBOX, "sh", "-c", f"{one} & " * number + f"exec {one}")
    ctfd = engine.make("ctfd", words, {"/gunicorn": f"{BUSYBOX} sleep 1000\n"})
    ctfd.start()

    def processes() -> int:
        rows = ctfd.top(ps_args="-eo pid,args")["Processes"]
        return sum(row[-1] == one for row in rows)

    eventually(lambda: processes() == number + 1, "the processes")
    return looked(folder, engine.url, whale_ctfd_database_url=url)["workers"]


def test_an_engine_that_does_not_answer(tmp_path: Path) -> None:
    items = looked(tmp_path, f"unix://{tmp_path}/nobody.sock")
    assert {item.state for item in items.values()} == {ItemState.NOT_CHECKABLE}
    assert all("--whale-docker" in item.evidence for item in items.values()), items
