"""What stands behind a live Whale, where its organiser shows it: its swarm, and CTFd's database.

Whale labels every service with ``whale_id``, which is ``USER_ID-UUID``, and keeps each container's
flag in its table (read in ctfd-whale's source, and seen on a real one: docs/whale-wire.md). Only
services of the accounts of the world file are looked at, counted or removed.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import docker
import sqlalchemy as sa
from docker.errors import DockerException, NotFound
from requests.exceptions import RequestException
from sqlalchemy.exc import SQLAlchemyError

from conformance.harness import CannotRun, Hook, Unsupported
from engines.cre.runtimes.connection import connect
from engines.errors import EngineError, SettingsError
from engines.settings import Settings
from engines.state.database import connectable

if TYPE_CHECKING:
    from conformance.harnesses.world_file import WorldFile

LABEL = "whale_id"

_containers = sa.table(
    "whale_container", sa.column("uuid"), sa.column("user_id"), sa.column("flag", sa.Text)
)


class Swarm:
    """The services that Whale has made for some users.

    Raises:
        CannotRun: the engine does not answer, or is no manager of a swarm.
    """

    def __init__(self, url: str, users: Iterable[int]) -> None:
        self._users = frozenset(users)
        try:
            self._client: docker.DockerClient = connect(replace(Settings(), cre_docker_host=url))
            self._before = frozenset(self._services())
        except EngineError as error:
            raise CannotRun(f"whale.docker_url: {error}") from None
        except (DockerException, RequestException) as error:
            raise CannotRun(
                f"whale.docker_url: its services cannot be listed ({type(error).__name__}); name "
                "the engine of a manager of Whale's swarm"
            ) from None

    @property
    def nodes(self) -> int:
        """How many machines the swarm has."""
        return len(self._client.nodes.list())

    def running(self) -> set[str]:
        """By uuid. What is there without a container counts: the swarm tries again for ever."""
        return set(self._services())

    def machine_of(self, uuid: str) -> str | None:
        """The id of the node that runs it now: machines that were cloned bear one name."""
        service = self._services().get(uuid)
        tasks: list[dict[str, Any]] = [] if service is None else service.tasks()
        for task in tasks:
            if task["Status"]["State"] == "running" and task["DesiredState"] == "running":
                return str(task["NodeID"])
        return None

    def remove(self, uuid: str) -> None:
        """As an operator does by hand; no error where it is gone already."""
        service = self._services().get(uuid)
        if service is not None:
            _removed(service)

    def sweep(self) -> None:
        """Remove what was left since the run began, of accounts that hold nothing any more."""
        for uuid, service in self._services().items():
            if uuid not in self._before:
                _removed(service)

    def left(self) -> list[str]:
        """What :meth:`sweep` would remove, by name."""
        found = self._services()
        return sorted(found[uuid].name for uuid in found if uuid not in self._before)

    def close(self) -> None:
        self._client.close()

    def _services(self) -> dict[str, Any]:
        found = {}
        for service in self._client.services.list(filters={"label": LABEL}):
            user, _, uuid = str(service.attrs["Spec"]["Labels"][LABEL]).partition("-")
            if user.isdecimal() and int(user) in self._users:
                found[uuid] = service
        return found


def _removed(service: Any) -> None:
    with suppress(NotFound):  # Whale was faster
        service.remove()


class Records:
    """Whale's own table of containers, which is only read.

    Raises:
        CannotRun: the database cannot be asked, or holds no such table.
    """

    def __init__(self, url: str) -> None:
        try:
            self._engine = connectable(url)
            self.flag("no-such-uuid")
        except LookupError:
            pass  # as it should be
        except SettingsError as error:
            raise CannotRun(f"whale.ctfd_database_url: {error}") from None
        except SQLAlchemyError as error:  # whose text may quote the URL
            raise CannotRun(
                "whale.ctfd_database_url: Whale's table whale_container cannot be read "
                f"({type(error).__name__}); name the database of Whale's CTFd, and let its user "
                "SELECT there"
            ) from None

    def flag(self, uuid: str) -> str:
        """The flag that a submission is compared with. Raises LookupError."""
        query = sa.select(_containers.c.flag).where(_containers.c.uuid == uuid)
        with self._engine.connect() as connection:
            found = connection.execute(query).scalar()
        if found is None:
            raise LookupError(f"Whale has no record of {uuid}")
        return str(found)

    def close(self) -> None:
        self._engine.dispose()


class Behind:
    """Both, for a run; each only where the file shows it."""

    def __init__(self) -> None:
        self._swarm: Swarm | None = None
        self._records: Records | None = None

    def open(self, file: WorldFile, users: Iterable[int]) -> None:
        """Raises :class:`CannotRun`."""
        if file.docker_url:
            self._swarm = Swarm(file.docker_url, users)
        if file.ctfd_database_url:
            self._records = Records(file.ctfd_database_url)

    @property
    def swarm(self) -> Swarm:
        if self._swarm is None:
            raise Unsupported(Hook.GROUND_TRUTH)
        return self._swarm

    @property
    def records(self) -> Records:
        if self._records is None:
            raise Unsupported(Hook.RECORDED_FLAG)
        return self._records

    @property
    def machines(self) -> int:
        """How many there are; 0 where it is not shown."""
        return 0 if self._swarm is None else self._swarm.nodes

    def sweep(self) -> None:
        """As :meth:`Swarm.sweep`."""
        if self._swarm is not None:
            self._swarm.sweep()

    def close(self) -> list[str] | None:
        """Let go of both; returns what is left, None where it is not shown."""
        swarm, self._swarm = self._swarm, None
        records, self._records = self._records, None
        if records is not None:
            records.close()
        if swarm is None:
            return None
        try:
            return swarm.left()
        finally:
            swarm.close()
