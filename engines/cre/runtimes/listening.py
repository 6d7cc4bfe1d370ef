"""Which TCP ports a container listens on, seen without making a connection to it.

A connection would do as a probe, but a service that serves one and ends would be used up by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docker.errors import APIError

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
PROC = Path("/proc")
HEAD_BYTES = 8
_LISTEN = "0A"
_LOOPBACK_6 = "00000000000000000000000001000000"
_MAPPED = "0000000000000000FFFF0000"


def listening_ports(api: Any, details: Any) -> frozenset[int] | None:
    """The ports that programs of a running container listen on, on more than its loopback.

    Read from this machine's ``/proc`` where the container runs here and this process may; else
    by ``cat`` inside the container.

    Args:
        details: the container, as the engine's inspect shows it.

    Returns:
        None where neither can be done.
    """
    text = _from_here(details)
    if text is None:
        text = _from_inside(api, details["Id"])
    return None if text is None else parsed(text)


def parsed(text: str) -> frozenset[int]:
    """The listening ports in the kernel's tables ``tcp`` and ``tcp6``."""
    rows = [line.split() for line in text.splitlines()]
    found = [row[1].split(":") for row in rows if len(row) > 3 and row[3] == _LISTEN]
    return frozenset(int(port, 16) for address, port in found if not _is_loopback(address))


def _is_loopback(address: str) -> bool:
    """Whether an address, in the kernel's notation, is the container's own; Docker's resolver
    listens on such a one."""
    four = address.removeprefix(_MAPPED)
    return address == _LOOPBACK_6 or (len(four) == 8 and four.endswith("7F"))


def _from_here(details: Any) -> str | None:
    process = PROC / str(details["State"]["Pid"])
    try:
        if details["Id"] not in (process / "cgroup").read_text(encoding="utf-8"):
            return None  # another machine's, or another namespace's, number
        tables = [process / f"net/{name}" for name in ("tcp", "tcp6")]
        return "".join(table.read_text(encoding="ascii") for table in tables if table.exists())
    except OSError:
        return None


def _from_inside(api: Any, container_id: str) -> str | None:
    try:
        made = api.exec_create(container_id, ["cat", *TABLES], stderr=False)
        said = _run(api, made["Id"])
    except APIError:
        return None  # it ends, or is full
    text = said.decode(errors="replace")
    return text if "local_address" in text else None


def _run(api: Any, exec_id: str) -> bytes:
    """What a program prints. The SDK's own way waits without end for an engine that hangs."""
    with api.post(
        f"{api.base_url}/v{api.api_version}/exec/{exec_id}/start",
        json={"Detach": False, "Tty": False},
        timeout=api.timeout,
    ) as response:
        if response.status_code != 200:
            raise APIError("no program is run", response=response)
        return b"".join(_pieces(response.content))


def _pieces(stream: bytes) -> Iterator[bytes]:
    """The parts of a stream as Docker frames it: a byte for what it is of, three of no meaning,
    four for the length of what follows."""
    while len(stream) > HEAD_BYTES:
        end = HEAD_BYTES + int.from_bytes(stream[4:HEAD_BYTES], "big")
        yield stream[HEAD_BYTES:end]
        stream = stream[end:]
