"""Are the challenges the same on both sides: who may start them, and what is started?

Whale's API shows whether a player may start a challenge, and nothing else of it: image, port and
limits stand in its database only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from engines.catalog import ChallengeSpec, Visibility
from engines.contract import Code
from engines.ctfd.catalog import whales_columns, whales_rows
from engines.ctfd.fields import spec_of
from engines.errors import CatalogError, WhaleFault
from whale_ready.preflight.dialect import Contact, contact
from whale_ready.preflight.items import CheckFinding, NotCheckable, listed, not_ok, numbered, ok
from whale_ready.preflight.site import WHALES_DATABASE, PreflightSite, reading

HOW = (
    "name the database of Whale's CTFd with WHALE_CTFD_DATABASE_URL; or compare each challenge's "
    "admin page in CTFd with the catalogue"
)


@dataclass(frozen=True)
class There:
    """A challenge as Whale has it."""

    problem: str
    """Why nothing can be started from it; empty when something can."""
    image: str = ""
    port: str = "none"
    memory: str = "no memory limit that can be read"
    cpus: str = "no CPU limit"

    @property
    def limits(self) -> str:
        return f"{self.memory}, {self.cpus}"


def visibility(site: PreflightSite) -> CheckFinding:
    """Whether players may start the same challenges on both sides."""
    specs = _shared(site)
    found = site.fact(contact)
    offered = {spec.id: _offers(found, spec.id) for spec in specs}
    only_ours = [spec.id for spec in specs if spec.startable and not offered[spec.id]]
    only_theirs = [spec.id for spec in specs if not spec.startable and offered[spec.id]]
    wrong = []
    if only_ours:
        wrong.append(f"visible in the catalogue, not on Whale: challenges {numbered(only_ours)}")
    if only_theirs:
        wrong.append(f"visible on Whale, not in the catalogue: challenges {numbered(only_theirs)}")
    if wrong:
        return not_ok("; ".join(wrong))
    return ok(f"asked as user {found.user_id} about each of {len(specs)} challenges")


def _shared(site: PreflightSite) -> list[ChallengeSpec]:
    """The challenges that are to be on both sides."""
    return [spec for spec in site.catalogue() if spec.whale]


def _offers(found: Contact, challenge_id: int) -> bool:
    try:
        found.api.look(found.user_id, challenge_id)
    except WhaleFault as fault:
        if fault.code is not Code.CHALLENGE_UNAVAILABLE:
            raise
        return False
    return True


def images(site: PreflightSite) -> CheckFinding:
    """Whether both sides run the same images."""
    theirs = site.fact(their_challenges)
    problems = []
    for spec in _shared(site):
        there = theirs.get(spec.id)
        if there is None:
            problems.append(f"challenge {spec.id} is none of ctfd-whale's")
        elif there.problem:
            problems.append(f"challenge {spec.id}: {there.problem}")
        elif there.image != spec.image:
            problems.append(f"challenge {spec.id}: {spec.image} here, {there.image} on Whale")
    return not_ok(listed(problems)) if problems else _same(site, "image")


def ports(site: PreflightSite) -> CheckFinding:
    """Whether both sides publish the same port; Whale has one per challenge."""
    return _compared(
        site,
        "port",
        lambda spec: ", ".join(map(str, spec.ports)) or "none",
        lambda there: there.port,
    )


def limits(site: PreflightSite) -> CheckFinding:
    """Whether both sides give a container the same memory and CPU."""
    return _compared(
        site,
        "memory and CPU limit",
        lambda spec: f"{spec.memory_mb} MB, {spec.cpus:g} CPUs",
        lambda there: there.limits,
    )


def their_challenges(site: PreflightSite) -> dict[int, There]:
    """Whale's challenges by id, from its database. Raises :class:`NotCheckable`."""
    site.catalogue()
    url = site.settings.whale_ctfd_database_url
    if url is None:
        raise NotCheckable("Whale's API does not show it", HOW)
    with reading(url, WHALES_DATABASE) as connection:
        try:
            rows = whales_rows(connection)
        except SQLAlchemyError:
            raise NotCheckable(f"{WHALES_DATABASE}: holds no table of ctfd-whale", HOW) from None
    return {row["id"]: _there(row) for row in rows}


def _there(row: Mapping[str, Any]) -> There:
    columns = whales_columns(row)
    try:
        spec = spec_of(row["id"], row["name"], Visibility.VISIBLE, columns)
    except CatalogError as error:
        return There(str(error))
    said: dict[str, str] = {}  # where Whale says nothing, our defaults would look like its word
    if "container_ports" in columns:
        said["port"] = ", ".join(map(str, spec.ports))
    if "container_memory_mb" in columns:
        said["memory"] = f"{spec.memory_mb} MB"
    if "container_cpus" in columns:
        said["cpus"] = f"{spec.cpus:g} CPUs"
    return There("", spec.image, **said)


def _compared(
    site: PreflightSite,
    what: str,
    ours: Callable[[ChallengeSpec], str],
    theirs: Callable[[There], str],
) -> CheckFinding:
    known = site.fact(their_challenges)
    problems, unknown = [], []
    for spec in _shared(site):
        there = known.get(spec.id)
        if there is None or there.problem:
            unknown.append(spec.id)
        elif ours(spec) != theirs(there):
            problems.append(f"challenge {spec.id}: {ours(spec)} here, {theirs(there)} on Whale")
    if problems:
        return not_ok(listed(problems))
    if unknown:
        raise NotCheckable(
            f"challenges {numbered(unknown)} cannot be compared", "see challenges-images"
        )
    return _same(site, what)


def _same(site: PreflightSite, what: str) -> CheckFinding:
    number = len(_shared(site))
    return ok(f"{what} of each of {number} challenges, in Whale's table dynamic_docker_challenge")
