"""Calls that are made at once, by threads or by processes, and whether their answers add up."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from random import Random
from typing import Any

from engines.contract import Code, ContainerBackend, InstanceStatus

KINDS = ("start", "start", "start", "stop", "extend", "extend", "status")
"""What is drawn from: a start more often than a stop, or little would ever run."""
REFUSALS = {
    "start": {Code.BUSY, Code.LIMIT_REACHED, Code.RATE_LIMITED},
    "extend": {Code.BUSY, Code.NOT_FOUND, Code.EXTENSION_LIMIT, Code.RATE_LIMITED},
    "stop": {Code.BUSY, Code.NOT_FOUND, Code.RATE_LIMITED},
}
"""Why a call may be refused when nothing is broken: never INTERNAL, never UNAVAILABLE."""


@dataclass(frozen=True, repr=False)
class Player:
    """Who calls, and for which team. Shown by its name alone, so that stories read well."""

    name: str
    user_id: int
    team_id: int | None = None

    @property
    def account(self) -> str:
        return f"user:{self.user_id}" if self.team_id is None else f"team:{self.team_id}"

    @property
    def ids(self) -> tuple[int, int | None]:
        return self.user_id, self.team_id

    def __repr__(self) -> str:
        return self.name

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(self.name)  # how Hypothesis prints it


@dataclass(frozen=True)
class Ask:
    """One call to make."""

    kind: str
    player: Player
    challenge: int


@dataclass(frozen=True)
class Told:
    """What came of it; ``container`` is the one a start or a status told of, by id."""

    ask: Ask
    ok: bool
    code: Code
    definite: bool = True
    container: str | None = None
    ports: tuple[str, ...] = ()


@dataclass(frozen=True)
class Quiet:
    """What there is of one account when nobody calls."""

    running: list[str]
    """Containers, by id."""
    shown: InstanceStatus | None


def draw(random: Random, players: Sequence[Player], challenges: Sequence[int]) -> Ask:
    """Any call."""
    return Ask(random.choice(KINDS), random.choice(players), random.choice(challenges))


def make(backend: ContainerBackend, ask: Ask) -> Told:
    """Make the call."""
    user_id, team_id = ask.player.ids
    if ask.kind == "status":
        shown = backend.get_instance_status(user_id, ask.challenge, team_id)
        return Told(ask, True, Code.OK, container=shown and shown["container_id"])
    if ask.kind == "start":
        started = backend.start_instance(user_id, ask.challenge, team_id)
        container, ports = (started.instance.get(key) for key in ("container_id", "ports"))
        return Told(ask, started.ok, started.code, started.definite, container, tuple(ports or ()))
    call = backend.stop_instance if ask.kind == "stop" else backend.extend_instance
    done = call(user_id, ask.challenge, team_id)
    return Told(ask, done.ok, done.code, done.definite)


def told(answers: Iterable[Told], kind: str, code: Code) -> list[Told]:
    """The answers to this kind of call that had this code."""
    return [answer for answer in answers if answer.ask.kind == kind and answer.code is code]


def assert_adds_up(before: Quiet, answers: list[Told], after: Quiet) -> None:
    """The answers of one account's calls explain how the one moment became the other."""
    for answer in answers:
        assert answer.definite, f"{answer} does not know its outcome"
        assert answer.ok or answer.code in REFUSALS[answer.ask.kind], answer
    started = [each.container for each in told(answers, "start", Code.OK)]
    again = [each.container for each in told(answers, "start", Code.ALREADY_RUNNING)]
    assert len(set(started)) == len(started), "one container was told as started twice"
    assert set(again) <= {*started, *before.running}
    stops = len(told(answers, "stop", Code.OK))
    assert len(before.running) + len(started) - stops == len(after.running)
    if stops == 0:
        assert {*started, *again} <= set(after.running)
    extends = len(told(answers, "extend", Code.OK))
    if before.running == after.running and before.shown and after.shown:
        counted = after.shown["extension_count"] - before.shown["extension_count"]
        assert counted == extends, f"{extends} extensions, {counted} counted"


Opens = Callable[[], AbstractContextManager[ContainerBackend]]
"""How a process comes by a backend of its own; goes through a pipe."""
Round = Callable[[Sequence[Sequence[Ask]]], list[Told]]
"""Has the n-th process make the n-th list of calls, and returns all answers."""


@contextmanager
def crew(opens: Opens, processes: int, threads: int = 1) -> Iterator[Round]:
    """Processes that begin their calls at one moment, each with so many threads."""
    context = multiprocessing.get_context("spawn")
    gate: Barrier = context.Barrier(processes)
    with ExitStack() as stack:
        pipes: list[Connection] = []
        for _ in range(processes):
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(opens, threads, there, gate), daemon=True)
            process.start()
            there.close()  # so that a worker that dies is noticed as the end of its pipe
            pipes.append(stack.enter_context(here))
            stack.callback(process.join, 10)
            stack.callback(here.send, None)

        def at_once(asks: Sequence[Sequence[Ask]]) -> list[Told]:
            for pipe, share in zip(pipes, asks, strict=True):
                pipe.send(share)
            return [answer for pipe in pipes for answer in pipe.recv()]

        yield at_once


def dealt(asks: Sequence[Ask], processes: int) -> list[Sequence[Ask]]:
    """The calls dealt out like cards."""
    return [asks[number::processes] for number in range(processes)]


def _work(opens: Opens, threads: int, pipe: Connection, gate: Barrier) -> None:
    """A process: makes the calls it is sent, together with the others, until it is sent None."""
    with opens() as backend, ThreadPoolExecutor(threads) as pool:
        while (asks := pipe.recv()) is not None:
            gate.wait()
            pipe.send(list(pool.map(partial(make, backend), asks)))
