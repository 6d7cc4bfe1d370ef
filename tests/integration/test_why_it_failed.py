"""Why a start failed or an instance was lost: in log and audit row on real Docker, not in answers.

hexbay/ocean_ctf#18, GZTimeWalker/GZCTF#31: a broken image, and nobody is told what is wrong.
"""

from __future__ import annotations

import io
import logging
import secrets
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import docker
import pytest

from engines.audit import Action, ContainerEvent
from engines.catalog import ChallengeSpec, Companion, Pull, Readiness, StaticCatalog
from engines.contract import Code, StartResult
from engines.cre import ContainerRuntimeEngine
from engines.cre.evidence import HIDDEN
from engines.cre.guard import FirewallGuard
from engines.cre.runtimes.docker import DockerRuntime
from engines.cre.runtimes.networks import BridgeNetworks
from engines.settings import Settings

POOL = IPv4Network(f"10.{180 + secrets.randbelow(30)}.0.0/16")
SHELL = ("/bin/busybox", "sh", "-c")
USER = 7

Makes = Callable[..., ContainerRuntimeEngine]


@pytest.fixture
def engine_with(
    docker_client: docker.DockerClient, deployment: str, tmp_path: Path
) -> Iterator[Makes]:
    made: list[ContainerRuntimeEngine] = []
    networks = BridgeNetworks(
        lambda: docker_client.api, POOL, FirewallGuard("none"), family=secrets.token_hex(2)
    )

    def make(*specs: ChallengeSpec, **settings: Any) -> ContainerRuntimeEngine:
        engine = ContainerRuntimeEngine(
            replace(
                Settings(),
                cre_deployment=deployment,
                cre_network_pool=POOL,
                cre_account_limit=9,
                database_url=f"sqlite:///{tmp_path / 'state.db'}",
                **settings,
            ),
            runtime=DockerRuntime(docker_client, networks=networks),
            catalog=StaticCatalog(specs),
        )
        made.append(engine)
        return engine

    yield make
    for engine in made:
        for row in engine._store.all():
            engine.stop_instance(row.user_id, row.challenge_id)
        engine.close()
    networks.remove_unused()


BROKEN: Mapping[str, tuple[bytes, str]] = {
    "junk": (b"junk", "exec format error: /prog is no program"),
    "script": (b"#!/bin/bash\n", "/prog asks for /bin/bash, which is not in the image"),
    "another processor": (
        b"\x7fELF\2\1\1" + bytes(9) + b"\2\0\xfe\xca" + bytes(44),
        "exec format error: /prog is for another kind of processor",
    ),
    "no loader": (
        Path("/bin/true").read_bytes(),
        "/prog needs a loader or libraries that are not in the image",
    ),
}
"""A program that cannot be run, and what is said of it."""


@pytest.fixture(params=BROKEN)
def broken_program(
    docker_client: docker.DockerClient, image: str, request: pytest.FixtureRequest
) -> Iterator[tuple[str, str]]:
    """An image whose program cannot be run, and what is said of it."""
    content, said = BROKEN[request.param]
    tag = f"whale-ready-test:{secrets.token_hex(4)}"
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        dockerfile = f'FROM {image}\nCOPY prog /prog\nCMD ["/prog"]\n'.encode()
        for name, data in (("Dockerfile", dockerfile), ("prog", content)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
    context.seek(0)
    docker_client.images.build(fileobj=context, custom_context=True, tag=tag, rm=True)
    yield tag, said
    docker_client.images.remove(tag, force=True)


def last(engine: ContainerRuntimeEngine) -> ContainerEvent:
    return engine.audit.events()[-1]


def told(event: ContainerEvent) -> str:
    """All that the audit row says of the cause."""
    return "\n".join([str(event.metadata.get("reason", "")), *event.metadata.get("output", [])])


def is_for_players(result: StartResult, *never: str) -> None:
    assert not result.ok
    assert result.message.endswith(("please tell an organiser", "please try again"))
    for text in never:
        assert text not in result.message


FAILURES: Mapping[str, tuple[dict[str, Any], Code, tuple[str, ...]]] = {
    "no such program": ({"command": ("/nope",)}, Code.START_FAILED, ("/nope", "127")),
    "no such program, without an init": (
        {"command": ("/nope",), "init": False},
        Code.START_FAILED,
        ("/nope", "400"),
    ),
    "no such user": ({"user": "ctf"}, Code.START_FAILED, ("unable to find user ctf",)),
    "the program says why": (
        {"command": (*SHELL, "echo cannot open /data/x >&2; exit 3")},
        Code.START_FAILED,
        ("exit code 3", "cannot open /data/x"),
    ),
    "out of memory": (
        {"command": (*SHELL, "exec /bin/busybox tail /dev/zero"), "memory_mb": 16},
        Code.START_FAILED,
        ("out of memory (it has 16 MB)", "137"),
    ),
    "listens elsewhere": (
        {"command": (*SHELL, "echo listening on 8080; exec /bin/busybox sleep 60")},
        Code.NOT_READY,
        ("no answer (tcp, port 80/tcp) within 2 s", "listening on 8080"),
    ),
    "no HEALTHCHECK": ({"readiness": Readiness.HEALTHCHECK}, Code.NOT_READY, ("no HEALTHCHECK",)),
    "no such image": (
        {"image": "whale-ready-no-such:1", "pull": Pull.NEVER},
        Code.IMAGE_MISSING,
        ("whale-ready-no-such:1 is not on the engine",),
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_log_and_audit_row_say_why_a_start_failed(
    engine_with: Makes, image: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    fields, code, said = FAILURES[name]
    spec = ChallengeSpec(**{"id": 1, "name": "A", "image": image, **fields})
    engine = engine_with(spec, cre_ready_seconds=2.0)
    with caplog.at_level(logging.WARNING):
        result = engine.start_instance(USER, 1)
    event = last(engine)
    assert (result.code, event.code, event.action) == (code, code, Action.START_FAILED)
    is_for_players(result, *said, "Docker")
    for text in said:
        assert text in told(event)
        assert text in caplog.text


def test_a_program_that_cannot_be_run_is_told(
    engine_with: Makes, broken_program: tuple[str, str]
) -> None:
    """The init in front of it says of each that it is not there."""
    image, said = broken_program
    engine = engine_with(ChallengeSpec(id=1, name="A", image=image))
    is_for_players(engine.start_instance(USER, 1), "format", "/prog")
    assert said in told(last(engine))


def test_the_companion_that_failed_is_named(engine_with: Makes, image: str) -> None:
    failing = Companion(name="db", image=image, command=(*SHELL, "echo disk is full; exit 4"))
    absent = Companion(name="cache", image=image, command=("/nope",))
    waits = (*SHELL, "/bin/busybox sleep 1; exit 1")
    engine = engine_with(
        ChallengeSpec(id=1, name="A", image=image, command=waits, companions=(failing,)),
        ChallengeSpec(id=2, name="B", image=image, companions=(absent,)),
    )
    is_for_players(engine.start_instance(USER, 1), "db")
    said = told(last(engine))
    assert "before it answered, the last time with exit code 1" in said
    assert "db ended with exit code 4" in said
    assert "db: disk is full" in said
    is_for_players(engine.start_instance(USER, 2), "cache")
    assert "companion cache ended; cache ended with exit code 127" in told(last(engine))
    assert "/nope" in told(last(engine))


def test_a_companion_that_is_done_is_no_failure(engine_with: Makes, image: str) -> None:
    done = Companion(name="init", image=image, command=(*SHELL, "exit 0"))
    engine = engine_with(ChallengeSpec(id=1, name="A", image=image, companions=(done,)))
    assert engine.start_instance(USER, 1).code is Code.OK


def test_no_secret_and_no_escape_gets_out(
    engine_with: Makes, image: str, caplog: pytest.LogCaptureFixture
) -> None:
    prints = (
        r'printf "\033[2J$FLAG\r\n"; echo $DB_PASSWORD; printf "$FLAG" | /bin/busybox base64;'
        r" /bin/busybox env; exit 9"
    )
    spec = ChallengeSpec(
        id=1,
        name="A",
        image=image,
        command=(*SHELL, prints),
        environment={"DB_PASSWORD": "hunter2-hunter2"},
        flag_prefix="prefixed",
    )
    engine = engine_with(spec)
    flags: list[str] = []
    claim = engine._store.claim

    def noting(request: Any, *more: Any) -> Any:
        flags.append(request.flag)
        return claim(request, *more)

    engine._store.claim = noting  # type: ignore[method-assign] # the flag is told nowhere else
    with caplog.at_level(logging.DEBUG):
        engine.start_instance(USER, 1)
    for said in (told(last(engine)), caplog.text):
        assert "exit code 9" in said
        assert HIDDEN in said
        assert "\x1b" not in said
        assert "hunter2" not in said
        assert flags[0].partition("{")[2][:8] not in said


def test_an_instance_that_crashes_later_says_why_it_is_lost(
    engine_with: Makes, image: str, docker_client: docker.DockerClient
) -> None:
    """ctfer-io/chall-manager#1046: a container that crashes while it is played."""
    serve = (
        "/bin/busybox httpd -p 80 -h /www; read x < /fifo; echo segmentation fault: $FLAG; exit 139"
    )
    command = (*SHELL, f"/bin/busybox mkfifo /fifo; {serve}")
    engine = engine_with(ChallengeSpec(id=1, name="A", image=image, command=command))
    found = engine.start_instance(USER, 1)
    assert found.ok, found
    container = docker_client.containers.get(found.instance["container_id"])
    flag = engine.recorded_flag(USER, 1)
    container.exec_run([*SHELL, "echo now > /fifo"])
    container.wait(timeout=30)
    engine.reconcile()
    event = last(engine)
    assert event.action is Action.LOST
    assert "exit code 139" in told(event)
    assert f"segmentation fault: {HIDDEN}" in told(event)
    assert str(flag) not in told(event)


def test_what_somebody_removed_by_hand_is_said_to_be_gone(
    engine_with: Makes, image: str, docker_client: docker.DockerClient
) -> None:
    engine = engine_with(ChallengeSpec(id=1, name="A", image=image))
    found = engine.start_instance(USER, 1).instance
    docker_client.containers.get(found["container_id"]).remove(force=True)
    assert engine.start_instance(USER, 1).ok
    lost = [event for event in engine.audit.events() if event.action is Action.LOST]
    assert ["somebody removed it" in told(event) for event in lost] == [True]


def test_a_name_that_cannot_be_looked_up_is_named(
    docker_client: docker.DockerClient, deployment: str, image: str, tmp_path: Path
) -> None:
    runtime = DockerRuntime(docker_client, probe_host="no-such-host.invalid")
    spec = ChallengeSpec(id=1, name="A", image=image, readiness=Readiness.HTTP)
    engine = ContainerRuntimeEngine(
        replace(
            Settings(),
            cre_deployment=deployment,
            cre_ready_seconds=1.0,
            database_url=f"sqlite:///{tmp_path / 'state.db'}",
        ),
        runtime=runtime,
        catalog=StaticCatalog([spec]),
    )
    result = engine.start_instance(USER, 1)
    engine.close()
    assert result.code is Code.NOT_READY
    assert "no-such-host.invalid (CRE_PROBE_HOST) cannot be looked up" in told(last(engine))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("tcp://no-such-host.invalid:2375", "its host name cannot be looked up"),
        ("tcp://127.0.0.1:9", "nothing listens at its address"),
        ("unix:///nowhere/docker.sock", "there is no socket /nowhere/docker.sock"),
    ],
)
def test_an_engine_that_cannot_be_asked_is_said_why_in_the_audit_row(
    address: str, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """CTFd/CTFd#720, hust-open-atom-club/pwn.hust.college#170: its socket may not be opened."""
    settings = replace(
        Settings(), cre_docker_host=address, database_url=f"sqlite:///{tmp_path / 'state.db'}"
    )
    catalog = StaticCatalog([ChallengeSpec(id=1, name="A", image="a")])
    engine = ContainerRuntimeEngine(settings, catalog=catalog)
    with caplog.at_level(logging.WARNING):
        result = engine.start_instance(USER, 1)
    engine.close()
    assert result.code is Code.UNAVAILABLE
    assert said not in result.message
    assert said in told(last(engine))
    assert said in caplog.text
