"""A small backend that keeps the whole contract in plain dictionaries, and ways to break it.

It has nothing in common with ``engines/cre``: scenarios that only fit our own engine would show
here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, cast

from conformance.harness import LITTLE_DISK_MB, Challenges, Options
from conformance.spec.crash import Life
from engines.audit import Action, ContainerEvent, audit_detail
from engines.bulk_stop import InstanceSelection
from engines.clock import VirtualClock
from engines.contract import (
    ActionResult,
    Addressing,
    Capabilities,
    Code,
    ContainerBackend,
    ExtendMode,
    InstanceStatus,
    Isolation,
    Scope,
    StartResult,
    account_key,
    validate_ids,
)
from engines.errors import BackendUnavailable
from engines.web.overview import HistoryQuery
from reference.inside import LIMITS, Wall
from reference.limits import End, StartRate
from reference.machine import NOTHING_DONE, Container, Machine, MortalMachine, inner_of

CHALLENGES = Challenges(
    first=7,
    second=8,
    unknown=999,
    hidden=9,
    missing_image=10,
    exits_at_once=11,
    exits_own_port=11,
    subdomain=8,
    own_port=7,
    egress=12,
    read_only=13,
    capable=14,
    limits=LIMITS,
    limited=15,
    ended=16,
    several_ports=17,
    warm=18,
    companion=19,
    slow_companion=20,
    dying_companion=21,
    little_disk=22,
    paired_ports=23,
    one_connection=24,
    flag_file=25,
    names={
        7: "First",
        8: "Second",
        12: "Egress",
        13: "Read-only",
        14: "Capable",
        15: "Limited",
        16: "Ended",
        17: "Several ports",
        18: "Warm",
        19: "Companion",
        20: "Slow companion",
        21: "Dying companion",
        22: "Little disk",
        23: "Paired ports",
        24: "One connection",
        25: "Flag in a file",
    },
)
FIRST_PORT = 20001
ANY_NUMBER = 10_000
"""Ports there are unless a scenario wants few."""
STEP = 900
GRACE = 600
LAPSE = 1
RETRY_SECONDS = 10.0
NEVER_START = (CHALLENGES.missing_image, CHALLENGES.exits_at_once, CHALLENGES.dying_companion)

log = logging.getLogger(__name__)

Key = tuple[str, int]
"""Account and challenge."""


class NotLetIn(Exception):
    """The machine does not let the user in."""


@dataclass
class Record:
    """One live, or expired but not yet removed, instance."""

    user_id: int
    team_id: int | None
    challenge_id: int
    container: Container
    started_at: datetime
    expires_at: datetime
    extensions: int = 0
    owner: int = 0
    """Which of the owners that the account's number has had."""
    edition: int = 0
    """Which of the challenges that the challenge's number has had."""


@dataclass
class Tables:
    """What the records are kept in, for all processes."""

    replaced: bool = False
    """Whether somebody has put others in their place, which cannot be used."""


class ReferenceBackend(ContainerBackend):
    """The contract on a :class:`Machine`."""

    extend_mode = ExtendMode.ADDITIVE
    known: Mapping[int, str] = CHALLENGES.names
    missing_walls: frozenset[Wall] = frozenset()
    grace = timedelta(seconds=GRACE)
    site = 0
    """Which of the sites that share the machine it belongs to."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.clock = VirtualClock()
        self.machine = Machine()
        self.records: dict[Key, Record] = {}
        self.ended: dict[Key, tuple[Record, datetime]] = {}
        """What each account last had of each challenge, and when its container ended."""
        self.owners: dict[str, int] = {}
        """How often an account's number was given again."""
        self.editions: dict[int, int] = {}
        """How often a challenge's number was given again."""
        self.waiting: list[Container] = []
        """The warm pool."""
        window = timedelta(seconds=options.start_window_seconds)
        self.rate = StartRate(options.start_limit, window)
        self.calls = StartRate(options.calls_per_minute or 0, timedelta(seconds=60))
        self.end = End.after(options.ends_in_seconds, self.clock.now())
        self.first_end = End.after(options.challenge_ends_in_seconds, self.clock.now())
        """Of the first challenge alone."""
        self.ports = range(FIRST_PORT, FIRST_PORT + (options.port_count or ANY_NUMBER))
        self.doubts: list[object] = []
        """Launches whose container no record knows yet, and perhaps never will."""
        self.under_way: list[object] = []
        """Those of them that this process is at work on."""
        self.lock: AbstractContextManager[object] = threading.RLock()
        self.events: list[ContainerEvent] = []
        self.tables = Tables()
        self.room: int | None = None
        """How many more changes may be recorded; None for any number."""
        self.barred: set[int] = set()
        """Users whom the machine does not let in."""
        self.pause: Callable[[], None] = lambda: None
        """Called before and after each call and each part of the worker's round."""
        self.began = time.perf_counter()
        """When the call at work began."""
        self.life: Life | None = None
        """Of a process that is to die; None for one that is not."""

    def another(self) -> ReferenceBackend:
        """As another process has it: the state and the machine are shared."""
        other = type(self)(self.options)
        other.clock, other.machine, other.lock = self.clock, self.machine, self.lock
        other.records, other.waiting, other.events = self.records, self.waiting, self.events
        other.ended, other.owners, other.editions = self.ended, self.owners, self.editions
        other.barred = self.barred
        other.rate, other.end, other.doubts = self.rate, self.end, self.doubts
        other.first_end = self.first_end
        other.tables = self.tables
        other.look_at_tables()
        return other

    def another_site(self) -> ReferenceBackend:
        """A site beside this one: the machine is shared, the state is not."""
        other = type(self)(self.options)
        other.clock, other.machine = self.clock, self.machine
        other.site = self.site + 1
        return other

    def on_machine_ahead(self, seconds: float) -> ReferenceBackend:
        """As a process has it whose machine's clock is ahead: it goes by the one all share."""
        return self.another()

    def dying(self, boundary: int) -> ReferenceBackend:
        """As a process has it that dies at a boundary: before or after the machine does something,
        and before something is recorded."""
        doomed = self.another()
        doomed.life = Life(boundary)
        doomed.machine = cast(Machine, MortalMachine(self.machine, doomed.life))
        return doomed

    @property
    def name(self) -> str:
        return "reference"

    @property
    def capabilities(self) -> Capabilities:
        reset = self.extend_mode is ExtendMode.RESET
        return Capabilities(
            scope=Scope.PER_CHALLENGE,
            extend=self.extend_mode,
            addressing=frozenset({Addressing.HOST_PORT, Addressing.SUBDOMAIN}),
            ready_on_start=True,
            detects_loss=True,
            teams=True,
            multi_node=True,
            account_limit=self.options.account_limit,
            max_extensions=self.options.max_extensions,
            timeout_seconds=self.options.timeout_seconds,
            extension_seconds=self.options.timeout_seconds if reset else STEP,
            isolation=frozenset(Isolation),
            flag_grace_seconds=GRACE,
            lapse_seconds=LAPSE,
        )

    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        validate_ids(user_id, challenge_id, team_id)
        with self.machine.turnstile.passing(), self.call():
            try:
                self.let_in(user_id)
                result, action = self.start(user_id, challenge_id, team_id)
            except NotLetIn:
                result = StartResult(False, "Log in again", code=Code.UNAUTHENTICATED)
                action = Action.START_FAILED
            except BackendUnavailable:
                result, action = self.start_broke_off(), Action.START_FAILED
            self.audit(
                action, result.code, user_id, challenge_id, team_id, **self.why(challenge_id)
            )
            return result

    def why(self, challenge_id: int) -> dict[str, str]:
        """What an event of a start says of a challenge that cannot work."""
        return {"reason": "exit code 1"} if challenge_id == CHALLENGES.exits_at_once else {}

    def extend_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> ActionResult:
        validate_ids(user_id, challenge_id, team_id)
        times: dict[str, str] = {}
        with self.call():
            try:
                self.let_in(user_id)
                result = self.extend(user_id, challenge_id, team_id, times)
            except NotLetIn:
                result = self.not_let_in()
            except BackendUnavailable:
                result = self.broke_off()
            action = Action.EXTENDED if result.ok else Action.EXTEND_FAILED
            self.audit(action, result.code, user_id, challenge_id, team_id, **times)
            return result

    def stop_instance(
        self,
        user_id: int,
        challenge_id: int,
        team_id: int | None = None,
        auto_cleanup: bool = False,
    ) -> ActionResult:
        validate_ids(user_id, challenge_id, team_id)
        with self.call():
            try:
                self.let_in(user_id)
                result = self.stop(user_id, challenge_id, team_id)
            except NotLetIn:
                result = self.not_let_in()
            except BackendUnavailable:
                result = self.broke_off()
            if auto_cleanup and result.code is Code.NOT_FOUND:
                return ActionResult(True, "Nothing to clean up", code=Code.OK)
            done = Action.EXPIRED if auto_cleanup else Action.STOPPED
            action = done if result.ok else Action.STOP_FAILED
            self.audit(action, result.code, user_id, challenge_id, team_id)
            return result

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        validate_ids(user_id, challenge_id, team_id)
        with self.lock:
            if user_id in self.barred:
                raise BackendUnavailable("the machine does not let this user in")
            record = self.live(user_id, challenge_id, team_id)
            return None if record is None else self.describe(record)

    def holds(self, user_id: int, challenge_id: int, team_id: int | None = None) -> bool:
        validate_ids(user_id, challenge_id, team_id)
        with self.lock:
            known = (account_key(user_id, team_id), challenge_id) in self.records
            return known or bool(self.doubts)

    def last_known(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        validate_ids(user_id, challenge_id, team_id)
        with self.lock:
            record = self.records.get((account_key(user_id, team_id), challenge_id))
            if record is None or record.expires_at <= self.clock.now() or self.orphaned(record):
                return None
            return self.describe(record)

    def may_be_challenge(self, challenge_id: int) -> bool:
        return challenge_id in self.known or self.never_starts(challenge_id)

    def throttle(self, user_id: int, team_id: int | None = None) -> float | None:
        with self.lock:
            account, now = self.counted_as(user_id, team_id), self.clock.now()
            wait = self.calls.wait(account, now)
            if wait is None:
                self.calls.count(account, now)
            return wait

    def counted_as(self, user_id: int, team_id: int | None) -> str:
        """Whose calls over HTTP a call counts towards."""
        return account_key(user_id, team_id)

    def why_ended(self, user_id: int, challenge_id: int, team_id: int | None = None) -> str | None:
        account = account_key(user_id, team_id)
        for event in reversed(self.events):
            if (account_key(event.user_id, event.team_id), event.challenge_id) == (
                account,
                challenge_id,
            ):
                full = event.action is Action.DISK_FULL
                return "It had written more than it may" if full else None
        return None

    def watch(self) -> int:
        """End what has written more than it may; returns how many."""
        with self.lock:
            full = [
                record
                for (_, challenge_id), record in self.records.items()
                if challenge_id == CHALLENGES.little_disk
                and record.container.written_mb > LITTLE_DISK_MB
            ]
            for record in full:
                self.lose(record, Action.DISK_FULL)
        return len(full)

    def expire_due(self) -> int:
        self.read()
        removed = 0
        with self.lock:
            for record in list(self.records.values()):
                if record.expires_at <= self.clock.now():
                    try:
                        self.expire(record)
                    except BackendUnavailable:
                        continue
                    removed += 1
        return removed

    def reconcile(self) -> int:
        with self.lock:
            self.tell_of_others()
            try:
                for record in list(self.records.values()):
                    expired = record.expires_at <= self.clock.now()
                    if not expired and self.orphaned(record):
                        self.lose(record, Action.ORPHANED)
                    elif not expired and not self.alive(record):
                        self.lose(record)
                return self.clear_doubt()
            except BackendUnavailable:
                return 0

    def refill(self) -> int:
        """Have the warm pool as full as there is room; returns how many were made."""
        made = 0
        with self.lock:
            self.clear_pool()
            wanted = 0 if self.over(CHALLENGES.warm) else self.options.warm
            while len(self.waiting) < wanted and not self.full(None):
                self.waiting.append(self.launch(CHALLENGES.warm))
                self.recorded()
                made += 1
        return made

    @contextmanager
    def call(self) -> Iterator[None]:
        """One call at a time, and how long it takes."""
        self.pause()
        with self.lock:
            self.began = time.perf_counter()
            yield
        self.pause()

    # What the breakages override.

    def look_at_tables(self) -> None:
        """Put right, when a process begins, what is not as it must be."""
        self.tables.replaced = False

    def read(self) -> None:
        """Whatever is done begins with the records."""
        if self.tables.replaced:
            raise BackendUnavailable("these tables are not ours")

    def let_in(self, user_id: int) -> None:
        """Ask the machine as this user.

        Raises:
            NotLetIn: it does not let the user in.
        """
        if user_id in self.barred:
            raise NotLetIn

    def not_let_in(self) -> ActionResult:
        return ActionResult(False, "Log in again", code=Code.UNAUTHENTICATED)

    def took(self) -> int:
        """Milliseconds since the call began."""
        return round((time.perf_counter() - self.began) * 1000)

    def note(self) -> None:
        """Make room for one more change of the records."""
        if self.life is not None:
            self.life.boundary()
        if self.room is not None:
            self.room -= 1
            if self.room < 0:
                raise BackendUnavailable("there is no room")

    def start_broke_off(self) -> StartResult:
        return StartResult(
            *(False, "Out of reach"),
            code=Code.UNAVAILABLE,
            retry_after=RETRY_SECONDS,
            definite=self.machine.fault in (None, *NOTHING_DONE),
        )

    def broke_off(self) -> ActionResult:
        return ActionResult(
            *(False, "Out of reach"),
            code=Code.UNAVAILABLE,
            retry_after=RETRY_SECONDS,
            definite=self.machine.fault in (None, *NOTHING_DONE),
        )

    def stop(self, user_id: int, challenge_id: int, team_id: int | None) -> ActionResult:
        record = self.live(user_id, challenge_id, team_id)
        if record is None:
            return ActionResult(False, "Nothing is running", code=Code.NOT_FOUND)
        self.drop(record)
        return ActionResult(True, "Container stopped", code=Code.OK)

    def start(
        self, user_id: int, challenge_id: int, team_id: int | None
    ) -> tuple[StartResult, Action]:
        self.read()
        self.machine.ask()
        failure = self.refusal(user_id, challenge_id, team_id)
        if failure is not None:
            return failure, Action.START_FAILED
        record = self.live(user_id, challenge_id, team_id)
        if record is not None:
            told = dict(self.describe(record))
            again = StartResult(True, "Already running", told, code=Code.ALREADY_RUNNING)
            return again, Action.START_REPEATED
        told = dict(self.describe(self.begin(user_id, challenge_id, team_id)))
        return StartResult(True, "Container started", told, code=Code.OK), Action.STARTED

    def begin(self, user_id: int, challenge_id: int, team_id: int | None) -> Record:
        self.note()
        now = self.clock.now()
        container = self.take(challenge_id) or self.launch(challenge_id)
        expires_at = self.last(now + timedelta(seconds=self.options.timeout_seconds), challenge_id)
        record = Record(user_id, team_id, challenge_id, container, now, expires_at)
        container.once = challenge_id == CHALLENGES.one_connection
        container.flag_in_file = challenge_id == CHALLENGES.flag_file
        container.flag_in_environment = not container.flag_in_file
        record.owner = self.owners.get(account_key(user_id, team_id), 0)
        record.edition = self.editions.get(challenge_id, 0)
        self.records[account_key(user_id, team_id), challenge_id] = record
        self.recorded()
        self.rate.count(self.rated(user_id, team_id), now)
        return record

    def take(self, challenge_id: int) -> Container | None:
        """A container of the warm pool, when one is ready."""
        if challenge_id != CHALLENGES.warm:
            return None
        self.clear_pool()
        return self.waiting.pop(0) if self.waiting else None

    def clear_pool(self) -> None:
        """Remove what waits and is of no use: dead, made of an image that has changed since, or
        for a challenge that is over."""
        over = self.over(CHALLENGES.warm)
        for container in list(self.waiting):
            old = container.image != self.machine.image
            if over or old or self.died_waiting(container):
                self.machine.remove(container.id)
                self.waiting.remove(container)

    def died_waiting(self, container: Container) -> bool:
        return not self.machine.runs(container.id)

    def launch(self, challenge_id: int | None) -> Container:
        self.clear_doubt()
        ports = self.free_ports(self.port_count(challenge_id))
        mark = object()
        self.doubts.append(mark)
        self.under_way.append(mark)
        try:
            with_companion = (CHALLENGES.companion, CHALLENGES.slow_companion)
            companion = challenge_id in with_companion
            made = self.machine.run(ports, companion=companion, site=self.site)
            if challenge_id == CHALLENGES.slow_companion:
                self.wait_for(self.machine.containers[inner_of(made.id)])
            return made
        except BackendUnavailable:
            self.under_way.remove(mark)
            raise

    def wait_for(self, companion: Container) -> None:
        """Return once a companion serves."""
        companion.serves = True

    def recorded(self) -> None:
        """What this process has launched is known now."""
        self.doubts[:] = [mark for mark in self.doubts if mark not in self.under_way]
        self.under_way.clear()

    def port_count(self, challenge_id: int | None) -> int:
        return 3 if challenge_id == CHALLENGES.several_ports else 1

    def free_ports(self, count: int) -> list[str]:
        """The lowest ports that are free; fewer than ``count`` when there are no more."""
        taken = self.taken_ports()
        return list(islice((str(port) for port in self.ports if str(port) not in taken), count))

    def taken_ports(self) -> set[str]:
        return {port for container in self.machine.containers.values() for port in container.ports}

    def clear_doubt(self) -> int:
        """Remove what a start that broke off has left; returns how many."""
        if all(mark in self.under_way for mark in self.doubts):
            return 0
        known = [record.container.id for record in self.records.values()]
        known += [each.id for each in self.waiting]
        ours = {name for name, container in self.machine.containers.items() if self.owns(container)}
        strays = ours - {*known, *map(inner_of, known)}
        for stray in strays:
            self.machine.remove(stray)
        self.doubts.clear()
        return len(strays)

    def tell_of_others(self) -> None:
        """Say that another site's containers are here too."""
        others = [
            name for name, container in self.machine.containers.items() if not self.owns(container)
        ]
        if others:
            log.warning("another site has made %s", ", ".join(others))

    def owns(self, container: Container) -> bool:
        """Whether this site has made a container."""
        return container.site == self.site

    def extend(
        self, user_id: int, challenge_id: int, team_id: int | None, times: dict[str, str]
    ) -> ActionResult:
        record = self.live(user_id, challenge_id, team_id)
        if record is None:
            return ActionResult(False, "Nothing is running", code=Code.NOT_FOUND)
        if record.extensions >= self.options.max_extensions:
            return ActionResult(False, "Maximum extensions reached", code=Code.EXTENSION_LIMIT)
        self.note()
        self.machine.renew()
        times["old_expiry"] = record.expires_at.isoformat()
        record.expires_at = self.last(self.later(record), challenge_id)
        record.extensions += 1
        times["new_expiry"] = record.expires_at.isoformat()
        return ActionResult(True, "Container extended", code=Code.OK)

    def later(self, record: Record) -> datetime:
        if self.extend_mode is ExtendMode.RESET:
            renewed = self.clock.now() + timedelta(seconds=self.options.timeout_seconds)
            return max(record.expires_at, renewed)
        return record.expires_at + timedelta(seconds=STEP)

    def renewed(self, record: Record) -> None:
        """Follow an extension that was made past the backend."""
        record.expires_at = self.last(self.later(record), record.challenge_id)

    def shortened(self, record: Record, by: timedelta) -> None:
        """Follow a time that was cut past the backend."""
        record.expires_at -= by

    def refusal(self, user_id: int, challenge_id: int, team_id: int | None) -> StartResult | None:
        if self.never_starts(challenge_id):
            return StartResult(False, "The container did not start", code=Code.START_FAILED)
        if challenge_id not in self.known or self.over(challenge_id):
            return StartResult(False, "Not available", code=Code.CHALLENGE_UNAVAILABLE)
        account = account_key(user_id, team_id)
        for key in list(self.records):
            self.cleared(key)
        mine = [record for (owner, _), record in self.records.items() if owner == account]
        if any(each.challenge_id == challenge_id for each in mine):
            return None
        if len(mine) >= self.options.account_limit:
            names = ", ".join(self.known[each.challenge_id] for each in mine)
            return StartResult(False, f"{names} is running", code=Code.LIMIT_REACHED)
        wait = self.rate.wait(self.rated(user_id, team_id), self.clock.now())
        if wait is not None:
            return StartResult(False, "Too often", code=Code.RATE_LIMITED, retry_after=wait)
        if self.full(challenge_id):
            return StartResult(False, "All places are taken", code=Code.CAPACITY)
        return None

    def never_starts(self, challenge_id: int) -> bool:
        """Whether a part of this challenge ends at once, or has no image."""
        return challenge_id in NEVER_START

    def rated(self, user_id: int, team_id: int | None) -> str:
        """Whose start rate a start counts towards."""
        return account_key(user_id, team_id)

    def over(self, challenge_id: int) -> bool:
        ends = self.ends_of(challenge_id)
        return challenge_id == CHALLENGES.ended or any(e.passed(self.clock.now()) for e in ends)

    def last(self, expiry: datetime, challenge_id: int) -> datetime:
        """The expiry, or the end of contest or challenge when that is earlier."""
        for end in self.ends_of(challenge_id):
            expiry = end.clip(expiry)
        return expiry

    def ends_of(self, challenge_id: int) -> tuple[End, ...]:
        ending = (CHALLENGES.first, CHALLENGES.warm)
        return (self.end, self.first_end) if challenge_id in ending else (self.end,)

    def full(self, challenge_id: int | None) -> bool:
        """Whether no place is left for one more container, None being one of the pool's."""
        if challenge_id is not None:
            if challenge_id == CHALLENGES.limited and self.live_of(challenge_id) >= 1:
                return True
            if challenge_id == CHALLENGES.warm and self.waiting:
                return False
        if self.options.capacity is not None and self.held() >= self.options.capacity:
            return True
        wanted = self.port_count(challenge_id)
        return len(self.free_ports(wanted)) < wanted

    def live_of(self, challenge_id: int) -> int:
        return [record for _, record in self.records].count(challenge_id)

    def held(self) -> int:
        """How many places of the whole system are taken."""
        return len(self.records) + len(self.waiting)

    def live(self, user_id: int, challenge_id: int, team_id: int | None) -> Record | None:
        self.read()
        record = self.records.get((account_key(user_id, team_id), challenge_id))
        if record is None or record.expires_at <= self.clock.now() or self.orphaned(record):
            return None
        return record if self.alive(record) else None

    def orphaned(self, record: Record) -> bool:
        """Whether its account or its challenge is gone, whatever has the number now."""
        return self.of_another_account(record) or self.of_another_challenge(record)

    def of_another_account(self, record: Record) -> bool:
        owner = self.owners.get(account_key(record.user_id, record.team_id), 0)
        return record.owner != owner

    def of_another_challenge(self, record: Record) -> bool:
        return record.edition != self.editions.get(record.challenge_id, 0)

    def alive(self, record: Record) -> bool:
        return self.machine.runs(record.container.id)

    def cleared(self, key: tuple[str, int]) -> None:
        """Clear away a record that is expired or whose container is lost."""
        record = self.records[key]
        if record.expires_at <= self.clock.now():
            self.expire(record)
        elif self.orphaned(record):
            self.lose(record, Action.ORPHANED)
        elif not self.alive(record):
            self.lose(record)

    def lose(self, record: Record, action: Action = Action.LOST) -> None:
        why = self.why_lost(record) if action is Action.LOST else {}
        self.drop(record)
        owner = (record.user_id, record.challenge_id, record.team_id)
        self.audit(action, Code.OK, *owner, **why)

    def why_lost(self, record: Record) -> dict[str, str]:
        """What the event of a loss says of it."""
        there = record.container.id in self.machine.containers
        return {"reason": "its process died" if there else "somebody removed it"}

    def expire(self, record: Record) -> None:
        self.drop(record)
        owner = (record.user_id, record.challenge_id, record.team_id)
        self.audit(Action.EXPIRED, Code.OK, *owner)

    def drop(self, record: Record) -> None:
        self.note()
        self.machine.remove(record.container.id)
        key = account_key(record.user_id, record.team_id), record.challenge_id
        del self.records[key]
        if not self.orphaned(record):
            self.ended[key] = record, min(self.clock.now(), record.expires_at)

    def networks(self) -> set[str]:
        """Each container's own, and those that something foreign holds on to."""
        return self.machine.held | set(self.machine.containers)

    def counting_flags(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> tuple[str, ...]:
        key = account_key(user_id, team_id), challenge_id
        record, past = self.records.get(key), self.ended.get(key)
        counts = past is not None and self.clock.now() - past[1] < self.grace
        if past is None or not counts or self.another_ones(past[0]):
            before: tuple[str, ...] = ()
        else:
            before = (past[0].container.flag,)
        if record is None or self.orphaned(record) or self.outlived(record):
            return before
        return (record.container.flag, *before)

    def another_ones(self, record: Record) -> bool:
        """Whether what has ended was that of an account or challenge that is gone."""
        return self.orphaned(record)

    def outlived(self, record: Record) -> bool:
        """Whether even the grace time of what nobody has removed yet is over."""
        return self.clock.now() - record.expires_at >= self.grace

    def recorded_flag(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> str | None:
        return next(iter(self.counting_flags(user_id, challenge_id, team_id)), None)

    def shown_ports(self, record: Record) -> list[str]:
        """A pair of ports is on one number."""
        paired = record.challenge_id == CHALLENGES.paired_ports
        return record.container.ports * (2 if paired else 1)

    def describe(self, record: Record) -> InstanceStatus:
        now = max(self.clock.now(), record.started_at)
        left = (record.expires_at - now).total_seconds()
        return InstanceStatus(
            active=True,
            container_id=record.container.id,
            challenge_id=record.challenge_id,
            host=record.container.host,
            ports=self.shown_ports(record),
            started_at=record.started_at.isoformat(),
            expires_at=record.expires_at.isoformat(),
            remaining_seconds=int(left),
            extension_count=record.extensions,
            max_extensions=self.options.max_extensions,
            backend=self.name,
        )

    def audit(
        self,
        action: Action,
        code: Code,
        user_id: int,
        challenge_id: int,
        team_id: int | None,
        **metadata: Any,
    ) -> None:
        self.events.append(
            ContainerEvent(
                at=self.clock.now(),
                backend=self.name,
                user_id=user_id,
                team_id=team_id,
                challenge_id=challenge_id,
                action=action,
                code=code,
                duration_ms=self.took(),
                metadata={**self.actor(), **metadata},
            )
        )

    def actor(self) -> Mapping[str, Any]:
        """Who has called, where it was for another's account."""
        return audit_detail.get()

    def listed(self) -> list[Record]:
        """What admins are shown as live."""
        now = self.clock.now()
        return [record for record in self.records.values() if record.expires_at > now]

    def meant(self, selection: InstanceSelection, record: Record) -> bool:
        """Whether an admin who ends what is selected means this one."""
        return (
            selection.challenge_id in (None, record.challenge_id)
            and selection.user_id in (None, record.user_id)
            and selection.team_id in (None, record.team_id)
        )

    def told(self, query: HistoryQuery) -> list[tuple[int, ContainerEvent]]:
        """A page of what admins are shown as having happened, and one event more."""
        numbered = list(enumerate(self.events, start=1))
        wanted = [
            (number, event)
            for number, event in reversed(numbered)
            if query.before is None or number < query.before
            if query.user_id in (None, event.user_id)
            if query.team_id in (None, event.team_id)
            if query.challenge_id in (None, event.challenge_id)
        ]
        return wanted[: query.limit + 1]


class ResettingBackend(ReferenceBackend):
    """Extends as Whale does."""

    extend_mode = ExtendMode.RESET


class BareReference(ReferenceBackend):
    """Knows the challenges a bare harness expects."""

    known: Mapping[int, str] = {1: "One (challenge 1)", 2: "Two (challenge 2)"}
