"""What a swarm's answers mean. A *task* is one run of a service's container."""

from __future__ import annotations

from typing import Any

from docker.errors import APIError, NotFound

from engines.catalog import Port
from engines.errors import ContainerExited, ImageMissing, NoRoom, PortUnavailable, RuntimeFault

ENDED = frozenset({"complete", "shutdown", "failed", "rejected", "remove", "orphaned"})
"""States of a task that has no container that runs."""

KILLED = 137
"""Exit code of a program that got SIGKILL; a swarm does not tell why."""

_MEANINGS: tuple[tuple[str, type[RuntimeFault], str], ...] = (
    ("host-mode port already in use", PortUnavailable, "a port is taken on every node in question"),
    ("port is already allocated", PortUnavailable, "a port is taken on the node"),
    ("address already in use", PortUnavailable, "a port is taken on the node"),
    ("no such image", ImageMissing, "the image is not on the node"),
    ("pull access denied", ImageMissing, "the node may not pull the image"),
    ("manifest unknown", ImageMissing, "the registry does not have the image"),
    ("no suitable node", NoRoom, "no node is up that fits the placement constraints"),
)
"""What stands in a task's error, in small letters; a swarm has no codes for it."""


def is_up(task: Any) -> bool:
    """Whether a task's container runs and is meant to."""
    return bool(task["Status"]["State"] == "running" == task["DesiredState"])


def fault_of(task: Any) -> RuntimeFault | None:
    """Why a task will not run; None while it may."""
    state, said = task["Status"]["State"], str(task["Status"].get("Err", "")).lower()
    given_up = state in ENDED or task["DesiredState"] in ENDED
    if not given_up and "no suitable node" not in said:
        return None
    for words, kind, meaning in _MEANINGS:
        if words in said:
            return kind(meaning)
    code = (task["Status"].get("ContainerStatus") or {}).get("ExitCode", "unknown")
    return ContainerExited(f"{state}, exit code {code}")


def why_of(task: Any) -> str:
    """What a swarm says of a task that does not run: its state, exit code and error, which may
    hold what the container was started with."""
    status = task["Status"]
    told = [f"task {status['State']}"]
    code = (status.get("ContainerStatus") or {}).get("ExitCode")
    if code:
        killed = ", killed: out of memory, as a rule" if code == KILLED else ""
        told.append(f"exit code {code}{killed}")
    told.append(str(status.get("Err") or ""))
    return ", ".join(filter(None, told))


def published(task: Any, ports: tuple[Port, ...]) -> tuple[str, ...]:
    """The ports of the node that lead to ``ports``, in their order."""
    given = task["Status"].get("PortStatus", {}).get("Ports") or []
    numbers = {(each["TargetPort"], each["Protocol"]): each["PublishedPort"] for each in given}
    try:
        return tuple(str(numbers[port.number, port.transport.value]) for port in ports)
    except KeyError as error:
        raise PortUnavailable(f"port {error.args[0][0]} was not published") from None


def own_address(node: Any) -> str:
    """A node's address in the swarm; a manager knows its own only as the manager's."""
    address = str(node["Status"].get("Addr", ""))
    if address in ("", "0.0.0.0", "127.0.0.1"):  # noqa: S104 - compared, not bound
        address = str(node.get("ManagerStatus", {}).get("Addr", address)).rpartition(":")[0]
    return address


def has_check(image: Any) -> bool:
    """Whether an image has a HEALTHCHECK of its own."""
    return bool((image["Config"] or {}).get("Healthcheck"))


def digest_of(image: Any, name: str) -> str | None:
    """``repository@digest`` of an image that came from the registry of this name."""
    repository = name.partition("@")[0]
    folder, slash, last = repository.rpartition("/")
    repository = f"{folder}{slash}{last.partition(':')[0]}"
    known = (str(digest) for digest in image["RepoDigests"] or ())
    return next((each for each in known if each.partition("@")[0] == repository), None)


def was_missing(error: APIError) -> bool:
    """Whether what was to be removed is not there. A network that a manager still lists, because
    its last container is only just ending, is a fault inside the server to Docker."""
    return isinstance(error, NotFound) or "not found" in str(error.explanation)
