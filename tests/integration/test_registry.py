"""Images of a real registry that asks for a password: policies, progress, secrets, command."""

from __future__ import annotations

import base64
import io
import logging
import os
import secrets
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from pathlib import Path

import docker
import pytest
from click.testing import CliRunner
from docker.errors import ImageNotFound
from support.registry import Registry, Relay

from conformance.harnesses.fetch import http_get
from engines.audit import Action
from engines.catalog import ChallengeSpec, Companion, Pull, StaticCatalog
from engines.contract import Code, StartResult
from engines.cre import ContainerRuntimeEngine
from engines.cre.guard import FirewallGuard
from engines.cre.runtimes.base import Launch
from engines.cre.runtimes.connection import connector
from engines.cre.runtimes.docker import DockerRuntime
from engines.cre.runtimes.networks import BridgeNetworks
from engines.errors import ImageComing
from engines.probe import wait_until
from engines.settings import Settings
from engines.state.database import Database
from whale_ready.cli import main

LAYER_BYTES = 2_000_000
WRONG = "wrong-password"

POOL = IPv4Network("10.211.0.0/16")


class Images:
    """Images of the registry that no engine has yet, each with a layer of its own."""

    def __init__(self, client: docker.DockerClient, registry: Registry, base: str) -> None:
        self._client = client
        self._registry = registry
        self._base = base
        self._named: list[str] = []

    def push(self, tag: str | None = None, mark: str = "") -> str:
        """Make an image and push it; returns its ``repository:tag`` without the registry."""
        name = f"challenge:{tag or secrets.token_hex(4)}"
        full = f"127.0.0.1:{self._registry.port}/{name}"
        self._client.images.build(
            fileobj=_context(self._base, mark), custom_context=True, tag=full, rm=True
        )
        for line in self._client.api.push(
            full, stream=True, decode=True, auth_config=self._registry.auth
        ):
            assert "error" not in line, line
        self._client.images.remove(full, force=True)
        return name

    def at(self, port: int, name: str) -> str:
        """The image's full name by way of a port; it is removed from the engine at the end."""
        self._named.append(f"127.0.0.1:{port}/{name}")
        return self._named[-1]

    def removed_later(self, image_id: str | None) -> None:
        """Remove at the end what will have lost its name by then."""
        assert image_id
        self._named.append(image_id)

    def here(self, image: str) -> bool:
        try:
            self._client.images.get(image)
        except ImageNotFound:
            return False
        return True

    def remove(self) -> None:
        for image in self._named:
            if self.here(image):
                self._client.images.remove(image, force=True)


def _context(base: str, mark: str) -> io.BytesIO:
    files = {
        "Dockerfile": f"FROM {base}\nCOPY noise /noise\nCOPY mark /www/mark\n".encode(),
        "noise": secrets.token_bytes(LAYER_BYTES),
        "mark": mark.encode(),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    buffer.seek(0)
    return buffer


@pytest.fixture
def images(
    docker_client: docker.DockerClient, registry: Registry, image: str, deployment: str
) -> Iterator[Images]:
    images = Images(docker_client, registry, image)
    yield images
    for row in docker_client.api.containers(
        all=True, filters={"label": f"whale-ready.deployment={deployment}"}
    ):
        docker_client.api.remove_container(row["Id"], force=True)
    images.remove()


@pytest.fixture
def relay(registry: Registry) -> Iterator[Relay]:
    """The registry, but nobody gets more than a part of a layer before it is released."""
    relay = Relay(registry.port, limit=LAYER_BYTES // 2)
    yield relay
    relay.close()


Engine = Callable[..., ContainerRuntimeEngine]


@pytest.fixture
def engine(
    registry: Registry, relay: Relay, tmp_path: Path, database: Database, deployment: str
) -> Iterator[Engine]:
    """Makes an engine with these challenges and a password for the registry."""
    made: list[ContainerRuntimeEngine] = []

    def make(*specs: ChallengeSpec, password: str | None = None) -> ContainerRuntimeEngine:
        hosts = [f"127.0.0.1:{port}" for port in (registry.port, relay.port)]
        settings = Settings(
            cre_registry_config=registry.config(
                tmp_path / "config.json", *hosts, password=password
            ),
            cre_deployment=deployment,
            cre_account_limit=5,
        )
        made.append(
            ContainerRuntimeEngine(settings, catalog=StaticCatalog(specs), database=database)
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


def spec(number: int, image: str, pull: Pull = Pull.MISSING, **more: object) -> ChallengeSpec:
    return ChallengeSpec(id=number, name=f"C{number}", image=image, pull=pull, **more)  # type: ignore[arg-type] # fields by name


def settled(engine: ContainerRuntimeEngine, challenge: int, user: int = 7) -> StartResult:
    """Start as a player does: again as long as the image is being fetched."""
    results: list[StartResult] = []

    def over(_timeout: float) -> bool:
        results.append(engine.start_instance(user, challenge))
        return results[-1].code is not Code.BUSY

    assert wait_until(over, 60)
    return results[-1]


def test_a_missing_image_is_fetched_with_its_password(
    engine: Engine, images: Images, registry: Registry
) -> None:
    image = images.at(registry.port, images.push(mark="mine"))
    cre = engine(spec(1, image))
    first = cre.start_instance(7, 1)
    assert (first.ok, first.code) == (False, Code.BUSY)
    assert first.message.startswith("This challenge's image is being fetched")
    assert first.message.endswith("; please try again shortly")
    assert first.retry_after == 5.0
    assert cre.get_instance_status(7, 1) is None
    event = cre.audit.events()[-1]
    assert (event.action, event.code) == (Action.START_FAILED, Code.BUSY)
    ok, message, instance = settled(cre, 1)
    assert ok, message
    assert http_get(instance["host"], int(instance["ports"][0]), "/mark") == "mine"


def test_companions_are_fetched_too_and_nothing_is_left_meanwhile(
    images: Images,
    registry: Registry,
    docker_client: docker.DockerClient,
    deployment: str,
    tmp_path: Path,
) -> None:
    own, other = (images.at(registry.port, images.push()) for _ in range(2))
    config = registry.config(tmp_path / "config.json", f"127.0.0.1:{registry.port}")
    runtime = DockerRuntime(
        connect=connector(Settings(cre_registry_config=config)),
        networks=BridgeNetworks(lambda: docker_client.api, POOL, FirewallGuard("none")),
    )
    challenge = spec(1, own, companions=(Companion(name="db", image=other),))
    launch = Launch(f"wr-{deployment}", deployment, challenge, "flag{x}", "127.0.0.1")

    def runs(_timeout: float) -> bool:
        try:
            runtime.launch(launch)
        except ImageComing:
            assert runtime.find(deployment) == []
            return False
        return True

    try:
        assert wait_until(runs, 60)
        assert len(runtime.find(deployment)) == 3
    finally:
        runtime.clear(deployment, launch.name, launch.fence)
        runtime.close()


def test_without_a_policy_nothing_is_fetched(
    engine: Engine, images: Images, registry: Registry
) -> None:
    image = images.at(registry.port, images.push())
    cre = engine(spec(1, image, Pull.NEVER))
    assert cre.start_instance(7, 1).code is Code.IMAGE_MISSING
    assert not images.here(image)


def test_a_wrong_password_is_the_image_s_fault_and_the_log_says_why(
    engine: Engine, images: Images, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    image = images.at(registry.port, images.push())
    cre = engine(spec(1, image), password=WRONG)
    result = settled(cre, 1)
    assert result.code is Code.IMAGE_MISSING
    assert "please tell an organiser" in result.message
    assert cre.start_instance(7, 1).code is Code.IMAGE_MISSING
    said = next(row.getMessage() for row in caplog.records if "could not be pulled" in row.msg)
    assert "no basic auth credentials" in said or "unauthorized" in said


def test_a_slow_registry_holds_up_nobody_else_and_is_asked_once(
    engine: Engine, images: Images, relay: Relay, image: str
) -> None:
    slow = images.at(relay.port, images.push())
    cre = engine(spec(1, slow), spec(2, image))
    shown: list[str] = []

    def partly(_timeout: float) -> bool:
        shown.extend(cre.start_instance(user, 1).message for user in (7, 8))
        return any(f"({percent} %)" in shown[-1] for percent in range(1, 60))

    assert wait_until(partly, 30), shown
    assert cre.start_instance(9, 2).ok
    assert not images.here(slow)
    relay.release()
    for user in (7, 8):
        assert settled(cre, 1, user).ok
    tag = slow.rsplit(":", 1)[1]
    assert relay.asked(f"GET /v2/challenge/manifests/{tag} ") <= 1
    assert relay.asked(f" /v2/challenge/manifests/{tag} ") <= 2  # HEAD, then GET


def test_an_engine_that_is_closed_breaks_off_its_pull(
    engine: Engine, images: Images, relay: Relay
) -> None:
    slow = images.at(relay.port, images.push())
    cre = engine(spec(1, slow))
    assert cre.start_instance(7, 1).code is Code.BUSY
    assert relay.full.wait(60)
    cre.close()
    assert f"pull {slow}" not in [thread.name for thread in threading.enumerate()]
    relay.release()
    assert not images.here(slow)


def test_always_fetches_what_the_tag_means_now_and_makes_do_when_it_cannot(
    engine: Engine,
    images: Images,
    registry: Registry,
    docker_client: docker.DockerClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    name = images.push(mark="old")
    image = images.at(registry.port, name)
    docker_client.api.pull(image, auth_config=registry.auth)
    images.removed_later(docker_client.images.get(image).id)
    images.push(tag=name.split(":")[1], mark="new")  # and the engine's own is gone
    cre = engine(spec(1, image, Pull.ALWAYS))
    assert cre.start_instance(7, 1).code is Code.BUSY
    _, _, instance = settled(cre, 1)
    assert http_get(instance["host"], int(instance["ports"][0]), "/mark") == "new"
    another_process = engine(spec(1, image, Pull.ALWAYS), password=WRONG)
    ok, message, _ = settled(another_process, 1, user=8)
    assert ok, message
    assert "was not pulled anew; the one on the engine is used" in caplog.text


@pytest.mark.parametrize("password", [None, WRONG])
def test_the_password_is_nowhere(
    engine: Engine,
    images: Images,
    registry: Registry,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    password: str | None,
) -> None:
    caplog.set_level(logging.DEBUG)
    image = images.at(registry.port, images.push())
    caplog.clear()  # of the SDK's push, which is the test's own
    cre = engine(spec(1, image), password=password)
    result = settled(cre, 1)
    assert result.ok is (password is None)
    word = password or registry.password
    hidden = {word, base64.b64encode(word.encode()).decode().rstrip("=")}
    hidden.add((tmp_path / "config.json").read_text().split('"auth": "')[1].split('"')[0])
    places = [
        caplog.text,
        repr(cre.settings),
        repr(vars(cre)),
        repr(result),
        str(list(cre.audit.events())),
    ]
    places += [repr(record.__dict__) for record in caplog.records]
    assert not [text for text in places for each in hidden if each in text]


# The command.


@pytest.fixture
def environ(
    registry: Registry, relay: Relay, tmp_path: Path, image: str
) -> Callable[..., dict[str, str]]:
    def make(*wanted: str, password: str | None = None) -> dict[str, str]:
        catalog = tmp_path / "challenges.toml"
        catalog.write_text(
            "".join(
                f'[[challenge]]\nid = {number}\nname = "C{number}"\nimage = "{each}"\n'
                for number, each in enumerate((image, *wanted), start=1)
            )
        )
        hosts = [f"127.0.0.1:{port}" for port in (registry.port, relay.port)]
        config = registry.config(tmp_path / "config.json", *hosts, password=password)
        return {
            **os.environ,
            "CONTAINER_CHALLENGES_FILE": str(catalog),
            "CRE_REGISTRY_CONFIG": str(config),
            "COLUMNS": "200",
        }

    return make


def command(environ: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "whale_ready", "images", *words],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ran(environ: dict[str, str], *words: str) -> tuple[int, str]:
    """The command within this process, which is faster."""
    result = CliRunner().invoke(main, ["images", *words], env=environ)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_images_are_listed_and_pulled(
    environ: Callable[..., dict[str, str]], images: Images, registry: Registry, image: str
) -> None:
    missing = images.at(registry.port, images.push())
    here = environ(missing)
    code, said = ran(here, "list")
    assert code == 1
    rows = {line.split()[1]: line for line in said.splitlines() if ":" in line}
    assert "yes" in rows[image]
    assert "C1 (1)" in rows[image]
    assert "missing" in rows[missing]
    code, said = ran(here, "pull")
    assert (code, said.splitlines()[-1]) == (0, f"{missing}: here")
    assert registry.password not in said
    assert ran(here, "list")[0] == 0
    assert ran(here, "pull") == (0, "every image is here\n")
    code, said = ran(here, "pull", missing)
    assert (code, f"{missing}: here" in said) == (0, True)


def test_what_cannot_be_pulled_is_named(
    environ: Callable[..., dict[str, str]], images: Images, registry: Registry
) -> None:
    good, none = images.at(registry.port, images.push()), f"127.0.0.1:{registry.port}/none:1"
    code, said = ran(environ(none, good), "pull")
    assert code == 1
    assert f"{none}: failed: " in said
    assert f"{good}: here" in said
    code, said = ran(environ(none, password=WRONG), "pull")
    assert code == 1
    assert WRONG not in said


def test_ctrl_c_leaves_no_half_image(
    environ: Callable[..., dict[str, str]], images: Images, relay: Relay
) -> None:
    slow = images.at(relay.port, images.push())
    with command(environ(slow), "pull") as process:
        assert relay.full.wait(60), process.poll()
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[0]
    assert process.returncode == 130
    assert said.startswith(f"{slow}: pulling\n")
    assert said.endswith("interrupted\n")
    assert not images.here(slow)


@pytest.mark.parametrize(
    ("change", "named", "code"),
    [
        ({"CONTAINER_CHALLENGES_FILE": ""}, "CONTAINER_CHALLENGES_FILE: name the file", 3),
        ({"CRE_REGISTRY_CONFIG": "/nowhere"}, "CRE_REGISTRY_CONFIG: No such file", 3),
        ({"CRE_DOCKER_HOST": "tcp://127.0.0.1:9"}, "the Docker engine cannot be reached", 1),
    ],
)
def test_what_is_wrong_is_named(
    environ: Callable[..., dict[str, str]], change: dict[str, str], named: str, code: int
) -> None:
    returned, said = ran({**environ(), **change}, "list")
    assert named in said
    assert returned == code


def test_an_image_of_no_challenge_is_no_image(environ: Callable[..., dict[str, str]]) -> None:
    code, said = ran(environ(), "pull", "busybox")
    assert (code, "busybox is no image of the catalogue" in said) == (3, True)
