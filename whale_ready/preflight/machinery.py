"""What the Docker engine behind Whale shows of frpc, frps and CTFd; nothing is changed there.

frpc's admin API leaves the token out of ``GET /api/config``, so only its file tells whether it is
still there (read in frp's source, and measured: docs/whale-wire.md, "frp").
"""

from __future__ import annotations

import io
import posixpath
import re
import shlex
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import RequestException

from engines.cre.runtimes.connection import connect
from engines.errors import EngineError
from whale_ready.preflight.health import REPEATABLE, isolation_level
from whale_ready.preflight.items import CheckFinding, NotCheckable, listed, not_ok, ok
from whale_ready.preflight.probe import probed
from whale_ready.preflight.site import PreflightSite
from whale_ready.preflight.theirs import NETWORK, their_settings

HOW = "name the Docker engine that runs Whale's frpc and CTFd with --whale-docker URL"
LOOK_AT_TOKEN = "compare by hand: grep ^token in frpc.ini and in frps.ini, where they run"  # noqa: S105 - no token
SWARM_LABEL = "com.docker.swarm.service.name"
MOST_BYTES = 1_000_000
"""More than any frpc.ini has."""
FOR_EVER = ("always", "unless-stopped")


@dataclass(frozen=True)
class StackPart:
    """A container that runs one of the parts."""

    name: str
    words: tuple[str, ...]
    """Its command line."""
    folder: str
    restarts: str
    """Docker's restart policy."""
    service: bool
    """Whether the swarm runs it."""
    networks: tuple[str, ...]
    container: Any


def engine(site: PreflightSite) -> docker.DockerClient:
    """A client of the engine. Raises :class:`NotCheckable`."""
    if not site.wishes.docker:
        raise NotCheckable("only the Docker engine of Whale's frpc shows it", HOW)
    try:
        client = connect(replace(site.settings, cre_docker_host=site.wishes.docker))
    except EngineError as error:
        raise NotCheckable(f"--whale-docker: {error}", HOW) from None
    site.closing.callback(client.close)
    return client


def parts(site: PreflightSite) -> Sequence[StackPart]:
    """Every container of the engine, also those that do not run. Raises :class:`NotCheckable`."""
    client = site.fact(engine)
    try:
        return [
            _part(container) for container in client.containers.list(all=True, ignore_removed=True)
        ]
    except (DockerException, RequestException) as error:
        raise NotCheckable(f"--whale-docker: {type(error).__name__}", HOW) from None


def _part(container: Any) -> StackPart:
    attributes: Mapping[str, Any] = container.attrs
    labels = attributes["Config"]["Labels"] or {}
    return StackPart(
        container.name,
        (attributes["Path"], *(attributes["Args"] or ())),
        attributes["Config"]["WorkingDir"] or "/",
        attributes["HostConfig"]["RestartPolicy"]["Name"] or "no",
        SWARM_LABEL in labels,
        tuple(attributes["NetworkSettings"]["Networks"] or ()),
        container,
    )


def _runs(part: StackPart, program: str) -> bool:
    """Whether the program is what the container runs, maybe by way of a shell."""
    words = [word for each in part.words for word in _split(each)]
    return any(posixpath.basename(word) == program for word in words)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return [text]


def _the(site: PreflightSite, program: str) -> StackPart:
    """The container of frpc or frps. Raises :class:`NotCheckable`."""
    found = [part for part in site.fact(parts) if _runs(part, program)]
    if len(found) == 1:
        return found[0]
    names = f" ({listed([part.name for part in found])})" if found else ""
    raise NotCheckable(f"{len(found) or 'no'} containers run {program} there{names}", HOW)


def frpc_token(site: PreflightSite) -> CheckFinding:
    """Whether frpc's file still holds the token with which it logs in at frps."""
    frpc = site.fact(_frpc)
    shown = probed(site)
    after = ", after the probe's writes" if shown is not None and not shown.refused else ""
    try:
        mine = _has_token(frpc)
    except NotCheckable as error:
        raise NotCheckable(error.why, LOOK_AT_TOKEN) from None
    if mine:
        return ok(f"the file of {frpc.name} holds a token{after}")
    try:
        theirs = _has_token(_the(site, "frps"))
    except NotCheckable as error:
        said = f"the file of {frpc.name} holds no token{after}; whether frps asks for one: "
        raise NotCheckable(said + error.why, LOOK_AT_TOKEN) from None
    if theirs:
        return not_ok(f"the file of {frpc.name} holds no token{after}, and frps asks for one")
    return ok(f"the file of {frpc.name} holds no token, and frps asks for none")


def frpc_restart(site: PreflightSite) -> CheckFinding:
    """Whether frpc is there again after Docker was restarted, where the instances are."""
    frpc = site.fact(_frpc)
    wanted = _network(site)
    known = {network["Name"]: network for network in site.fact(engine).api.networks()}
    if wanted and wanted not in frpc.networks:
        return not_ok(
            f"{frpc.name} is on {listed(list(frpc.networks)) or 'no network'}, and Whale's "
            f"instances on {wanted}",
            f"docker network connect {wanted} {frpc.name}",
        )
    if frpc.service:
        return ok(f"the swarm runs {frpc.name}, and starts it again")
    if frpc.restarts not in FOR_EVER:
        return not_ok(f"the restart policy of {frpc.name} is {frpc.restarts}")
    overlays = [
        network for network in frpc.networks if known.get(network, {}).get("Driver") == "overlay"
    ]
    if overlays:
        return not_ok(
            f"{frpc.name} is on the overlay {listed(overlays)}, which is not there yet when Docker "
            "starts its containers again"
        )
    return ok(f"Docker starts {frpc.name} again ({frpc.restarts}), on {listed([*frpc.networks])}")


def workers(site: PreflightSite) -> CheckFinding:
    """Whether Whale's requests are kept apart for as many workers as CTFd has."""
    number, name = site.fact(_gunicorn)
    said = f"{name} has {number} gunicorn worker" + ("" if number == 1 else "s")
    if number == 1:
        return ok(f"{said}; see isolation for requests that meet in it")
    try:
        level = site.fact(isolation_level)
    except NotCheckable as error:
        raise NotCheckable(f"{said}, and the isolation is not known: {error.why}") from None
    said += f", and the database server's default is {level}"
    return not_ok(said) if level == REPEATABLE else ok(said)


def _frpc(site: PreflightSite) -> StackPart:
    return _the(site, "frpc")


def _gunicorn(site: PreflightSite) -> tuple[int, str]:
    """How many workers CTFd has, and its container's name. Raises :class:`NotCheckable`."""
    found = [
        (number - 1, part.name)  # one is the master
        for part in site.fact(parts)
        if part.container.status == "running" and (number := _processes(part, "gunicorn")) > 1
    ]
    if len(found) == 1:
        return found[0]
    raise NotCheckable(
        f"{len(found) or 'no'} containers run gunicorn there",
        f"look at CTFd's own setting WORKERS (1 unless set); or {HOW}",
    )


def _processes(part: StackPart, program: str) -> int:
    try:
        rows = part.container.top(ps_args="-eo pid,args")["Processes"] or []
    except APIError:
        return 0  # it ended meanwhile
    lines = [" ".join(row[1:]) for row in rows]
    named = re.compile(rf"(^|[\s/]){program}([\s:]|$)")
    return sum(named.search(line) is not None for line in lines)


def _network(site: PreflightSite) -> str:
    """The network of Whale's instances; empty when it is not known."""
    try:
        return site.fact(their_settings).values.get(NETWORK) or ""
    except NotCheckable:
        return ""


def _has_token(part: StackPart) -> bool:
    """Whether the file that the program was started with has a token.

    Raises:
        NotCheckable: it cannot be read.
    """
    path = _file(part)
    try:
        chunks, _ = part.container.get_archive(path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            member = archive.extractfile(archive.getmembers()[0])
            text = b"" if member is None else member.read(MOST_BYTES)
    except NotFound:
        raise NotCheckable(f"{part.name} has no file {path}") from None
    except (DockerException, RequestException, tarfile.TarError) as error:
        raise NotCheckable(f"{path} in {part.name}: {type(error).__name__}") from None
    # As frp reads it: an ini's token, or auth.token of a frps that is configured in TOML.
    return re.search(rb"^\s*(auth\.)?token\s*=\s*\S", text, re.MULTILINE) is not None


def _file(part: StackPart) -> str:
    words = [word for each in part.words for word in _split(each)]
    name = "./frpc.ini"
    for place, word in enumerate(words):
        if word in ("-c", "--config") and place + 1 < len(words):
            name = words[place + 1]
        elif word.startswith("--config="):
            name = word.partition("=")[2]
    return posixpath.normpath(posixpath.join(part.folder, name))
