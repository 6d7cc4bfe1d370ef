"""Instances as services of a Docker Swarm, so that one deployment runs on many machines.

Each instance is a network of its own with one service per container. What a node's loss means, and
what an organiser sets up, stands in ``docs/cre-swarm.md``.

Ports are published in the swarm's *host* mode: on the node where the container runs, and on all of
that node's addresses. The other mode, the ingress mesh, would put every instance on one network
that all share, which is what this runtime is there to prevent; it hides players' addresses, and
needs IPVS in every node's kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import docker
from docker.errors import APIError, NotFound
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from engines.catalog import Pull, Readiness
from engines.contract import Isolation
from engines.cre.evidence import LINES, FailureEvidence, Redactor
from engines.cre.runtimes.base import (
    LABEL_DEPLOYMENT,
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
from engines.cre.runtimes.disk_use import FreeSpace, overfull
from engines.cre.runtimes.engine_api import EngineRuntime, answers, said, unknown_name
from engines.cre.runtimes.networks import engines_mtu
from engines.cre.runtimes.swarm_config import (
    challenge_service,
    check,
    companion_service,
    network_config,
)
from engines.cre.runtimes.swarm_tasks import (
    ENDED,
    digest_of,
    fault_of,
    has_check,
    is_up,
    own_address,
    published,
    was_missing,
    why_of,
)
from engines.errors import (
    BackendUnavailable,
    ContainerExited,
    ImageMissing,
    NotReady,
    RuntimeFault,
)
from engines.probe import wait_until
from engines.pulse import ANSWER_SECONDS, LOOK_SECONDS

LAUNCH_SECONDS = 90.0
"""How long the nodes may take until an instance runs, and is healthy where that is asked for."""
REMOVE_SECONDS = 60.0
"""How long nodes that are up may take until a removed instance is gone: four seconds, as a rule.
A node is known to be down after three heartbeats, of five seconds unless set otherwise."""
LABEL_HOST = "whale-ready.host"
"""Label of a node: where players reach it, unless that is its address in the swarm."""
NO_MANAGER = (
    "the Docker engine is no swarm manager: run docker swarm init there, or name a manager of the "
    "swarm in CRE_DOCKER_HOST"
)

_T = TypeVar("_T")


class SwarmRuntime(EngineRuntime):
    """Services on a Docker Swarm.

    Of the kinds of isolation it declares only what its own networks enforce. A container reaches
    its node and the internet through the node's ``docker_gwbridge``; a service cannot forbid the
    gaining of new privileges before engine 25, nor swap beyond its memory.

    Args:
        client: of a manager of the swarm; see :class:`EngineRuntime`.
        constraints: placement constraints of every instance, beside its challenge's own.
        probe_host: where published ports are reached from here; None for the node's own address.
        mtu: of the network between the nodes; 0 for what the manager's default bridge has.
    """

    name = "swarm"
    multi_node = True
    isolation = frozenset({Isolation.SIBLINGS})

    def __init__(
        self,
        client: docker.DockerClient | None = None,
        *,
        connect: Callable[[], docker.DockerClient] | None = None,
        constraints: tuple[str, ...] = (),
        probe_host: str | None = None,
        mtu: int = 0,
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
        self._constraints = constraints
        self._mtu = mtu
        self._free_space = FreeSpace()

    def launch(self, launch: Launch) -> Launched:
        check(launch.spec)
        begun: list[str] = []
        try:
            images = {image: self._pinned(launch, image) for image in launch.spec.images}
            return self._await_running(launch, self._make(launch, images, begun))
        except (RuntimeFault, BackendUnavailable) as error:
            if isinstance(error, BackendUnavailable) and error.untouched:
                if not begun:
                    raise
                # That this request did not arrive does not mean that nothing was made.
                error = BackendUnavailable(str(error))
            self._discard(launch)
            raise error

    def wait_ready(self, launch: Launch, launched: Launched, seconds: float) -> None:
        readiness = launch.spec.readiness
        if readiness in (Readiness.NONE, Readiness.HEALTHCHECK):
            return  # launch waited for it
        host = self._probe_host or self._address(launched.container_id)

        def ready(timeout: float) -> bool:
            answered = answers(readiness, host, int(launched.ports[0]), timeout)
            if not answered and not self.is_running(launched.container_id):
                raise ContainerExited("the container ended before it answered")
            return answered

        try:
            if not wait_until(ready, seconds):
                raise NotReady(
                    f"no answer ({readiness.value}, port {launch.spec.ports[0]}) within "
                    f"{seconds:g} s{unknown_name(host, 'CRE_PROBE_HOST')}"
                )
        except (ContainerExited, NotReady) as fault:
            task = self._task(launched.container_id)
            if task is None:
                raise
            raise self._with_evidence(fault, task, launch.redactor) from None

    def is_running(self, container_id: str) -> bool:
        """Whether its container runs, on a node that is not down.

        A swarm says "running" of a container for as long as its node is silent.
        """
        task = self._task(container_id)
        return task is not None and is_up(task) and not self._down(task)

    def why_ended(self, container_id: str, redactor: Redactor) -> FailureEvidence:
        try:
            task = self._task(container_id)
            if task is None:
                return FailureEvidence("its service is not there any more: somebody removed it")
            if self._down(task):
                return FailureEvidence(f"its node {task['NodeID']} is down, or left the swarm")
            return self._evidence(why_of(task) or "its container does not run", task, redactor)
        except (BackendUnavailable, KeyError):
            return FailureEvidence()

    def alarmed(self) -> bool:
        return self._free_space.falls()

    def overfull(self, deployment: str) -> list[Overfull]:
        """Those on the manager's own node: no manager can be asked for what is on another one."""
        self._read(lambda: self._free_space.mark(self._api))
        return self._read(lambda: overfull(self._api, deployment))

    def remove(self, container_id: str) -> Cleared:
        """Remove the whole instance: even one of a single container has a network.

        Waits until the containers are gone, except for those on nodes that are down. Such a node
        stops them when it is back, for the swarm then tells it what it missed.
        """
        labels = self._labels(container_id)
        if labels is None:
            return Cleared()
        return self.clear(labels[LABEL_DEPLOYMENT], labels[LABEL_INSTANCE], fence_of(labels))

    def clear(self, deployment: str, name: str, fence: int) -> Cleared:
        labels = labels_of(deployment, name)
        services, networks = self._list(labels)
        older = [row["ID"] for row in services if fence_of(row["Spec"]["Labels"]) <= fence]
        gone = [self._drop(self._api.remove_service, service_id) for service_id in older]
        gone.append(self._await_end(labels, fence))
        network_ids = {row["Id"] for row in networks if fence_of(row["Labels"]) <= fence}
        left = {row["Id"]: self._drop_network(row) for row in networks if row["Id"] in network_ids}
        network_ids -= {network_id for network_id, kept in left.items() if kept}

        def cleared(_timeout: float) -> bool:
            # A manager lists a network until the last container on it is cleared away.
            return network_ids.isdisjoint(row["Id"] for row in self._networks(labels))

        wait_until(cleared, REMOVE_SECONDS)
        return Cleared(any(gone) or bool(left), tuple(filter(None, left.values())))

    def find(self, deployment: str) -> list[ListedResource]:
        services, networks = self._list([f"{LABEL_DEPLOYMENT}={deployment}"])
        return [
            *(_found(row["ID"], row["Spec"]["Labels"]) for row in services),
            *(_found(row["Id"], row["Labels"]) for row in networks),
        ]

    def versions(self) -> dict[str, str]:
        return {**super().versions(), "swarm-nodes": str(len(self._read(self._api.nodes)))}

    # Making.

    def _pinned(self, launch: Launch, image: str) -> str:
        """What to call an image, so that every node runs the same one.

        Nodes ask the registry for a name, at each start and even for an image that they have. An
        id is looked up among their own, and a digest is pulled once.

        Raises:
            ImageMissing: it is not on the manager, and none is to be pulled.
            NotReady: it has no health check, but its challenge is to wait for one.
        """
        try:
            details = self._read(lambda: self._api.inspect_image(image))
        except NotFound:
            if launch.spec.pull is Pull.NEVER:
                raise ImageMissing(f"image {image} is not on the swarm's manager") from None
            return image
        checked = {
            container.image
            for container in launch.spec.containers
            if container.readiness is Readiness.HEALTHCHECK
        }
        if image in checked and not has_check(details):
            raise NotReady("the image has no HEALTHCHECK; choose another readiness")
        digest = None if launch.spec.pull is Pull.NEVER else digest_of(details, image)
        return digest or str(details["Id"])

    def _make(self, launch: Launch, images: dict[str, str], begun: list[str]) -> list[str]:
        """Make the network and the services; returns the services' ids, the challenge's last.

        ``begun`` is given what there is of the instance.
        """
        spec = launch.spec
        self._make_way(launch)
        self._mtu = self._mtu or self._read(lambda: engines_mtu(self._api))
        wanted = network_config(launch, self._mtu)
        network = self._created(lambda: self._api.create_network(**wanted)["Id"])
        begun.append(network)
        services: list[str] = []

        def add(config: dict[str, Any]) -> None:
            services.append(self._created(lambda: self._api.create_service(**config)["ID"]))

        for companion in spec.companions:
            image = images[companion.image]
            add(companion_service(launch, companion, image, network, self._constraints))
            if companion.readiness is Readiness.HEALTHCHECK:
                self._await_tasks(launch, services)  # shown as running once it is healthy
        add(challenge_service(launch, images[spec.image], network, self._constraints))
        return services

    def _make_way(self, launch: Launch) -> None:
        """Remove what somebody who died has left of the instance: no name keeps a second away."""
        services, networks = self._list(labels_of(launch.deployment, launch.name))
        labels = [row["Spec"]["Labels"] for row in services] + [row["Labels"] for row in networks]
        if is_leftover(launch, map(fence_of, labels)):
            self._clear_older(launch)

    def _created(self, request: Callable[[], Any]) -> str:
        try:
            return str(self._ask(request))
        except APIError as error:
            raise RuntimeFault(f"the swarm answered {error.status_code}: {said(error)}") from error

    def _await_running(self, launch: Launch, services: list[str]) -> Launched:
        """Wait until all containers run."""
        task = self._await_tasks(launch, services)[services[-1]]
        return Launched(services[-1], published(task, launch.spec.ports), self._host(task))

    def _await_tasks(self, launch: Launch, services: list[str]) -> dict[str, Any]:
        """Wait until the containers of these services run; returns their tasks.

        Raises:
            RuntimeFault: one never will, or not within :data:`LAUNCH_SECONDS`.
        """
        tasks: dict[str, Any] = {}

        def running(_timeout: float) -> bool:
            # An older service's task may be among them, for as long as its node is down.
            listed = self._tasks([f"{LABEL_INSTANCE}={launch.name}"])
            tasks.update({task["ServiceID"]: task for task in listed})
            mine = [tasks[service] for service in services if service in tasks]
            for each in mine:
                fault = fault_of(each)
                if fault is not None:
                    raise self._with_evidence(fault, each, launch.redactor)
            return len(mine) == len(services) and all(map(is_up, mine))

        if not wait_until(running, LAUNCH_SECONDS):
            waiting = [why_of(each) for each in tasks.values() if not is_up(each)]
            told = launch.redactor.sentence("; ".join(filter(None, waiting)) or "no task was made")
            raise NotReady(f"not running within {LAUNCH_SECONDS:g} s: {told}")
        return tasks

    def _with_evidence(self, fault: RuntimeFault, task: Any, redactor: Redactor) -> RuntimeFault:
        """The same fault, with what the task's container has printed."""
        try:
            found = self._evidence(f"{fault}: {why_of(task)}", task, redactor)
        except BackendUnavailable:
            return fault
        return type(fault)(found.reason, output=found.output)

    def _evidence(self, happened: str, task: Any, redactor: Redactor) -> FailureEvidence:
        service = task["ServiceID"]
        try:
            log = self._ask(
                lambda: self._api.service_logs(service, stdout=True, stderr=True, tail=LINES)
            )
            printed = b"".join(log).decode(errors="replace")
        except (APIError, RequestException, HTTPError):
            printed = ""  # its node is silent, or has another log driver
        return FailureEvidence(redactor.sentence(happened), redactor.lines(printed))

    def _discard(self, launch: Launch) -> None:
        """Remove what a failed start made; if that fails too, say that something may be left."""
        try:
            self._clear_older(launch)
        except BackendUnavailable as error:
            raise BackendUnavailable("services that failed to start may be left") from error

    def _clear_older(self, launch: Launch) -> Cleared:
        return self.clear(launch.deployment, launch.name, launch.fence)

    # Ending.

    def _labels(self, service_id: str) -> dict[str, str] | None:
        """Labels of a service's instance, also while its containers are still being stopped."""
        try:
            return dict(self._read(lambda: self._api.inspect_service(service_id))["Spec"]["Labels"])
        except NotFound:
            pass
        ending = [t for t in self._tasks([LABEL_DEPLOYMENT]) if t["ServiceID"] == service_id]
        held = self._held_up(ending)
        return dict(held[0]["Spec"]["ContainerSpec"]["Labels"]) if held else None

    def _await_end(self, labels: list[str], fence: int) -> bool:
        """Wait until no node that is up runs a container with these labels, and no larger fence;
        whether any did."""
        found = False

        def ended(_timeout: float) -> bool:
            nonlocal found
            held = [
                task
                for task in self._held_up(self._tasks(labels))
                if fence_of(task["Spec"]["ContainerSpec"]["Labels"]) <= fence
            ]
            found = found or bool(held)
            return not held

        if not wait_until(ended, REMOVE_SECONDS):
            raise BackendUnavailable("the swarm did not finish removing an instance")
        return found

    def _held_up(self, tasks: list[Any]) -> list[Any]:
        """Those of the tasks that have not ended, on nodes that are up."""
        left = [task for task in tasks if task["Status"]["State"] not in ENDED]
        return [task for task in left if not self._down(task)]

    def _drop(self, removal: Callable[[str], object], resource_id: str) -> bool:
        try:
            self._ask(lambda: removal(resource_id))
        except APIError as error:
            if was_missing(error):
                return False
            raise BackendUnavailable(
                f"the swarm could not remove a part of an instance: {said(error)}"
            ) from error
        return True

    def _drop_network(self, row: Any) -> str:
        """Remove it; what keeps it there, in words, or nothing."""
        try:
            self._ask(lambda: self._api.remove_network(row["Id"]))
        except APIError as error:
            return "" if was_missing(error) else f"network {row['Name']} stays: {said(error)}"
        return ""

    # Asking.

    def _task(self, service_id: str) -> Any | None:
        """The newest task of a service."""
        try:
            tasks = self._read(lambda: self._api.tasks(filters={"service": service_id}))
        except NotFound:
            return None
        return max(tasks, key=lambda task: task["CreatedAt"], default=None)

    def _tasks(self, labels: list[str]) -> list[Any]:
        """Tasks with these labels, the oldest first."""
        tasks = self._read(lambda: self._api.tasks(filters={"label": labels}))
        return sorted(tasks, key=lambda task: task["CreatedAt"])

    def _list(self, labels: list[str]) -> tuple[list[Any], list[Any]]:
        """Services and networks with these labels."""
        services = self._read(lambda: self._api.services(filters={"label": labels}))
        return services, self._networks(labels)

    def _networks(self, labels: list[str]) -> list[Any]:
        return self._read(lambda: self._api.networks(filters={"label": labels}))

    def _down(self, task: Any) -> bool:
        """Whether a task was given a node, and that is down or no part of the swarm any more."""
        if not task.get("NodeID"):
            return False
        node = self._node(task)
        return node is None or node["Status"]["State"] == "down"

    def _host(self, task: Any) -> str:
        """Where players reach a task's node."""
        node = self._node(task)
        if node is None:
            raise ContainerExited("the node left the swarm")
        return str(node["Spec"]["Labels"].get(LABEL_HOST) or own_address(node))

    def _address(self, service_id: str) -> str:
        """Where this process reaches the node that a service runs on."""
        task = self._task(service_id)
        node = None if task is None else self._node(task)
        if node is None:
            raise ContainerExited("the service is gone, or its node")
        return own_address(node)

    def _node(self, task: Any) -> Any | None:
        try:
            return self._read(lambda: self._api.inspect_node(task["NodeID"]))
        except NotFound:
            return None

    def _read(self, request: Callable[[], _T]) -> _T:
        """Ask for what is there; a refusal but "not found" is BackendUnavailable."""
        try:
            return self._ask(request)
        except NotFound:
            raise
        except APIError as error:
            raise BackendUnavailable(
                f"the swarm refused to say what is there: {said(error)}"
            ) from error

    def _ask(self, request: Callable[[], _T]) -> _T:
        try:
            return super()._ask(request)
        except APIError as error:
            if "not a swarm manager" in str(error.explanation):
                raise BackendUnavailable(NO_MANAGER, untouched=True) from error
            if error.status_code == 503:
                raise BackendUnavailable("the swarm's managers have no leader now") from error
            raise


def _found(resource_id: str, labels: dict[str, str]) -> ListedResource:
    named, owner = labels.get(LABEL_INSTANCE, ""), labels.get(LABEL_OWNER, "")
    return ListedResource(resource_id, named, fence=fence_of(labels), owner=owner)
