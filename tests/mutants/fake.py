"""Fake Whales that are untrue to docs/whale-wire.md, in front of them the sound adapter.

Each is one part of the fake, replaced while its harness is open or its sessions are replayed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fake_whale.whale import player
from fake_whale.whale.cleaner import Cleaner
from fake_whale.whale.control import Control, ControlResult
from fake_whale.whale.database import Record, Transaction
from fake_whale.whale.engine import SimulatedEngine
from fake_whale.whale.errors import WhaleRefusal
from fake_whale.whale.locks import Lock, Locks
from fake_whale.whale.player import ShownContainer
from fake_whale.whale.redis import Redis
from fake_whale.whale.routing import FrpRouter
from fake_whale.whale.settings import WhaleSettings
from fake_whale.whale.visit import Visit
from mutants.patched import Change


def orphans(sound: Any, engine: SimulatedEngine, whale_id: str) -> None:
    """DELETE drops the record and leaves the service."""
    service = engine.find(whale_id)
    sound(engine, whale_id)
    if service is not None:
        engine._services.append(service)


def adds_on_renewal(sound: Any, transaction: Transaction, record: Record, start: float) -> Record:
    """PATCH adds a whole time-out to what is left, and does not set it back to one."""
    renewed: Record = sound(transaction, record, start)
    changed = replace(renewed, start_time=record.start_time + 3600)
    transaction._database.update(changed)
    return changed


def counts_on(
    sound: Any, control: Control, transaction: Transaction, user: int, of: str
) -> ControlResult:
    """A restarted container goes on with the renewals of the one before it."""
    before = _renewals.pop(user, 0)
    outcome: ControlResult = sound(control, transaction, user, of)
    record = transaction.of_user(user)
    if record is not None:
        transaction._database.update(replace(record, renew_count=before))
        transaction._commit()
    return outcome


_renewals: dict[int, int] = {}


def remembers(sound: Any, transaction: Transaction, user_id: int) -> None:
    """Beside :func:`counts_on`: what a user has used up is kept."""
    record = transaction.of_user(user_id)
    _renewals[user_id] = 0 if record is None else record.renew_count
    sound(transaction, user_id)


def admits_no_more_than_it_says(sound: Any, settings: WhaleSettings, key: str, default: int) -> int:
    """A limit of N admits N, where the real Whale admits one more."""
    value = int(sound(settings, key, default))
    return value - 1 if key == "docker_max_container_count" else value


def shows_any_challenge(
    sound: Any, visit: Visit, challenge_id: str | None
) -> ShownContainer | None:
    """GET tells of what runs, whichever challenge it was asked about."""
    record = visit.transaction.of_user(visit.user().id)
    asked = challenge_id if record is None else str(record.challenge_id)
    found: ShownContainer | None = sound(visit, asked)
    return found


def one_flag(sound: Any, control: Control, transaction: Transaction, *rest: Any) -> Record:
    """Every container has the flag of its challenge."""
    record: Record = sound(control, transaction, *rest)
    shared = replace(record, flag=f"flag{{challenge-{record.challenge_id}}}")
    transaction._database.update(shared)
    transaction._commit()
    return shared


def answers_when_missing(sound: Any, engine: SimulatedEngine, order: Any) -> Any:
    """An image that is not there runs all the same."""
    known = replace(order, image="chal:1") if "no-such" in order.image else order
    return sound(engine, known)


def one_port(sound: Any, redis: Redis) -> int:
    """Ports are looked at and not taken: the first is everybody's."""
    port = sound(redis)
    redis.give_port_back(port)
    return min(redis._ports)


def leaves_no_lock(sound: Any, locks: Locks, lock: Lock) -> None:
    """A refused write gives its lock back at once."""
    locks.release(lock)


def no_window(sound: Any, visit: Visit) -> None:
    """A session may write as often as it likes."""


def cleans_late(sound: Any, cleaner: Cleaner, until: float) -> float | None:
    """The cleaner comes once a minute."""
    beat: float | None = sound(cleaner, until - 50.0)
    return None if beat is None else beat + 50.0


def escapes_names(sound: Any, visit: Visit, record: Record) -> tuple[str, str]:
    """Names of challenges are escaped, as they should be and are not."""
    name, category = sound(visit, record)
    return name.replace(" ", "&#32;"), category


def shows_the_standard_port(sound: Any, router: FrpRouter, record: Record) -> str:
    """Port 80 is left out of a link, as a browser would."""
    return str(sound(router, record)).replace(":80/", "/")


def refuses_mates(sound: Any, visit: Visit, challenge_id: str | None) -> ControlResult:
    """A team has one container: a mate's POST is refused while it runs."""
    user = visit.user()
    for record in visit.machine.database.rows():
        mate = visit.machine.directory.user(record.user_id)
        if mate and mate.id != user.id and mate.team_id and mate.team_id == user.team_id:
            raise WhaleRefusal(403, "Container creation failed")
    outcome: ControlResult = sound(visit, challenge_id)
    return outcome


UNTRUTHS: dict[str, tuple[Change, ...]] = {
    "fake_orphans": (Change(SimulatedEngine, "remove", orphans),),
    "fake_adds_on_renewal": (Change(Transaction, "renew", adds_on_renewal),),
    "fake_counts_on": (
        Change(Control, "add", counts_on),
        Change(Transaction, "delete_of_user", remembers),
    ),
    "fake_admits_n": (Change(WhaleSettings, "integer", admits_no_more_than_it_says),),
    "fake_shows_any_challenge": (Change(player, "status", shows_any_challenge),),
    "fake_one_flag": (Change(Control, "_insert", one_flag),),
    "fake_runs_what_is_missing": (Change(SimulatedEngine, "create", answers_when_missing),),
    "fake_one_port": (Change(Redis, "take_port", one_port),),
    "fake_leaves_no_lock": (Change(Locks, "abandon", leaves_no_lock),),
    "fake_no_window": (Change(player, "_open_window", no_window),),
    "fake_cleans_late": (Change(Cleaner, "next_beat", cleans_late),),
    "fake_escapes_names": (Change(player, "_challenge_of", escapes_names),),
    "fake_hides_port_80": (Change(FrpRouter, "access", shows_the_standard_port),),
    "fake_refuses_mates": (Change(player, "start", refuses_mates),),
}
