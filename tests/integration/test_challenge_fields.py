"""Challenges as they are, on a real Docker engine: what each field does inside the container."""

from __future__ import annotations

import dataclasses
import io
import secrets
import socket
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import docker
import pytest
from conftest import require
from docker.api import APIClient
from support.private_engine import FIX, PrivateEngine, possible

import engines.cleanup_worker
from engines.audit import Action
from engines.catalog import ChallengeSpec, Companion, Port, Readiness, StaticCatalog, Transport
from engines.cleanup_worker import CleanupWorker
from engines.contract import Code
from engines.cre import ContainerRuntimeEngine
from engines.cre.guard import FirewallGuard
from engines.cre.runtimes import listening
from engines.cre.runtimes.base import LABEL_COMPANION, LABEL_INSTANCE
from engines.cre.runtimes.disk_use import may_have_quotas
from engines.cre.runtimes.docker import DockerRuntime
from engines.cre.runtimes.networks import BridgeNetworks, engines_mtu
from engines.probe import wait_until
from engines.settings import Settings
from engines.state.database import Database

POOL = IPv4Network(f"10.{215 + secrets.randbelow(40)}.0.0/16")
BUSYBOX = "/bin/busybox"
SLEEP = (BUSYBOX, "sleep", "600")
NO_NEW = f"{BUSYBOX} awk '/NoNewPrivs/ {{print $2}}' /proc/self/status"
PLAIN = ChallengeSpec(1, "A", "", readiness=Readiness.NONE, command=SLEEP)


class Site:
    """An engine on real Docker with one challenge, which account 1 starts."""

    def __init__(self, client: docker.DockerClient, database: Database, deployment: str) -> None:
        self.client = client
        self.database = database
        self.deployment = deployment
        self.family = secrets.token_hex(2)
        self.engine: ContainerRuntimeEngine | None = None
        self.built: set[str] = set()

    def runs(self, spec: ChallengeSpec, **settings: object) -> ContainerRuntimeEngine:
        shared = {"cre_deployment": self.deployment, "cre_network_pool": POOL}
        networks = BridgeNetworks(
            lambda: self.client.api,
            POOL,
            FirewallGuard("none"),
            mtu=1400,
            family=self.family,
            bridges=1,
        )
        self.engine = ContainerRuntimeEngine(
            dataclasses.replace(Settings(), **{**shared, **settings}),  # type: ignore[arg-type] # fields by name
            runtime=DockerRuntime(self.client, networks=networks),
            catalog=StaticCatalog([spec]),
            database=self.database,
        )
        return self.engine

    def started(self, spec: ChallengeSpec, **settings: object) -> str:
        result = self.runs(spec, **settings).start_instance(1, spec.id)
        assert result.ok, result.message
        return str(result.instance["container_id"])

    def beside(self, container: str, companion: str) -> str:
        """The id of a companion's container."""
        labels = self.client.containers.get(container).labels
        wanted = [
            f"{LABEL_INSTANCE}={labels[LABEL_INSTANCE]}", f"{LABEL_COMPANION}={companion}"
        ]  # fmt: skip
        [found] = self.client.containers.list(filters={"label": wanted})
        return str(found.id)

    def inside(self, container: str, line: str, user: str = "") -> str:
        command = [BUSYBOX, "sh", "-c", line]
        done = self.client.containers.get(container).exec_run(command, user=user)
        return str(done.output.decode(errors="replace")).strip()

    def build(self, image: str, *lines: str) -> str:
        """The image with further lines of a Dockerfile."""
        text = "\n".join([f"FROM {image}", 'LABEL whale-ready.image="challenge"', *lines])
        built, _ = self.client.images.build(fileobj=io.BytesIO(text.encode()), rm=True)
        self.built.add(str(built.id))
        return str(built.id)


@pytest.fixture
def site(docker_client: docker.DockerClient, database: Database, deployment: str) -> Iterator[Site]:
    made = Site(docker_client, database, deployment)
    yield made
    if made.engine is not None:
        made.engine.stop_instance(1, 1)
        made.engine.close()
    for built in made.built:
        docker_client.images.remove(built, force=True)
    for row in docker_client.api.networks(names=[f"whale-ready-{made.family}-"]):
        docker_client.api.remove_network(row["Id"])


def replace(image: str, **fields: object) -> ChallengeSpec:
    return dataclasses.replace(PLAIN, image=image, **fields)  # type: ignore[arg-type] # fields by name


def test_what_every_container_gets(site: Site, image: str) -> None:
    """moby/moby#29238, apple/container#1225: the orphans of exploited children pile up;
    markhobson/docker-maven-chrome#14: browsers; moby/moby#34981, #28314: the MTU."""
    container = site.started(replace(image, shm_mb=96))
    site.inside(container, f"i=0; while [ $i -lt 30 ]; do ({BUSYBOX} true &); i=$((i+1)); done")
    states = f"{BUSYBOX} grep -l 'State:.Z' /proc/[0-9]*/status | {BUSYBOX} wc -l"
    assert site.inside(container, states) == "0"
    shown = site.inside(container, f"{BUSYBOX} df -m /dev/shm | {BUSYBOX} tail -1")
    assert shown.split()[1] == "96"
    assert site.inside(container, f"{BUSYBOX} cat /sys/class/net/eth0/mtu") == "1400"
    assert site.inside(container, NO_NEW) == "1"


@pytest.mark.parametrize(
    ("fields", "no_new"),
    [
        ({"init": False, "no_new_privileges": False}, "0"),
        ({"capabilities": ("SETUID", "SETGID"), "no_new_privileges": True}, "1"),
    ],
)
def test_what_a_container_may_do_without(
    site: Site, image: str, fields: dict[str, object], no_new: str
) -> None:
    container = site.started(replace(image, **fields))
    assert site.inside(container, NO_NEW) == no_new
    first = "busybox" if fields.get("init") is False else "docker-init"
    assert site.inside(container, "read line < /proc/1/comm; echo $line") == first


def test_the_engines_own_mtu_holds_for_instances(image: str) -> None:
    """moby/moby#34981, #28314: dockerd's own mtu holds for its default bridge only."""
    require("own-engine", possible(), FIX)
    engine = PrivateEngine(config={"mtu": 1380})
    try:
        api = engine.client().api
        assert engines_mtu(api) == 1380
        networks = BridgeNetworks(lambda: api, POOL, FirewallGuard("none"), bridges=1)
        name = networks.shared(egress=False)
        changed = BridgeNetworks(lambda: api, POOL, FirewallGuard("none"), bridges=1, mtu=1390)
        assert changed.shared(egress=False) == name
        (row,) = api.networks(names=[name])
        assert row["Options"]["com.docker.network.driver.mtu"] == "1390"  # made anew
    finally:
        engine.close()


SUID = (
    f"b={BUSYBOX}; $b mkdir -p /suid /etc; $b cp $b /suid/busybox; $b chmod 4755 /suid/busybox; "
    "$b ln -s $b /bin/sh; echo root::0:0::/:/bin/sh > /etc/passwd; "
    "echo p::1000:1000::/:/bin/sh >> /etc/passwd"
)


def test_a_set_uid_program_works_where_its_capabilities_are_kept(site: Site, image: str) -> None:
    """NilsIrl/dockerc#53, container2wasm/container2wasm#239: a privilege-escalation challenge."""
    container = site.started(
        replace(
            site.build(image, f'RUN ["{BUSYBOX}","sh","-c","{SUID}"]'),
            capabilities=("SETUID", "SETGID"),
            user="1000:1000",
        )
    )
    line = f"/suid/busybox su root -c '{BUSYBOX} id -u'"
    assert site.inside(container, line) == "0"


def test_names_are_refused_at_once_and_companions_are_found(site: Site, image: str) -> None:
    """moby/moby#46701, #20661: Docker's resolver passes on to nobody and leaves it at that; a
    service that looks up who connects keeps each player waiting for ten seconds."""
    companions = tuple(Companion(name=name, image=image, command=SLEEP) for name in ("db", "api"))
    container = site.started(replace(image, companions=companions))
    said = site.inside(container, f"{BUSYBOX} nslookup example.org")
    assert "Connection refused" in said
    for asker in (container, site.beside(container, "db")):
        assert "PING api (10." in site.inside(asker, f"{BUSYBOX} ping -c 1 api")  # not permitted


def test_the_flag_is_in_a_file_that_one_user_can_read(site: Site, image: str) -> None:
    """TheFlash2k/CTFd-Flag-Validator#2: who runs code in the service reads its environment."""
    built = site.build(image, f'RUN ["{BUSYBOX}","mkdir","-p","/home/ctf"]')
    companion = Companion(name="db", image=built, command=SLEEP, flag_file="/db-flag")
    spec = replace(
        built, flag_file="/home/ctf/flag.txt", flag_owner="1001:1002", companions=(companion,)
    )
    container = site.started(spec)
    assert site.engine is not None
    flag = site.engine.recorded_flag(1, 1)
    stat = f"{BUSYBOX} stat -c '%u %g %a' /home/ctf/flag.txt"
    assert site.inside(container, stat) == "1001 1002 400"
    assert site.inside(container, f"{BUSYBOX} cat /home/ctf/flag.txt", user="1001") == flag
    assert "denied" in site.inside(container, f"{BUSYBOX} cat /home/ctf/flag.txt", user="1000")
    assert "FLAG" not in site.inside(
        container, f"{BUSYBOX} env; {BUSYBOX} tr '\\0' '\\n' < /proc/1/environ"
    )
    beside = site.beside(container, "db")
    assert site.inside(beside, f"{BUSYBOX} cat /db-flag; {BUSYBOX} env").startswith(str(flag))
    assert "FLAG=" not in site.inside(beside, f"{BUSYBOX} env")


def test_a_folder_that_the_image_lacks_is_named(
    site: Site, image: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = site.runs(replace(image, flag_file="/nowhere/flag.txt"))
    assert engine.start_instance(1, 1).code is Code.START_FAILED
    assert "flag_file: the image has no folder /nowhere" in caplog.text
    assert site.client.api.containers(all=True, filters={"label": site.deployment}) == []


LATE = (BUSYBOX, "sh", "-c", f"{BUSYBOX} sleep 0.5; exec {BUSYBOX} nc -ll -p 5432 -e {BUSYBOX} cat")
ASKS_ONCE = f"echo | {BUSYBOX} nc -w 2 db 5432 || exit 1; exec {BUSYBOX} httpd -f -p 80 -h /www"
NEEDS_IT = (BUSYBOX, "sh", "-c", ASKS_ONCE)


HEALTHY = f'HEALTHCHECK --interval=100ms CMD ["{BUSYBOX}","nc","-w","1","127.0.0.1","5432"]'


@pytest.mark.parametrize(
    "fields",
    [{}, {"readiness": Readiness.TCP, "port": 5432}, {"readiness": Readiness.HEALTHCHECK}],
)
def test_a_program_that_needs_its_database_at_once_comes_up(
    site: Site, image: str, fields: dict[str, object]
) -> None:
    """docker/compose#374: waited for where the companion says so; else started again."""
    healthy = fields.get("readiness") is Readiness.HEALTHCHECK
    beside = site.build(image, HEALTHY) if healthy else image
    database = Companion(name="db", image=beside, command=LATE, **fields)  # type: ignore[arg-type] # fields by name
    spec = replace(image, command=NEEDS_IT, readiness=Readiness.HTTP, companions=(database,))
    container = site.started(spec)
    details = site.client.api.inspect_container(container)
    result = site.engine.get_instance_status(1, 1) if site.engine else None
    assert result is not None
    bound = details["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"]
    assert result["ports"] == [bound], "its port is the same after it was started again"


def test_companions_start_in_their_order(site: Site, image: str) -> None:
    first = Companion(name="db", image=image, command=LATE, readiness=Readiness.TCP)
    asks = (BUSYBOX, "sh", "-c", ASKS_ONCE)
    second = Companion(name="api", image=image, command=asks, readiness=Readiness.TCP, port=80)
    once = f"{BUSYBOX} wget -q -O /dev/null http://api/ || exit 1; exec {BUSYBOX} sleep 600"
    spec = replace(image, command=(BUSYBOX, "sh", "-c", once), companions=(first, second))
    container = site.started(spec)
    assert site.client.api.inspect_container(container)["State"]["Running"]


@pytest.mark.parametrize(
    ("command", "seconds", "code", "said"),
    [
        (SLEEP, 1.0, Code.NOT_READY, "companion db was not ready (tcp) within 1 s"),
        ((BUSYBOX, "false"), 30.0, Code.START_FAILED, "companion db ended before it was ready"),
    ],
)
def test_a_companion_that_never_serves_is_named(
    site: Site,
    image: str,
    caplog: pytest.LogCaptureFixture,
    command: tuple[str, ...],
    seconds: float,
    code: Code,
    said: str,
) -> None:
    database = Companion(name="db", image=image, command=command, readiness=Readiness.TCP)
    engine = site.runs(replace(image, companions=(database,)), cre_ready_seconds=seconds)
    assert engine.start_instance(1, 1).code is code
    assert said in caplog.text
    assert site.client.api.containers(all=True, filters={"label": site.deployment}) == []


def test_one_that_ends_again_and_again_fails(
    site: Site, image: str, caplog: pytest.LogCaptureFixture
) -> None:
    beside = Companion(name="db", image=image, command=SLEEP)
    spec = replace(image, command=(BUSYBOX, "false"), readiness=Readiness.TCP, companions=(beside,))
    assert site.runs(spec, cre_ready_seconds=1.5).start_instance(1, 1).code is Code.START_FAILED
    assert "times before it answered" in caplog.text


@pytest.mark.parametrize("seen_from", ["here", "inside"])
def test_readiness_leaves_the_one_connection_of_a_service_to_its_player(
    site: Site, image: str, seen_from: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if seen_from == "inside":  # as of an engine on another machine
        monkeypatch.setattr(listening, "PROC", Path("/nowhere"))
        image = site.build(image, f'RUN ["{BUSYBOX}","ln","-s","{BUSYBOX}","/bin/cat"]')
    command = (BUSYBOX, "nc", "-l", "-p", "80", "-e", BUSYBOX, "echo", "once")
    site.started(replace(image, command=command, readiness=Readiness.TCP))
    assert site.engine is not None
    status = site.engine.get_instance_status(1, 1)
    assert status is not None
    with socket.create_connection((status["host"], int(status["ports"][0])), 10) as player:
        assert player.recv(16).startswith(b"once")


def test_where_nothing_shows_who_listens_a_challenge_is_connected_to_and_a_companion_refused(
    site: Site, image: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "PROC", Path("/nowhere"))
    spec = dataclasses.replace(PLAIN, image=image, command=(), readiness=Readiness.TCP)
    assert site.started(spec)
    assert site.engine is not None
    assert site.engine.stop_instance(1, 1).ok
    database = Companion(name="db", image=image, readiness=Readiness.TCP)
    engine = site.runs(replace(image, companions=(database,)))
    assert engine.start_instance(1, 1).code is Code.NOT_READY
    assert "companion db: nothing shows whether it listens" in caplog.text


def test_one_that_listens_on_its_own_loopback_only_is_not_ready(site: Site, image: str) -> None:
    command = (BUSYBOX, "httpd", "-f", "-p", "127.0.0.1:80")
    spec = replace(image, command=command, readiness=Readiness.TCP)
    assert site.runs(spec, cre_ready_seconds=1.0).start_instance(1, 1).code is Code.NOT_READY


def test_a_tcp_and_udp_pair_is_published_on_one_number(site: Site, image: str) -> None:
    container = site.started(replace(image, ports=(Port(53), Port(53, Transport.UDP))))
    ports = site.client.api.inspect_container(container)["NetworkSettings"]["Ports"]
    assert ports["53/tcp"][0]["HostPort"] == ports["53/udp"][0]["HostPort"]


FILL = f"for n in 1 2 3; do {BUSYBOX} dd if=/dev/zero of=$0/fill$n bs=1048576 count=$1 2>&1; done"


def test_who_fills_the_disk_is_ended_and_told(site: Site, image: str) -> None:
    """moby/moby#28302, #23187: one file is cut off at the limit; many are found by the watch."""
    container = site.started(replace(image, disk_mb=8))
    engine = site.engine
    assert engine is not None
    assert "File size limit exceeded" in site.inside(
        container, f"{BUSYBOX} dd if=/dev/zero of=/one bs=1048576 count=30 2>&1; {BUSYBOX} rm /one"
    )
    assert engine.watch() == 0
    site.inside(container, f"set -- 3; {FILL}".replace("$0", "/"))
    assert engine.watch() == 1
    assert engine.get_instance_status(1, 1) is None
    event = engine.audit.events()[-1]
    assert (event.action, event.metadata["written_mb"]) == (Action.DISK_FULL, 9)
    assert "8 MB" in str(engine.why_ended(1, 1))


def test_no_start_is_refused_for_a_quota_that_the_storage_cannot_have(
    site: Site, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first start of each process was made twice on ext4, and dockerd's log had an error."""
    made: list[Any] = []
    create = APIClient.create_container_from_config

    def seen(api: APIClient, config: Any, *more: Any) -> Any:
        made.append(config["HostConfig"].get("StorageOpt"))
        return create(api, config, *more)

    monkeypatch.setattr(APIClient, "create_container_from_config", seen)
    info = site.client.info()
    site.started(replace(image, disk_mb=8))
    if may_have_quotas(info):
        assert made[0] == {"size": "8m"}
    else:
        assert made == [None]


def test_one_who_writes_fast_is_not_waited_for(
    site: Site, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With defaults one instance wrote 6 GB in a second: what is free shows that at once."""
    monkeypatch.setattr(engines.cleanup_worker, "WATCH_SECONDS", 3600.0)
    container = site.started(replace(image, disk_mb=100))
    engine = site.engine
    assert engine is not None
    with CleanupWorker(engine, 3600.0):
        assert engine.watch() == 0
        site.inside(container, f"set -- 90; {FILL}".replace("$0", "/"))
        assert wait_until(lambda _timeout: not engine.holds(1, 1), 60.0)
    assert engine.audit.events()[-1].action is Action.DISK_FULL


def test_a_volume_of_the_image_counts_too(site: Site, image: str) -> None:
    built = site.build(image, "VOLUME /data")
    container = site.started(replace(built, disk_mb=8))
    assert site.engine is not None
    assert site.engine.watch() == 0
    site.inside(container, f"set -- 3; {FILL}".replace("$0", "/data"))
    assert site.engine.watch() == 1
