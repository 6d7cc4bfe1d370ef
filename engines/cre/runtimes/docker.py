"""Containers on a Docker engine, through the docker SDK's low-level client.

The low-level client is used because the high-level one inspects a container anew after every step;
a start costs exactly create, start and inspect here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from requests.exceptions import RequestException

from engines.catalog import ChallengeSpec, Readiness
from engines.cre.runtimes.base import LABEL_DEPLOYMENT, Found, Launch, Launched, Runtime
from engines.errors import (
    BackendUnavailable,
    ContainerExited,
    ImageMissing,
    NotReady,
    PortUnavailable,
    RuntimeFault,
)
from engines.probe import answers_http, answers_tcp, wait_until

CALL_SECONDS = 60.0
"""Deadline of one request to the engine."""
CPU_PERIOD_MICROSECONDS = 100_000

_T = TypeVar("_T")


class DockerRuntime(Runtime):
    """Containers on the Docker engine that the environment names (``DOCKER_HOST``).

    Args:
        client: an SDK client to use instead; it is then the caller's to close.
        probe_host: where published ports are reached from here; None for the bind address.
    """

    name = "docker"

    def __init__(
        self, client: docker.DockerClient | None = None, *, probe_host: str | None = None
    ) -> None:
        self._own_client = client is None
        self._client = client
        self._probe_host = probe_host

    @property
    def _api(self) -> Any:
        """The low-level client, made on first use: an engine that is down is no error before."""
        if self._client is None:
            try:
                self._client = docker.from_env(timeout=int(CALL_SECONDS), max_pool_size=64)
            except (DockerException, RequestException) as error:
                raise BackendUnavailable("the Docker engine cannot be reached") from error
        return self._client.api

    def launch(self, launch: Launch) -> Launched:
        container_id = self._create(launch)
        try:
            self._ask(lambda: self._api.start(container_id))
            details = self._ask(lambda: self._api.inspect_container(container_id))
            if not details["State"]["Running"]:
                raise ContainerExited(f"exit code {details['State']['ExitCode']}")
            return Launched(container_id, (_published(details, launch.spec.port),))
        except (RuntimeFault, BackendUnavailable):
            self._discard(container_id)
            raise
        except APIError as error:
            self._discard(container_id)
            raise _fault(error) from error

    def wait_ready(self, launch: Launch, launched: Launched, seconds: float) -> None:
        if launch.spec.readiness is Readiness.NONE:
            return
        host = self._probe_host or _reachable(launch.bind_address)
        port = int(launched.ports[0])

        def ready(timeout: float) -> bool:
            if launch.spec.readiness is Readiness.HTTP:
                answered = answers_http(f"http://{_bracketed(host)}:{port}/", timeout=timeout)
            else:
                answered = answers_tcp(host, port, timeout=timeout)
            if not answered and not self.is_running(launched.container_id):
                raise ContainerExited("the container ended before it answered")
            return answered

        if not wait_until(ready, seconds):
            raise NotReady(f"no answer within {seconds:g} s")

    def is_running(self, container_id: str) -> bool:
        try:
            details = self._ask(lambda: self._api.inspect_container(container_id))
        except NotFound:
            return False
        except APIError as error:
            raise BackendUnavailable("the Docker engine refused to say what runs") from error
        return bool(details["State"]["Running"])

    def remove(self, name_or_id: str) -> bool:
        try:
            self._ask(lambda: self._api.remove_container(name_or_id, force=True, v=True))
        except NotFound:
            return False
        except APIError as error:
            if error.status_code == 409:  # its removal is under way already: wait for the end
                return self._await_removal(name_or_id)
            raise BackendUnavailable("the Docker engine could not remove a container") from error
        return True

    def find(self, deployment: str) -> list[Found]:
        wanted = {"label": f"{LABEL_DEPLOYMENT}={deployment}"}
        try:
            rows = self._ask(lambda: self._api.containers(all=True, filters=wanted))
        except APIError as error:
            raise BackendUnavailable("the Docker engine refused to list containers") from error
        return [Found(row["Id"], row["Names"][0].lstrip("/")) for row in rows]

    def versions(self) -> dict[str, str]:
        details = self._ask(self._api.version)
        return {"docker": details["Version"], "docker-api": details["ApiVersion"]}

    def close(self) -> None:
        if self._client is not None and self._own_client:
            self._client.close()
            self._client = None

    def _create(self, launch: Launch) -> str:
        for _ in range(2):
            try:
                made = self._ask(
                    lambda: self._api.create_container_from_config(
                        self._config(launch), launch.name
                    )
                )
                return str(made["Id"])
            except ImageNotFound as error:
                raise ImageMissing(f"image {launch.spec.image} is not on the engine") from error
            except APIError as error:
                if error.status_code != 409:
                    raise _fault(error) from error
                # The name is derived from a row that is ours now: what bears it was left by a
                # process that died. It is removed only if it carries this deployment's label.
                self._remove_leftover(launch)
        raise RuntimeFault("the container's name is taken by one of another deployment")

    def _discard(self, container_id: str) -> None:
        """Remove what a failed start made; if that fails too, say that something may be left."""
        try:
            self.remove(container_id)
        except BackendUnavailable as error:
            raise BackendUnavailable("a container that failed to start may be left") from error

    def _config(self, launch: Launch) -> Any:
        spec = launch.spec
        return self._api.create_container_config(
            spec.image,
            command=list(spec.command) or None,
            environment=dict(launch.environment),
            labels=dict(launch.labels),
            ports=[spec.port],
            host_config=self._host_config(spec, launch.bind_address),
        )

    def _host_config(self, spec: ChallengeSpec, bind_address: str) -> Any:
        memory = spec.memory_mb * 1024 * 1024
        return self._api.create_host_config(
            port_bindings={spec.port: (bind_address, None)},
            mem_limit=memory,
            memswap_limit=memory,
            cpu_period=CPU_PERIOD_MICROSECONDS,
            cpu_quota=int(spec.cpus * CPU_PERIOD_MICROSECONDS),
            pids_limit=spec.pids_limit,
            security_opt=["no-new-privileges"],
        )

    def _remove_leftover(self, launch: Launch) -> None:
        for found in self.find(launch.deployment):
            if found.name == launch.name:
                self.remove(found.container_id)

    def _await_removal(self, name_or_id: str) -> bool:
        def gone(_timeout: float) -> bool:
            try:
                self._ask(lambda: self._api.inspect_container(name_or_id))
            except NotFound:
                return True
            return False

        try:
            if wait_until(gone, CALL_SECONDS):
                return True
        except APIError as error:
            raise BackendUnavailable("the Docker engine refused to say what runs") from error
        raise BackendUnavailable("the Docker engine did not finish removing a container")

    def _ask(self, request: Callable[[], _T]) -> _T:
        """Make one request; an engine that does not answer as one is BackendUnavailable."""
        try:
            return request()
        except APIError:
            raise
        except (DockerException, RequestException, json.JSONDecodeError, OSError) as error:
            raise BackendUnavailable(
                "the Docker engine cannot be reached", untouched=_refused(error)
            ) from error


def _refused(error: BaseException) -> bool:
    """Whether the connection itself was refused, so that no request can have arrived."""
    seen: list[Any] = [error]
    for each in seen:
        if isinstance(each, (ConnectionRefusedError, FileNotFoundError)):
            return True
        inner = (each.__cause__, each.__context__, *getattr(each, "args", ()))
        seen += [one for one in inner if isinstance(one, BaseException) and one not in seen]
    return False


def _published(details: Any, port: int) -> str:
    bindings = details["NetworkSettings"]["Ports"].get(f"{port}/tcp")
    if not bindings:
        raise PortUnavailable(f"port {port} was not published")
    return str(bindings[0]["HostPort"])


def _fault(error: APIError) -> RuntimeFault:
    """What a refusal of create or start means; Docker has no codes finer than the HTTP status."""
    text = str(error.explanation or "").lower()
    if "port is already allocated" in text or "address already in use" in text:
        return PortUnavailable("the port is taken")
    if "no such image" in text:
        return ImageMissing("the image is not on the engine")
    return RuntimeFault(f"the Docker engine answered {error.status_code}")


def _reachable(bind_address: str) -> str:
    """Where a port bound to ``bind_address`` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind_address, bind_address)  # noqa: S104 - compared, not bound


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
