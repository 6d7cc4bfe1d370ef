"""The engine and what it shares with the adapter, broken where no subclass reaches."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from conformance.harnesses.cre import MemoryHarness
from conformance.harnesses.whale import FakeWhaleHarness
from engines import replies
from engines.audit import Action, ContainerEvent
from engines.contract import ActionResult, Code, InstanceStatus, StartResult, account_key
from engines.cre import ContainerRuntimeEngine, admission, repair
from engines.cre.admission import Admission
from engines.cre.instance_starter import InstanceStarter
from engines.cre.pool_store import PoolStore, Warm, WarmState
from engines.cre.pool_store import pool as pool_table
from engines.cre.removal import InstanceRemoval
from engines.cre.repair import Repair
from engines.cre.reservations import Reservations
from engines.cre.runtimes.memory import MemoryRuntime
from engines.cre.start_rate import count_start
from engines.cre.warm_pool import WarmPool
from engines.front import AuditedBackend, Call
from engines.state import audit_log as audit
from engines.state import given_flags
from engines.state.given_flags import GivenFlags
from engines.state.instance_store import InstanceStore
from engines.state.instances import Instance, InstanceState, SystemFull
from mutants.patched import Change

LATE = timedelta(seconds=60)


def flags_end_with_their_time(
    sound: Any, engine: ContainerRuntimeEngine, user: int, challenge: int, team: int | None = None
) -> tuple[str, ...]:
    """At the expiry a flag is wrong, grace or not."""
    row = engine._store.find(account_key(user, team), challenge)
    now = engine.clock.now()
    if row is None or row.expires_at is None or row.live(now):
        found: tuple[str, ...] = sound(engine, user, challenge, team)
        return found
    return ()


def flags_count_until_cleared(
    sound: Any, engine: ContainerRuntimeEngine, user: int, challenge: int, team: int | None = None
) -> tuple[str, ...]:
    """An expired instance's flag counts until the worker has come, however late."""
    row = engine._store.find(account_key(user, team), challenge)
    return sound(engine, user, challenge, team) if row is None else (row.flag,)


def flags_count_for_ever(
    sound: Any, flags: GivenFlags, account: str, challenge: int, mark: str | None, now: datetime
) -> tuple[str, ...]:
    """A flag that has counted once counts for ever."""
    found: tuple[str, ...] = sound(flags, account, challenge, mark, now - flags.grace * 0)
    return found or sound(flags, account, challenge, mark, now - timedelta(days=1))


def flags_are_users(
    sound: Any, engine: ContainerRuntimeEngine, user: int, challenge: int, team: int | None = None
) -> tuple[str, ...]:
    """Whose flag it is is asked of who has started the instance, and mates have none."""
    row = engine._store.find(account_key(user, team), challenge)
    found: tuple[str, ...] = sound(engine, user, challenge, team)
    return found if row is None or row.user_id == user else ()


def flags_outlive_a_team(
    sound: Any, engine: ContainerRuntimeEngine, user: int, challenge: int, team: int | None = None
) -> tuple[str, ...]:
    """Who has left a team is judged by its flag."""
    found: tuple[str, ...] = sound(engine, user, challenge, team)
    for row in engine._store.of_user(user):
        if row.challenge_id == challenge and not found:
            return (row.flag,)
    return found


def last_known_by_user(
    sound: Any, engine: ContainerRuntimeEngine, call: Call
) -> InstanceStatus | None:
    """What was last known is looked up by the user, in a team or not."""
    call.account = account_key(call.user_id, None)
    found: InstanceStatus | None = sound(engine, call)
    return found


def last_known_by_challenge(
    sound: Any, engine: ContainerRuntimeEngine, call: Call
) -> InstanceStatus | None:
    """What was last known of a challenge is told to whoever asks."""
    for row in engine._store.all():
        if row.challenge_id == call.challenge_id:
            call.account = row.account
    found: InstanceStatus | None = sound(engine, call)
    return found


def names_the_starter(
    sound: Any, call: Call, action: Action, code: Code, **metadata: Any
) -> ContainerEvent:
    """Every event of a team names the first who called for it, whoever calls."""
    event: ContainerEvent = sound(call, action, code, **metadata)
    if event.team_id is None:
        return event
    _first.setdefault(event.team_id, event.user_id)
    if action is Action.STARTED:
        _first[event.team_id] = event.user_id
    return replace(event, user_id=_first[event.team_id])


_first: dict[int, int] = {}


def names_no_team_in_refusals(
    sound: Any, call: Call, action: Action, code: Code, **metadata: Any
) -> ContainerEvent:
    """The event of a call that was refused names no team."""
    event: ContainerEvent = sound(call, action, code, **metadata)
    return event if code is Code.OK else replace(event, team_id=None)


def no_extend_in_the_last_minute(
    sound: Any, engine: ContainerRuntimeEngine, call: Call
) -> ActionResult:
    """Within its last minute an instance is not extended any more."""
    row = engine._store.find(call.account, call.challenge_id)
    if row is not None and row.expires_at and row.expires_at - engine.clock.now() < LATE:
        return replies.not_found()
    result: ActionResult = sound(engine, call)
    return result


def last_extend_late_is_one_too_many(
    sound: Any, engine: ContainerRuntimeEngine, call: Call
) -> ActionResult:
    """In the last minute the last extension is taken for one too many."""
    row = engine._store.find(call.account, call.challenge_id)
    maximum = engine.settings.cre_max_extensions
    last = row is not None and row.extension_count == maximum - 1
    if last and row and row.expires_at and row.expires_at - engine.clock.now() < LATE:
        return replies.extension_limit(maximum)
    result: ActionResult = sound(engine, call)
    return result


def late_extends_count_from_now(sound: Any, row: Instance, expires_at: datetime) -> Instance:
    """An extension late in the life gives less than its step."""
    extended: Instance = sound(row, expires_at)
    if extended.extension_count > 1 and row.expires_at is not None:
        return replace(extended, expires_at=expires_at - LATE)
    return extended


def keeps_what_the_lost_held(
    sound: Any, removal: InstanceRemoval, row: Instance, event: ContainerEvent | None
) -> bool:
    """The ports of a lost instance are never given back."""
    if event is None or event.action is not Action.LOST:
        done: bool = sound(removal, row, event)
        return done
    return removal._parts.store.delete(row, event)


def the_lost_stand_in_the_way(sound: Any, removal: InstanceRemoval, row: Instance) -> bool:
    """A lost instance counts towards the account's limit until its time is over."""
    if row.state is InstanceState.RUNNING and row.live(removal._parts.clock.now()):
        return True
    stands: bool = sound(removal, row)
    return stands


def the_lost_hold_their_place(
    sound: Any, store: InstanceStore, connection: Any, now: datetime, *conditions: Any
) -> int:
    """What was lost is counted for the whole life that it would have had."""
    count: int = sound(store, connection, now, *conditions)
    return count + _lost.get(id(store), 0)


_lost: dict[int, int] = {}


def counts_the_lost(sound: Any, removal: InstanceRemoval, row: Instance) -> bool:
    """What was lost is counted for the whole life that it would have had."""
    done: bool = sound(removal, row)
    key = id(removal._parts.store)
    _lost[key] = _lost.get(key, 0) + done
    return done


def known_by_its_name(sound: Any, removal: InstanceRemoval, row: Instance) -> bool:
    """What bears an instance's name is taken for it."""
    name = removal._parts.name_of(row)
    found = removal._parts.runtime.find(removal._parts.deployment)
    if any(each.name == name and each.running for each in found):
        return True
    running: bool = sound(removal, row)
    return running


def running_again_anew(sound: Any, row: Instance) -> Instance:
    """What was put back as it was has no extension used."""
    return replace(sound(row), extension_count=0)


def running_again_with_one_more(sound: Any, row: Instance) -> Instance:
    """A call that failed counts as an extension."""
    again: Instance = sound(row)
    return replace(again, extension_count=again.extension_count + 1)


def rounds_give_extensions_back(
    sound: Any, repair: Repair, row: Instance, running: set[str]
) -> bool:
    """A round of the worker gives used extensions back."""
    if row.extension_count and row.state is InstanceState.RUNNING:
        repair._parts.store.save(replace(row, version=row.version + 1, extension_count=0))
        return False
    done: bool = sound(repair, row, running)
    return done


def rows_before_containers(sound: Any, repair: Repair) -> int:
    """A round reads the rows first, and takes for strays what was started since."""
    rows = repair._parts.store.all()
    store = repair._parts.store
    store.all = lambda: rows  # type: ignore[method-assign] # the bug
    try:
        done: int = sound(repair)
        return done
    finally:
        del store.all  # type: ignore[method-assign] # the sound one again


def whoever_starts_is_dead(sound: Any, row: Instance, now: datetime) -> bool:
    """A round takes a start at work for one that broke off."""
    return row.state is InstanceState.STARTING or bool(sound(row, now))


def fresh_is_lost(sound: Any, repair: Repair, row: Instance, running: set[str]) -> bool:
    """What was not there when a round began to look is taken for lost."""
    live = row.state is InstanceState.RUNNING and row.live(repair._parts.clock.now())
    if live and row.container_id not in running:
        return repair._removal.clear_lost(row)
    done: bool = sound(repair, row, running)
    return done


def takes_no_time(
    sound: Any, call: Call, action: Action, code: Code, **metadata: Any
) -> ContainerEvent:
    """Every call took 0 ms."""
    return replace(sound(call, action, code, **metadata), duration_ms=0)


def refusals_take_no_time(
    sound: Any, call: Call, action: Action, code: Code, **metadata: Any
) -> ContainerEvent:
    """A call that changed nothing took 0 ms."""
    event: ContainerEvent = sound(call, action, code, **metadata)
    return event if code is Code.OK else replace(event, duration_ms=0)


def takes_seconds(
    sound: Any, call: Call, action: Action, code: Code, **metadata: Any
) -> ContainerEvent:
    """Durations are seconds, and called milliseconds."""
    event: ContainerEvent = sound(call, action, code, **metadata)
    return replace(event, duration_ms=event.duration_ms // 1000)


def takes_microseconds(
    sound: Any, call: Call, action: Action, code: Code, **metadata: Any
) -> ContainerEvent:
    """Durations are microseconds, and called milliseconds."""
    event: ContainerEvent = sound(call, action, code, **metadata)
    return replace(event, duration_ms=event.duration_ms * 1000 + 1000)


def grace_begins_at_the_removal(
    sound: Any, flags: GivenFlags, connection: Any, row: Instance, flag: str, now: datetime
) -> None:
    """An expired instance's grace time begins when the worker has come."""
    sound(flags, connection, replace(row, expires_at=None), flag, now)


def expired_is_last_known(
    sound: Any, engine: ContainerRuntimeEngine, call: Call
) -> InstanceStatus | None:
    """What has expired is told as last known until the worker has come."""
    row = engine._store.find(call.account, call.challenge_id)
    return None if row is None else engine._starter.describe(row)


def tells_the_starter_why(
    sound: Any, engine: ContainerRuntimeEngine, user: int, challenge: int, team: int | None = None
) -> str | None:
    """Why a team's instance was ended is told to who had started it."""
    said: str | None = sound(engine, user, challenge)
    return said


def logs_the_flag_of_the_lost(sound: Any, removal: InstanceRemoval, row: Instance) -> bool:
    """The flag of a lost instance is logged."""
    logging.getLogger("engines.cre").warning("lost %s with its flag %s", row.id, row.flag)
    done: bool = sound(removal, row)
    return done


def ends_a_round_early(sound: Any, removal: InstanceRemoval) -> int:
    """The worker ends what would be over before its next round."""
    parts = removal._parts
    soon = parts.clock.now() + timedelta(seconds=parts.settings.worker_seconds)
    return removal.in_parallel(removal.expire, parts.store.due(soon))


def what_was_ready_has_no_end(
    sound: Any, starter: InstanceStarter, call: Call, spec: Any, row: Any, made: Any, warm: Any
) -> StartResult:
    """An instance from the warm pool goes on when the contest is over."""
    if warm is not None:
        life = timedelta(seconds=starter._parts.settings.cre_timeout_seconds)
        starter._expiry = lambda _spec, now: now + life  # type: ignore[method-assign]
    try:
        result: StartResult = sound(starter, call, spec, row, made, warm)
    finally:
        starter.__dict__.pop("_expiry", None)
    return result


def what_was_ready_outlives_its_challenge(
    sound: Any, starter: InstanceStarter, call: Call, spec: Any, row: Any, made: Any, warm: Any
) -> StartResult:
    """An instance from the warm pool ends with the contest alone, not with its challenge."""
    ending = spec if warm is None else replace(spec, ends_at=None)
    result: StartResult = sound(starter, call, ending, row, made, warm)
    return result


def keeps_ports_of_the_replaced(sound: Any, pool: WarmPool, row: Warm) -> bool:
    """The ports of a container that left the warm pool stay taken."""
    return pool._parts.database.transact(lambda connection: pool.rows.delete(connection, row))


def keeps_what_others_hold(sound: Any, held: Reservations, owner: str, numbers: Any) -> None:
    """A start keeps the ports that it tried in vain until its instance ends."""


def rounds_take_what_is_claimed(sound: Any, repair: Repair) -> int:
    """A round knows those of the warm pool alone that are ready and not claimed."""
    rows, every = repair._pool.rows, repair._pool.rows.all
    rows.all = lambda: [  # type: ignore[method-assign]
        row for row in every() if row.state is WarmState.READY
    ]
    try:
        done: int = sound(repair)
    finally:
        rows.__dict__.pop("all", None)
    return done


def what_is_being_made_takes_no_place(sound: Any, rows: PoolStore, connection: Connection) -> int:
    """Containers of the warm pool count once they are ready."""
    ready = pool_table.c.state == WarmState.READY.value
    counted = sa.select(sa.func.count()).where(ready)
    return int(connection.execute(counted).scalar_one())


def the_next_one_hides_what_is_left(sound: Any, found: Any, fences: dict[str, int]) -> bool:
    """What an earlier instance left stays while the next one of its name is there."""
    return False


def strays_go_by_their_name(
    sound: Any, runtime: MemoryRuntime, deployment: str, name: str, fence: int
) -> Any:
    """What an earlier instance left is removed with all that bears its name."""
    return sound(runtime, deployment, name, 2**63 - 1)


def mates_are_told_as_one(sound: Any, event: ContainerEvent, of_a_challenge: bool) -> str:
    """Refused calls of mates are one event, which names the first of them."""
    same: str = sound(replace(event, user_id=event.team_id or event.user_id), of_a_challenge)
    return same


def reasons_are_told_as_one(sound: Any, event: ContainerEvent, of_a_challenge: bool) -> str:
    """Calls refused for different reasons are one event, which has the first one's code."""
    same: str = sound(replace(event, code=Code.OK), of_a_challenge)
    return same


def keeps_what_the_failed_held(
    sound: Any, removal: InstanceRemoval, row: Instance, event: ContainerEvent | None
) -> bool:
    """A start that failed keeps its ports until a later round of the worker."""
    if row.container_id is None:
        return removal._parts.store.delete(row, event)
    done: bool = sound(removal, row, event)
    return done


def keeps_what_was_warm(
    sound: Any, held: Reservations, connection: Any, owner: str, to: str
) -> None:
    """The ports of a container of the warm pool stay the pool's when it is handed out."""


def refusals_are_merged_for_ever(
    sound: Any, log: audit.AuditLog, event: ContainerEvent, **named: Any
) -> None:
    """Equal refusals are one event however much time lies between them."""
    first = log.__dict__.setdefault("first", event.at)
    sound(log, replace(event, at=first), **named)


def refusals_of_half_an_hour(
    sound: Any, log: audit.AuditLog, key: str, event: ContainerEvent
) -> bool:
    """Equal refusals are one event for half an hour."""
    row_id, begun_after = log._open.get(key), event.at - timedelta(minutes=30)
    given = {"row_id": row_id, "key": key, "now": event.at, "begun_after": begun_after}
    done: bool = log._database.transact(
        lambda connection: connection.execute(audit._COUNT, given).rowcount == 1
    )
    return done


def the_earlier_flag_is_on_record(sound: Any, flags: GivenFlags, *whose: Any) -> tuple[str, ...]:
    """Of two flags that count still the older one is on record."""
    return tuple(reversed(sound(flags, *whose)))


def no_row_is_closed(sound: Any, log: audit.AuditLog, key: str, event: ContainerEvent) -> bool:
    """An old event of equal refusals stays the one that further ones are looked for in."""
    log._open.pop(key, None)
    done: bool = sound(log, key, event)
    return done


def made_up_ids_make_rows(
    sound: Any, log: audit.AuditLog, event: ContainerEvent, **named: Any
) -> None:
    """Each id that somebody makes up has an event of its own."""
    sound(log, event, of_a_challenge=True)


def forgets_what_broke_off(
    sound: Any, starter: InstanceStarter, row: Instance, *, nothing_made: bool
) -> None:
    """A start that the engine broke off is forgotten, and holds no place any more."""
    sound(starter, row, nothing_made=True)


def certain_without_room(sound: Any, backend: AuditedBackend, *ids: Any, **named: Any) -> Any:
    """A start whose record had no room any more says for certain that it came to nothing."""
    said: StartResult = sound(backend, *ids, **named)
    return StartResult(
        *(said.ok, said.message, said.instance), code=said.code, retry_after=said.retry_after
    )


_ENGINE, _WHALE = MemoryHarness, FakeWhaleHarness


def flags_go_by_numbers(
    sound: Any, account: str, challenge: int, mark: str | None
) -> tuple[Any, ...]:
    """Flags of ended instances count for the account that has the number now."""
    by_number: tuple[Any, ...] = sound(account, challenge, mark)
    return by_number[:2]


def own_end_is_none(
    sound: Any, engine: ContainerRuntimeEngine, row: Instance, expires_at: datetime
) -> datetime:
    """An extend looks at the contest's end only."""
    end = engine._parts.end_of(None)
    return expires_at if end is None else min(expires_at, end)


def full_counts(sound: Any, gate: Admission, connection: Connection, now: datetime) -> Any:
    """A start that finds no room counts towards the start rate."""
    obstacle = sound(gate, connection, now)
    if isinstance(obstacle, SystemFull) and gate.settings.cre_start_limit:
        count_start(connection, gate.owner, now, window=gate._window)
    return obstacle


def waits_a_whole_window(sound: Any, *args: Any, window: timedelta, **named: Any) -> float | None:
    """Who has started too often is told to wait as long as a window is."""
    return None if sound(*args, window=window, **named) is None else window.total_seconds()


def outages_use_the_pool_up(sound: Any, pool: WarmPool, warm: Warm) -> bool:
    """A warm container that could not be looked at stays claimed."""
    return pool._parts.runtime.is_running(warm.container_id or "")


def the_dead_hold_the_pool(sound: Any, row: Warm, now: datetime) -> bool:
    """What somebody died over stays in the pool."""
    return False


def certain_of_stops(sound: Any, *args: Any, **named: Any) -> ActionResult:
    """A stop of which nobody knows what became is told as certain to have failed."""
    result: ActionResult = sound(*args, **named)
    ok, message = result
    return ActionResult(ok, message, code=result.code, retry_after=result.retry_after)


CHANGES: dict[str, tuple[Any, tuple[Change, ...]]] = {
    "flags_end_with_their_time": (
        _ENGINE,
        (Change(ContainerRuntimeEngine, "counting_flags", flags_end_with_their_time),),
    ),
    "flags_count_until_cleared": (
        _ENGINE,
        (Change(ContainerRuntimeEngine, "counting_flags", flags_count_until_cleared),),
    ),
    "flags_count_for_ever": (_ENGINE, (Change(GivenFlags, "counting", flags_count_for_ever),)),
    "grace_begins_at_the_removal": (
        _ENGINE,
        (Change(GivenFlags, "end", grace_begins_at_the_removal),),
    ),
    "expired_is_last_known": (
        _ENGINE,
        (Change(ContainerRuntimeEngine, "_last_known", expired_is_last_known),),
    ),
    "tells_the_starter_why": (
        _ENGINE,
        (Change(ContainerRuntimeEngine, "why_ended", tells_the_starter_why),),
    ),
    "logs_the_flag_of_the_lost": (
        _ENGINE,
        (Change(InstanceRemoval, "clear_lost", logs_the_flag_of_the_lost),),
    ),
    "ends_a_round_early": (_ENGINE, (Change(InstanceRemoval, "expire_due", ends_a_round_early),)),
    "what_was_ready_has_no_end": (
        _ENGINE,
        (Change(InstanceStarter, "_activate", what_was_ready_has_no_end),),
    ),
    "what_was_ready_outlives_its_challenge": (
        _ENGINE,
        (Change(InstanceStarter, "_activate", what_was_ready_outlives_its_challenge),),
    ),
    "keeps_ports_of_the_replaced": (
        _ENGINE,
        (Change(WarmPool, "_forget", keeps_ports_of_the_replaced),),
    ),
    "keeps_what_others_hold": (
        _ENGINE,
        (Change(Reservations, "give_back", keeps_what_others_hold),),
    ),
    "rounds_take_what_is_claimed": (
        _ENGINE,
        (Change(Repair, "reconcile", rounds_take_what_is_claimed),),
    ),
    "what_is_being_made_takes_no_place": (
        _ENGINE,
        (Change(PoolStore, "count", what_is_being_made_takes_no_place),),
    ),
    "strays_go_by_their_name": (
        _ENGINE,
        (Change(MemoryRuntime, "clear", strays_go_by_their_name),),
    ),
    "the_next_one_hides_what_is_left": (
        _ENGINE,
        (Change(repair, "_outlived", the_next_one_hides_what_is_left),),
    ),
    "mates_are_told_as_one": (_ENGINE, (Change(audit, "_sameness", mates_are_told_as_one),)),
    "reasons_are_told_as_one": (_ENGINE, (Change(audit, "_sameness", reasons_are_told_as_one),)),
    "keeps_what_the_failed_held": (
        _ENGINE,
        (Change(InstanceRemoval, "forget", keeps_what_the_failed_held),),
    ),
    "keeps_what_was_warm": (_ENGINE, (Change(Reservations, "hand_over", keeps_what_was_warm),)),
    "refusals_are_merged_for_ever": (
        _ENGINE,
        (Change(audit.AuditLog, "record_refusal", refusals_are_merged_for_ever),),
    ),
    "refusals_of_half_an_hour": (
        _ENGINE,
        (Change(audit.AuditLog, "_count", refusals_of_half_an_hour),),
    ),
    "the_earlier_flag_is_on_record": (
        _ENGINE,
        (Change(GivenFlags, "counting", the_earlier_flag_is_on_record),),
    ),
    "no_row_is_closed": (_ENGINE, (Change(audit.AuditLog, "_begin", no_row_is_closed),)),
    "made_up_ids_make_rows": (
        _ENGINE,
        (Change(audit.AuditLog, "record_refusal", made_up_ids_make_rows),),
    ),
    "forgets_what_broke_off": (
        _ENGINE,
        (Change(InstanceStarter, "_give_up", forgets_what_broke_off),),
    ),
    "certain_without_room": (
        _ENGINE,
        (Change(AuditedBackend, "start_instance", certain_without_room),),
    ),
    "flags_are_users": (
        _ENGINE,
        (Change(ContainerRuntimeEngine, "counting_flags", flags_are_users),),
    ),
    "flags_outlive_a_team": (
        _ENGINE,
        (Change(ContainerRuntimeEngine, "counting_flags", flags_outlive_a_team),),
    ),
    "last_known_by_user": (
        _ENGINE,
        (Change(ContainerRuntimeEngine, "_last_known", last_known_by_user),),
    ),
    "last_known_by_challenge": (
        _ENGINE,
        (Change(ContainerRuntimeEngine, "_last_known", last_known_by_challenge),),
    ),
    "names_the_starter": (_ENGINE, (Change(Call, "event", names_the_starter),)),
    "names_no_team_in_refusals": (_ENGINE, (Change(Call, "event", names_no_team_in_refusals),)),
    "no_extend_in_the_last_minute": (
        _ENGINE,
        (Change(ContainerRuntimeEngine, "_extend", no_extend_in_the_last_minute),),
    ),
    "last_extend_late_is_one_too_many": (
        _ENGINE,
        (Change(ContainerRuntimeEngine, "_extend", last_extend_late_is_one_too_many),),
    ),
    "late_extends_count_from_now": (
        _ENGINE,
        (Change(Instance, "extended", late_extends_count_from_now),),
    ),
    "keeps_what_the_lost_held": (
        _ENGINE,
        (Change(InstanceRemoval, "forget", keeps_what_the_lost_held),),
    ),
    "the_lost_stand_in_the_way": (
        _ENGINE,
        (Change(InstanceRemoval, "clear_unless_live", the_lost_stand_in_the_way),),
    ),
    "the_lost_hold_their_place": (
        _ENGINE,
        (
            Change(InstanceStore, "occupied", the_lost_hold_their_place),
            Change(InstanceRemoval, "clear_lost", counts_the_lost),
        ),
    ),
    "known_by_its_name": (_ENGINE, (Change(InstanceRemoval, "is_running", known_by_its_name),)),
    "running_again_anew": (_ENGINE, (Change(Instance, "running_again", running_again_anew),)),
    "running_again_with_one_more": (
        _ENGINE,
        (Change(Instance, "running_again", running_again_with_one_more),),
    ),
    "rounds_give_extensions_back": (
        _ENGINE,
        (Change(Repair, "_put_right", rounds_give_extensions_back),),
    ),
    "adapter_running_again_anew": (
        _WHALE,
        (Change(Instance, "running_again", running_again_anew),),
    ),
    "rows_before_containers": (_ENGINE, (Change(Repair, "reconcile", rows_before_containers),)),
    "whoever_starts_is_dead": (_ENGINE, (Change(Instance, "abandoned", whoever_starts_is_dead),)),
    "adapter_whoever_starts_is_dead": (
        _WHALE,
        (Change(Instance, "abandoned", whoever_starts_is_dead),),
    ),
    "fresh_is_lost": (_ENGINE, (Change(Repair, "_put_right", fresh_is_lost),)),
    "takes_no_time": (_ENGINE, (Change(Call, "event", takes_no_time),)),
    "refusals_take_no_time": (_ENGINE, (Change(Call, "event", refusals_take_no_time),)),
    "takes_seconds": (_ENGINE, (Change(Call, "event", takes_seconds),)),
    "takes_microseconds": (_ENGINE, (Change(Call, "event", takes_microseconds),)),
    "adapter_takes_no_time": (_WHALE, (Change(Call, "event", takes_no_time),)),
    "flags_go_by_numbers": (_ENGINE, (Change(given_flags, "_of", flags_go_by_numbers),)),
    "own_end_is_none": (
        _ENGINE,
        (Change(ContainerRuntimeEngine, "_not_beyond_the_end", own_end_is_none),),
    ),
    "full_counts": (_ENGINE, (Change(Admission, "__call__", full_counts),)),
    "waits_a_whole_window": (_ENGINE, (Change(admission, "too_soon", waits_a_whole_window),)),
    "outages_use_the_pool_up": (
        _ENGINE,
        (Change(WarmPool, "alive", outages_use_the_pool_up),),
    ),
    "the_dead_hold_the_pool": (_ENGINE, (Change(Warm, "abandoned", the_dead_hold_the_pool),)),
    "certain_of_stops": (
        _ENGINE,
        (Change(AuditedBackend, "stop_instance", certain_of_stops),),
    ),
}
