"""Whale's own work: add, remove and renew a container, with all it leaves behind when a part fails.

The order of the steps is the point: what has been committed when a later step fails is what remains
(docs/whale-wire.md, "Faults").
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from random import Random
from typing import NamedTuple

from . import mariadb
from .clock import EpochClock
from .database import Record, Transaction
from .directory import Directory
from .engine import Engine, ServiceOrder
from .errors import ContainerEngineError, MechanismError
from .flavours import Existing, Flavour, LockedPart, Remaining, StopManner, Undone
from .redis import Redis
from .routing import ProxyRouter
from .settings import Value, WhaleSettings
from .templating import SeededUuid, render
from .world import User

REMOVAL_TRIES = 3
FLAG_TEMPLATE = '{{ "flag{"+uuid.uuid4()|string+"}" }}'
"""Whale's own, where the setting is empty."""
GLOBAL_LOCK = "ctfd_whale_global_container_lock"
GLOBAL_LOCK_SECONDS = {LockedPart.RECORD: 10.0, LockedPart.EVERYTHING: 120.0}
BUSY = "Server busy, please retry."
DESTROY_FAILED = "Failed when destroying instance, please contact admin!"


class ControlResult(NamedTuple):
    """Whether it worked, and what Whale says about it."""

    ok: bool
    message: str


DESTROYED = ControlResult(True, "Container destroyed")


class Control:
    """Works on one user's containers, as the request's transaction sees them."""

    def __init__(
        self,
        settings: WhaleSettings,
        directory: Directory,
        redis: Redis,
        engine: Engine,
        clock: EpochClock,
        random: Random,
        router: Callable[[], ProxyRouter],
        changed: Callable[[], None],
        flavour: Flavour,
        pause: Callable[[], object],
    ) -> None:
        self.flavour = flavour
        self._pause = pause
        self._settings = settings
        self._directory = directory
        self._redis = redis
        self._engine = engine
        self._clock = clock
        self._random = random
        self._router = router
        self._changed = changed

    def of(self, transaction: Transaction, user: User, challenge_id: str | None) -> list[Record]:
        """The records that a call of ``user`` for that challenge is about, oldest first."""
        if not self.flavour.per_challenge:
            return transaction.of_users({user.id})
        if challenge_id is None:
            return []
        owners = self._directory.mates(user) if self.flavour.per_team else {user.id}
        return transaction.of_users(owners, mariadb.equal_to(challenge_id))

    def add(self, transaction: Transaction, user: User, challenge_id: str) -> ControlResult:
        """Start a container; raises :class:`MechanismError` where the real one answers 500."""
        flavour = self.flavour
        with contextlib.ExitStack() as locked:
            if not locked.enter_context(self._guarded(LockedPart.RECORD, LockedPart.EVERYTHING)):
                return ControlResult(False, BUSY)
            answer = self._without_starting(transaction, user, challenge_id)
            if answer is not None:
                return answer
            record = self._insert(transaction, user.id, challenge_id)
            if flavour.guard is not LockedPart.EVERYTHING:
                locked.close()
            return self._bring_up(transaction, record)

    def remove(
        self, transaction: Transaction, records: list[Record], *, asked_for: int | None = None
    ) -> ControlResult:
        """Destroy what ``records`` stand for: the first and all records of its user, or each.

        ``asked_for``: the user whose records are dropped instead, where an admin's text named
        one user to the look-up and another, or none, to the deletion.
        """
        with self._guarded(LockedPart.EVERYTHING) as free:
            if not free:
                return ControlResult(False, BUSY)
            if not records:
                return ControlResult(False, "No such container")
            if self.flavour.removal is StopManner.ONCE_EACH:
                failures = [
                    text for record in records for text in self._remove_once(transaction, record)
                ]
                return ControlResult(False, "; ".join(failures)) if failures else DESTROYED
            return self._remove_in_three_tries(transaction, records[0], asked_for)

    def _remove_in_three_tries(
        self, transaction: Transaction, record: Record, asked_for: int | None
    ) -> ControlResult:
        for _ in range(REMOVAL_TRIES):
            try:
                refused = self._router().unregister(transaction, record)
                if refused is not None:
                    return ControlResult(False, refused)
                self._engine.remove(_whale_id(record))
                self._drop(transaction, record, asked_for)
            except MechanismError:
                continue
            finally:
                self._changed()
            return DESTROYED
        return ControlResult(False, DESTROY_FAILED)

    def _remove_once(self, transaction: Transaction, record: Record) -> Iterator[str]:
        """What failed of it, in words."""
        try:
            refused = self._router().unregister(transaction, record)
        except MechanismError as error:
            refused = str(error)
        try:
            self._engine.remove(_whale_id(record))
        except ContainerEngineError as error:
            yield str(error)
        else:
            transaction.delete([record.id])
        self._changed()
        if refused is not None:
            yield refused

    def _drop(self, transaction: Transaction, record: Record, asked_for: int | None = None) -> None:
        """Drop the record, and with it all others of its kind."""
        challenge_id = record.challenge_id if self.flavour.per_challenge else None
        user_id = record.user_id if asked_for is None else asked_for
        transaction.delete_of_user(user_id, challenge_id)

    def clean(self, transaction: Transaction, expired: Record) -> ControlResult:
        """What the cleaner does about a record whose time is over."""
        challenge_id = expired.challenge_id if self.flavour.per_challenge else None
        return self.remove(transaction, transaction.of_users({expired.user_id}, challenge_id))

    def renew(self, transaction: Transaction, record: Record | None) -> ControlResult:
        """Set the time back to the full time-out, unless it has run out already."""
        if record is None:
            return ControlResult(False, "No such container")
        now = self._clock.time()
        if record.start_time + self.timeout() <= now:
            return ControlResult(False, "Invalid container")
        transaction.renew(record, now)
        return ControlResult(True, "Container Renewed")

    def timeout(self) -> int:
        """``docker_timeout`` in seconds; raises :class:`~fake_whale.whale.errors.BadSetting`."""
        return self._settings.integer("docker_timeout", 3600)

    def oldest_alive(self) -> float:
        """Start time, in epoch seconds, of a container whose time is over just now."""
        return self._settings.oldest_alive(self._clock.time())

    def remaining(self, record: Record) -> int:
        """Whale's ``remaining_time`` in seconds, counted as the flavour does."""
        elapsed = int((self._clock.time() - record.start_time) // 1)
        if self.flavour.remaining is Remaining.TRUE:
            return self.timeout() - elapsed
        left = self.timeout() - elapsed % 86_400
        return max(0, left) if self.flavour.remaining is Remaining.NOT_NEGATIVE else left

    def subdomain(self, record: Record) -> str:
        """The http name's first part, from ``template_http_subdomain``."""
        template = self._settings.text("template_http_subdomain", "{{ container.uuid }}")
        return render(template, self._row(record))

    def host(self, record: Record) -> str:
        """The http name in full."""
        suffix = self._settings.text("frp_http_domain_suffix", "")
        return f"{self.subdomain(record)}.{suffix.lstrip('.')}"

    def access(self, record: Record) -> str:
        """Whale's ``user_access``."""
        return self._router().access(record)

    def _insert(self, transaction: Transaction, user_id: int, challenge_id: str) -> Record:
        uuids = SeededUuid(self._random)
        uuid = str(uuids.uuid4())
        flag = render(
            self._settings.text("template_chall_flag", FLAG_TEMPLATE),
            {"user_id": user_id, "challenge_id": challenge_id, "uuid": uuid, "renew_count": 0},
            uuid=uuids,
            random=self._random,
            get_config=self._get_config,
        )
        return transaction.insert(user_id, challenge_id, self._clock.time(), uuid, flag)

    def _get_config(self, key: str, default: Value = None) -> Value:
        """CTFd's ``get_config``, as far as Whale's own settings go."""
        return self._settings.get(key.removeprefix("whale:"), default)

    def _row(self, record: Record) -> dict[str, object]:
        """The record as templates see it, with its user and its challenge."""
        user = self._directory.user(record.user_id)
        challenge = self._directory.challenge(record.challenge_id)
        return {
            "id": record.id,
            "user_id": record.user_id,
            "challenge_id": record.challenge_id,
            "uuid": record.uuid,
            "port": record.port,
            "renew_count": record.renew_count,
            "status": 1,
            "flag": record.flag,
            "start_time": datetime.fromtimestamp(record.start_time, timezone.utc).replace(
                tzinfo=None
            ),
            "user": user and {"id": user.id, "name": user.name, "team_id": user.team_id},
            "challenge": challenge
            and {
                "id": challenge.id,
                "name": challenge.name,
                "category": challenge.category,
                "docker_image": challenge.image,
                "redirect_type": challenge.redirect_type,
                "redirect_port": challenge.redirect_port,
                "memory_limit": challenge.memory_limit,
                "cpu_limit": challenge.cpu_limit,
            },
        }

    @contextlib.contextmanager
    def _guarded(self, *guards: LockedPart) -> Iterator[bool]:
        """Within the lock of all users where the flavour has one for this; False: not to be had."""
        if self.flavour.guard not in guards:
            yield True
            return
        seconds = GLOBAL_LOCK_SECONDS[self.flavour.guard]
        lock = self._redis.locks.acquire(GLOBAL_LOCK, hold_seconds=seconds, patience_seconds=5)
        if lock is None:
            yield False
            return
        try:
            yield True
        finally:
            self._redis.locks.release(lock)

    def _without_starting(
        self, transaction: Transaction, user: User, challenge_id: str
    ) -> ControlResult | None:
        """The answer where nothing is to be started, or None."""
        flavour = self.flavour
        exists = flavour.existing is not Existing.REPLACED and bool(
            self.of(transaction, user, challenge_id)
        )
        if exists and flavour.existing is Existing.KEPT:
            return ControlResult(True, flavour.exists)
        limit = self._settings.integer("docker_max_container_count", 1000)
        if len(transaction.alive(self.oldest_alive())) >= limit + flavour.admits_one_more:
            return ControlResult(False, "Max container count exceed.")
        if flavour.too_many_of_user:
            limit = self._settings.integer("docker_max_container_per_user", 1)
            if len(transaction.of_users({user.id})) >= limit:
                return ControlResult(False, flavour.too_many_of_user.format(limit=limit))
        return ControlResult(False, flavour.exists) if exists else None

    def _bring_up(self, transaction: Transaction, record: Record) -> ControlResult:
        undone = self.flavour.docker_failing
        if self._redis.absent:
            self._pause()  # nothing keeps others out while Docker works
        try:
            self._engine.create(self._order(record))
            undone = self.flavour.router_failing
            refused = self._router().register(transaction, record)
        except MechanismError:
            if undone is Undone.NOTHING:
                raise
            refused = self.flavour.creation_failed
        finally:
            self._changed()
        if refused is None:
            return ControlResult(True, "Container created")
        if undone is not Undone.RECORD:
            with contextlib.suppress(
                ContainerEngineError
            ):  # Whale shrugs too: the service stays behind
                self._engine.remove(_whale_id(record))
        self._drop(transaction, record)
        self._changed()
        return ControlResult(False, refused)

    def _order(self, record: Record) -> ServiceOrder:
        challenge = self._directory.challenge(record.challenge_id)
        if challenge is None or challenge.type != "dynamic_docker":
            raise ContainerEngineError("not a docker challenge")
        return ServiceOrder(
            whale_id=_whale_id(record),
            user_id=record.user_id,
            challenge_id=record.challenge_id,
            uuid=record.uuid,
            image=challenge.image,
            flag=record.flag,
            memory_limit=challenge.memory_limit,
            cpu_limit=challenge.cpu_limit,
            port=challenge.redirect_port or 0,
            challenge_name=challenge.name,
            node=self._choose_node(challenge.image or ""),
        )

    def _choose_node(self, image: str) -> str:
        nodes = str(self._settings.get("docker_swarm_nodes", "")).split(",")
        windows = any(tag.startswith("windows") for tag in image.split(":")[1:2])
        fitting = [node for node in nodes if node.startswith("windows") == windows]
        if not fitting:
            raise ContainerEngineError("no suitable node")
        chosen = self._random.choice(fitting)
        if not chosen:
            raise ContainerEngineError("Docker refuses a constraint without a value")
        return chosen


def _whale_id(record: Record) -> str:
    return f"{record.user_id}-{record.uuid}"
