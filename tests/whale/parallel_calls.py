"""Calls that are made at once, by threads or by processes; processes import only this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from random import Random

from whale.rig import Player, credentials

from engines.contract import Code
from engines.settings import Settings
from engines.whale import WhaleAPIManager

KINDS = ("start", "start", "start", "stop", "extend", "extend", "status")
"""What is drawn from: a start more often than a stop, or little would ever run."""


@dataclass(frozen=True)
class Ask:
    """One call to make."""

    kind: str
    player: Player
    challenge: int


@dataclass(frozen=True)
class Told:
    """What came of it; ``uuid`` is the container a start or a status told of."""

    ask: Ask
    ok: bool
    code: Code
    definite: bool = True
    uuid: str | None = None


def draw(random: Random, players: Sequence[Player], challenges: Sequence[int]) -> Ask:
    """Any call."""
    return Ask(random.choice(KINDS), random.choice(players), random.choice(challenges))


def make(manager: WhaleAPIManager, ask: Ask) -> Told:
    """Make the call."""
    user_id, team_id = ask.player.ids
    if ask.kind == "status":
        shown = manager.get_instance_status(user_id, ask.challenge, team_id)
        return Told(ask, True, Code.OK, uuid=shown and shown["container_id"])
    if ask.kind == "start":
        started = manager.start_instance(user_id, ask.challenge, team_id)
        uuid = started.instance.get("container_id")
        return Told(ask, started.ok, started.code, started.definite, uuid)
    call = manager.stop_instance if ask.kind == "stop" else manager.extend_instance
    done = call(user_id, ask.challenge, team_id)
    return Told(ask, done.ok, done.code, done.definite)


def work(settings: Settings, players: Sequence[Player], pipe: Connection, gate: Barrier) -> None:
    """A worker process: makes the calls it is sent, together with the others, until sent None."""
    manager = WhaleAPIManager(settings, credentials=credentials(players))
    while (asks := pipe.recv()) is not None:
        gate.wait()
        pipe.send([make(manager, ask) for ask in asks])
    manager.close()
