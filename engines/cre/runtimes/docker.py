"""Containers on a Docker engine, through the docker SDK's low-level client.

The low-level client is used because the high-level one inspects a container anew after every step;
a start costs exactly create, start and inspect here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound, NotFound

from engines.catalog import ChallengeSpec, Companion, Port
from engines.contract import Isolation
from engines.cre.evidence import LINES, FailureEvidence, Redactor
from engines.cre.image_pull import pull_image
from engines.cre.images import Images
from engines.cre.runtimes.base import (
    LABEL_COMPANION,
    LABEL_DEPLOYMENT,
    LABEL_FENCE,
    LABEL_GROUP,
    LABEL_INSTANCE,
    LABEL_OWNER,
    Cleared,
    Launch,
    Launched,
    ListedResource,
    Overfull,
    fence_of,
    is_leftover,
    labels_of,
)
from engines.cre.runtimes.container_config import (
    challenge_config,
    companion_config,
    flag_archive,
    with_quota,
)
from engines.cre.runtimes.disk_use import FreeSpace, may_have_quotas, overfull
from engines.cre.runtimes.engine_api import CALL_SECONDS, EngineRuntime, said
from engines.cre.runtimes.listening import listening_ports
from engines.cre.runtimes.networks import BridgeNetworks
from engines.cre.runtimes.programs import GAVE_UP, why_not_run
from engines.cre.runtimes.steps import Steps
from engines.errors import (
    BackendUnavailable,
    ContainerExited,
    EngineError,
    ImageMissing,
    NoRoom,
    NotReady,
    PortUnavailable,
    RuntimeFault,
)
from engines.probe import wait_until
from engines.pulse import ANSWER_SECONDS, LOOK_SECONDS

Anyone = ChallengeSpec | Companion


class DockerRuntime(EngineRuntime):
    """Containers on a Docker engine.

    Args:
        client: an SDK client to use; it is then the caller's to close.
        connect: makes the client on first use (engines/cre/runtimes/connection.py) when none is
            given.
        probe_host: where published ports are reached from here; None for the bind address.
        look_seconds, answer_seconds: see :class:`engines.pulse.Pulse`.
        networks: the networks that instances are put on; None for Docker's default bridge, which
            keeps no instance from another.
    """

    name = "docker"

    def __init__(
        self,
        client: docker.DockerClient | None = None,
        *,
        connect: Callable[[], docker.DockerClient] | None = None,
        probe_host: str | None = None,
        networks: BridgeNetworks | None = None,
        look_seconds: float = LOOK_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        super().__init__(
            client,
            connect=connect,
            probe_host=probe_host,
            look_seconds=look_seconds,
            answer_seconds=answer_seconds,
        )
        self._images = Images(
            lambda image, tell, canceller: pull_image(self._api, image, tell, canceller)
        )
        self._networks = networks
        if networks is not None:
            networks.watch(self._pulse)
        self._quotas: bool | None = None
        """Whether the engine's storage may know quotas; None before it was asked."""
        self._free_space = FreeSpace()

    def launch(self, launch: Launch) -> Launched:
        for image in launch.spec.images:
            self._images.before(image, launch.spec.pull)
        try:
            return self._made(launch)
        except _NetworkGone:
            # Somebody removed it, as docker system prune does: it is made anew.
            return self._made(launch)

    def _made(self, launch: Launch) -> Launched:
        begun: list[str] = []
        try:
            container_id = self._create_all(launch, begun)
            if not launch.in_steps:  # else wait_ready starts them
                for companion in launch.spec.companions:
                    with _refused_of(companion):
                        self._start(launch.opaque_of(companion))
                self._start(container_id)
            details = self._ask(lambda: self._api.inspect_container(container_id))
            if launch.waits_for_companions:
                return Launched(container_id, tuple(map(str, launch.host_ports)))
            if not details["State"]["Running"]:
                raise ContainerExited("the container ended at once")
            return Launched(container_id, _published(details, launch.spec.ports))
        except (ContainerExited, PortUnavailable) as fault:
            told = self._with_evidence(fault, launch)
            self._discard(launch)
            raise told from None
        except (RuntimeFault, BackendUnavailable) as error:
            raise self._undone(error, launch, begun)  # noqa: B904 - it is mostly the same
        except APIError as error:
            self._discard(launch)
            refused = _fault(error, launch.redactor)
            if self._networks is not None and error.status_code == 404:
                self._networks.forget()
                raise _NetworkGone(str(refused)) from error
            raise refused from error

    def wait_ready(self, launch: Launch, launched: Launched, seconds: float) -> None:
        host = self._probe_host or _reachable(launch.bind_address)
        try:
            Steps(self, launch, launched, host, seconds).take()
        except (ContainerExited, NotReady) as fault:
            raise self._with_evidence(fault, launch) from None

    def start_container(self, launch: Launch, container: str) -> None:
        """Start one that is made; raises what its refusal means."""
        try:
            self._start(container)
        except APIError as error:
            raise _fault(error, launch.redactor) from error

    def running(self, container: str) -> Any | None:
        """What the engine shows of a container while it runs."""
        details = self._inspect(container)
        return details if details is not None and details["State"]["Running"] else None

    def exit_code(self, container: str) -> int | None:
        """With what a container ended; None while it runs or where it is not."""
        details = self._inspect(container)
        if details is None or details["State"]["Running"]:
            return None
        return int(details["State"]["ExitCode"])

    def listening(self, details: Any) -> frozenset[int] | None:
        """The ports that its programs listen on; None where that cannot be seen."""
        return self._ask(lambda: listening_ports(self._api, details))

    def why_ended(self, container_id: str, redactor: Redactor) -> FailureEvidence:
        try:
            details = self._inspect(container_id)
            if details is None:
                return FailureEvidence("its container is not there any more: somebody removed it")
            labels = details["Config"]["Labels"]
            others = labels_of(labels[LABEL_DEPLOYMENT], labels[LABEL_INSTANCE])
            return self._evidence("its container does not run", others, redactor)
        except (BackendUnavailable, KeyError):
            return FailureEvidence()

    def is_running(self, container_id: str) -> bool:
        return self.running(container_id) is not None

    def alarmed(self) -> bool:
        return self._free_space.falls()

    def overfull(self, deployment: str) -> list[Overfull]:
        try:
            self._ask(lambda: self._free_space.mark(self._api))
            return self._ask(lambda: overfull(self._api, deployment))
        except APIError as error:
            raise BackendUnavailable("the Docker engine refused to say what is written") from error

    def remove(self, container_id: str) -> Cleared:
        details = self._inspect(container_id)
        if details is None:
            return Cleared()
        labels = details["Config"]["Labels"]
        if LABEL_GROUP in labels:
            name = labels[LABEL_INSTANCE]
            return self.clear(labels[LABEL_DEPLOYMENT], name, fence_of(labels))
        return Cleared(self._remove_container(container_id))

    def clear(self, deployment: str, name: str, fence: int) -> Cleared:
        labels = labels_of(deployment, name)
        containers, networks = (
            [row["Id"] for row in rows if fence_of(row["Labels"]) <= fence]
            for rows in self._list(labels)
        )
        gone = [self._remove_container(container_id) for container_id in containers]
        left = tuple(filter(None, map(self._remove_network, networks)))
        return Cleared(any(gone) or bool(networks), left)

    def find(self, deployment: str) -> list[ListedResource]:
        containers, networks = self._list([f"{LABEL_DEPLOYMENT}={deployment}"])
        return [
            ListedResource(
                row["Id"],
                row["Labels"].get(LABEL_INSTANCE, ""),
                row.get("State") == "running",
                fence_of(row["Labels"]),
                row["Labels"].get(LABEL_OWNER, ""),
            )
            for row in containers + networks
        ]

    @property
    def isolation(self) -> frozenset[Isolation]:
        """What its configurations and networks keep containers from."""
        kept = {Isolation.PRIVILEGES, Isolation.RESOURCES}
        return frozenset(kept | (self._networks.isolation if self._networks else set()))

    def refresh(self) -> None:
        if self._networks is not None:
            self._networks.refresh()

    def close(self) -> None:
        self._images.close()
        super().close()

    def _network(self, launch: Launch) -> str:
        """The network of an instance, made when it needs one of its own."""
        if self._networks is None:
            return "bridge"
        if launch.alone:
            return self._networks.shared(egress=launch.spec.egress)
        return self._networks.own(launch)

    def _make_way(self, launch: Launch) -> None:
        """Remove what somebody who died has left of the instance: no name keeps a second away."""
        containers = self._containers(labels_of(launch.deployment, launch.name))
        if is_leftover(launch, (fence_of(row["Labels"]) for row in containers)) or not launch.alone:
            self._clear_older(launch)

    def _create_all(self, launch: Launch, begun: list[str]) -> str:
        """Make the network and the containers; returns the id of the challenge's own.

        ``begun`` is given what there is of the instance.
        """
        self._make_way(launch)
        network = self._network(launch)
        if not launch.alone:
            begun.append(network)
        for companion in launch.spec.companions:
            config = companion_config(self._api, launch, companion, network)
            with _refused_of(companion):
                begun.append(self._created(launch, companion, config, launch.opaque_of(companion)))
                self._put_flag(launch, companion, begun[-1])
        config = challenge_config(self._api, launch, network)
        begun.append(self._created(launch, launch.spec, config, launch.opaque))
        self._put_flag(launch, launch.spec, begun[-1])
        return begun[-1]

    def _start(self, container: str) -> None:
        self._ask(lambda: self._api.start(container))

    def _put_flag(self, launch: Launch, sandbox: Anyone, container_id: str) -> None:
        archive = flag_archive(launch, sandbox)
        if archive is None:
            return
        try:
            self._ask(lambda: self._api.put_archive(container_id, *archive))
        except NotFound:
            raise RuntimeFault(
                f"flag_file: the image has no folder {archive[0]}; make it there, or choose another"
            ) from None
        except APIError as error:
            raise RuntimeFault(
                f"flag_file: the engine could not put it there ({error.status_code})"
            ) from error

    def _created(self, launch: Launch, sandbox: Anyone, plain: Any, name: str) -> str:
        config = with_quota(plain, sandbox) if sandbox.disk_mb and self._may_quota() else plain
        for _ in range(3):
            try:
                made = self._ask(partial(self._api.create_container_from_config, config, name))
            except ImageNotFound:
                self._images.missing(config["Image"], launch.spec.pull)
            except APIError:
                if config is plain:
                    raise
                config = plain  # most storage knows no quota, and says so
            else:
                if config is plain and sandbox.disk_mb:
                    self._quotas = False  # the watch keeps it
                return str(made["Id"])
        raise RuntimeFault("somebody removes the image as often as it is pulled")

    def _may_quota(self) -> bool:
        if self._quotas is None:
            self._quotas = may_have_quotas(self._ask(self._api.info))
        return self._quotas

    def _clear_older(self, launch: Launch) -> Cleared:
        return self.clear(launch.deployment, launch.name, launch.fence)

    def _discard(self, launch: Launch) -> None:
        """Remove what a failed start made; if that fails too, say that something may be left."""
        try:
            self._clear_older(launch)
        except BackendUnavailable as error:
            raise BackendUnavailable("a container that failed to start may be left") from error

    def _undone(self, error: EngineError, launch: Launch, begun: list[str]) -> EngineError:
        """The error of a start of which nothing is left."""
        if isinstance(error, BackendUnavailable) and error.untouched:
            if not begun:
                return error
            # That this request did not arrive does not mean that nothing was made.
            error = BackendUnavailable(str(error))
        self._discard(launch)
        return error

    def _with_evidence(self, fault: RuntimeFault, launch: Launch) -> RuntimeFault:
        """The same fault, with what the instance's containers tell of it."""
        labels = [
            *labels_of(launch.deployment, launch.name),
            f"{LABEL_FENCE}={launch.fence}",
        ]
        try:
            found = self._evidence(str(fault), labels, launch.redactor)
        except BackendUnavailable:
            return fault
        return type(fault)(found.reason, output=found.output)

    def _evidence(self, happened: str, labels: list[str], redactor: Redactor) -> FailureEvidence:
        """What the containers with these labels tell, the challenge's own first."""
        containers, _ = self._list(labels)
        rows = sorted((_own_name(row), row["Id"]) for row in containers)
        told = [happened]
        output: list[str] = []
        for name, container_id in rows:
            details = self._inspect(container_id)
            if details is None:
                continue
            ending = _ending(details)
            if ending:
                told.append(redactor.sentence(f"{name or 'the container'} {ending}"))
            if ending or not name:
                printed = self._printed(container_id)
                output += redactor.lines(printed, name)
                if ending and GAVE_UP in printed:
                    told += self._why_not_run(container_id, details["Path"], redactor)
        return FailureEvidence("; ".join(told), tuple(output))

    def _why_not_run(self, container_id: str, program: str, redactor: Redactor) -> list[str]:
        why = self._ask(lambda: why_not_run(self._api, container_id, program))
        return [redactor.sentence(why)] if why else []

    def _printed(self, container_id: str) -> str:
        """The last of what a container's programs have printed."""
        try:
            log = self._ask(lambda: self._api.logs(container_id, tail=LINES))
        except APIError:
            return ""  # another log driver, or it is just being removed
        return bytes(log).decode(errors="replace")

    def _inspect(self, container_id: str) -> Any | None:
        try:
            return self._ask(lambda: self._api.inspect_container(container_id))
        except NotFound:
            return None
        except APIError as error:
            raise BackendUnavailable(
                f"the Docker engine refused to say what runs: {said(error)}"
            ) from error

    def _list(self, labels: list[str]) -> tuple[list[Any], list[Any]]:
        """Containers and networks with these labels."""
        return self._containers(labels), self._listed(self._api.networks, labels)

    def _containers(self, labels: list[str]) -> list[Any]:
        return self._listed(partial(self._api.containers, all=True), labels)

    def _listed(self, kind: Callable[..., list[Any]], labels: list[str]) -> list[Any]:
        try:
            return self._ask(lambda: kind(filters={"label": labels}))
        except APIError as error:
            raise BackendUnavailable(
                f"the Docker engine refused to list what is there: {said(error)}"
            ) from error

    def _remove_container(self, container_id: str) -> bool:
        try:
            self._ask(lambda: self._api.remove_container(container_id, force=True, v=True))
        except NotFound:
            return False
        except APIError as error:
            if error.status_code == 409:  # its removal is under way already: wait for the end
                return self._await_removal(container_id)
            raise BackendUnavailable(
                f"the Docker engine could not remove a container: {said(error)}"
            ) from error
        return True

    def _remove_network(self, network_id: str) -> str:
        """Remove it; what keeps it there, in words, or nothing."""
        try:
            self._ask(lambda: self._api.remove_network(network_id))
        except NotFound:
            return ""
        except APIError as error:
            return self._kept_by(network_id, said(error))
        return ""

    def _kept_by(self, network_id: str, docker_says: str) -> str:
        try:
            details = self._ask(lambda: self._api.inspect_network(network_id))
        except APIError:  # it went meanwhile, or there is nothing more to be learnt
            return f"network {network_id[:12]} is still there: {docker_says}"
        holders = sorted(container["Name"] for container in (details["Containers"] or {}).values())
        if not holders:
            return f"network {details['Name']} is still there: {docker_says}"
        named = Redactor().sentence(", ".join(holders))
        return (
            f"network {details['Name']} is kept by {named}: remove that, or disconnect it with "
            f"docker network disconnect --force {details['Name']} {named}"
        )

    def _await_removal(self, container_id: str) -> bool:
        if wait_until(lambda _timeout: self._inspect(container_id) is None, CALL_SECONDS):
            return True
        raise BackendUnavailable("the Docker engine did not finish removing a container")


def _published(details: Any, ports: tuple[Port, ...]) -> tuple[str, ...]:
    numbers = []
    for port in ports:
        bindings = details["NetworkSettings"]["Ports"].get(str(port))
        if not bindings:
            raise PortUnavailable(f"port {port} was not published")
        numbers.append(str(bindings[0]["HostPort"]))
    return tuple(numbers)


def _own_name(row: Any) -> str:
    """Of a companion its name; empty for the challenge's own container."""
    return str(row["Labels"].get(LABEL_COMPANION, ""))


def _ending(details: Any) -> str:
    """How a container ended; empty while it runs."""
    state = details["State"]
    if state["Running"]:
        return ""
    told = [f"ended with exit code {state['ExitCode']}"]
    if state.get("OOMKilled"):
        megabytes = details["HostConfig"]["Memory"] // (1024 * 1024)
        told.append(f"out of memory (it has {megabytes} MB)")
    if state.get("Error"):
        told.append(str(state["Error"]))
    return ", ".join(told)


class _NetworkGone(RuntimeFault):
    """The network that was handed out is not there any more."""


@contextmanager
def _refused_of(companion: Companion) -> Iterator[None]:
    """Within, what the engine refuses is said to be the companion's."""
    try:
        yield
    except APIError as error:
        error.explanation = f"companion {companion.name}: {error.explanation}"
        raise


def _fault(error: APIError, redactor: Redactor) -> RuntimeFault:
    """What a refusal of create or start means; Docker has no codes finer than the HTTP status."""
    text = str(error.explanation or "").lower()
    reason = said(error, redactor)
    if "port is already allocated" in text or "address already in use" in text:
        return PortUnavailable(f"the port is taken: {reason}")
    if "no such image" in text:
        return ImageMissing(f"the image is not on the engine: {reason}")
    if "docker-init" in text:
        return RuntimeFault(
            "the engine has no docker-init: install tini there, or set init = false"
        )
    if "no available ipv4 addresses" in text:
        return NoRoom(f"every address of a shared network is in use: {reason}")
    return RuntimeFault(f"the Docker engine answered {error.status_code}: {reason}")


def _reachable(bind_address: str) -> str:
    """Where a port bound to ``bind_address`` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind_address, bind_address)  # noqa: S104 - compared, not bound
