"""The pretended machine that the reference backend runs its containers on."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from conformance.harness import FaultKind
from conformance.harnesses.turnstile import Turnstile
from conformance.spec.crash import Life
from engines.errors import BackendUnavailable

NODES = ("node-1", "node-2")
NOTHING_DONE = (FaultKind.UNREACHABLE, FaultKind.REFUSES_WRITES, FaultKind.LOST_REQUEST)
"""Faults in which a write has no effect."""

_T = TypeVar("_T")


def inner_of(container_id: str) -> str:
    """The id of a container's companion."""
    return f"{container_id}-inner"


@dataclass
class Container:
    """One pretended container."""

    id: str
    host: str
    ports: list[str]
    flag: str
    network: str = ""
    image: int = 0
    """How often the images had changed when it was made."""
    alive: bool = True
    serves: bool = True
    node: str = ""
    """Which of the pretended machines it runs on."""
    site: int = 0
    """Which of the sites that share the machines has made it."""
    written_mb: int = 0
    once: bool = False
    """Answers its first connection only."""
    connections: int = 0
    flag_in_file: bool = False
    flag_in_environment: bool = True


@dataclass
class Machine:
    """Where the pretended containers run."""

    containers: dict[str, Container] = field(default_factory=dict)
    fault: FaultKind | None = None
    stubborn: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    """Containers on whose network something foreign is: the network stays where it is."""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    turns: Iterator[bool] = field(default_factory=lambda: itertools.cycle((False, False, True)))
    image: int = 0
    """How often the images have changed."""
    boots: int = 0
    """How often it was restarted."""

    goes_on: threading.Event = field(default_factory=threading.Event)
    """Set at the end of the time in which it hangs."""
    patience: float | None = 0.05
    """Seconds that it is waited for while it hangs; None for as long as it does."""
    late: list[Callable[[], object]] = field(default_factory=list)
    """What it was asked for while it hung, and nobody waits for any more."""
    seconds: float = 0.0
    """How long it takes over each request."""
    requests: int = 0
    """How often it has taken its time."""
    elsewhere: list[str] | None = None
    """Where it redirects every request to, and what came there; None: it answers itself."""

    turnstile: Turnstile = field(default_factory=Turnstile)
    """Where starts are held up."""

    def odd(self) -> bool:
        """Every third time."""
        return next(self.turns)

    def restarted(self) -> None:
        """What is done at the end of a restart."""
        self.boots += 1

    def take_time(self) -> None:
        """Answer as slowly as it does, or with a redirect."""
        if self.elsewhere is not None:
            self.redirected()
            raise BackendUnavailable("the machine is elsewhere")
        if self.seconds:
            time.sleep(self.seconds)
            self.requests += 1

    def redirected(self) -> None:
        """A request was answered with a redirect, which nobody follows."""

    def ask(self) -> None:
        self.take_time()
        if self.fault is FaultKind.HANGS and not self.goes_on.wait(self.patience):
            raise BackendUnavailable("the machine says nothing")
        if self.fault is FaultKind.UNREACHABLE:
            raise BackendUnavailable("the machine is out of reach")
        if self.fault is FaultKind.GARBAGE or (self.fault is FaultKind.FUZZED and self.odd()):
            raise BackendUnavailable("the machine says what nobody understands")

    def go_on(self) -> None:
        """Do what was asked for while nothing was said."""
        self.fault = None
        self.goes_on.set()
        while self.late:
            self.late.pop()()

    def write(self, work: Callable[[], _T]) -> _T:
        self.take_time()
        if self.fault is FaultKind.HANGS and not self.goes_on.wait(self.patience):
            self.late.append(work)
            raise BackendUnavailable("the machine says nothing")
        if self.fault is FaultKind.GIVEN_UP:
            self.late.append(work)
            raise BackendUnavailable("something in front does not wait for the machine")
        if self.fault in NOTHING_DONE or (self.fault is FaultKind.FUZZED and self.odd()):
            raise BackendUnavailable("the machine did nothing")
        done = work()
        if self.fault is not None:
            raise BackendUnavailable("the machine did not say what it did")
        return done

    def run(self, ports: list[str], *, companion: bool = False, site: int = 0) -> Container:
        return self.write(lambda: self._made(ports, companion=companion, site=site))

    def renew(self) -> None:
        """Agree to a longer life; the time itself is kept by the backend."""
        self.write(lambda: None)

    def replaced(self, container_id: str) -> str:
        """Past every backend: another container takes the place of this one."""
        former = self.containers[container_id]
        made = self._made(former.ports, companion=False, site=former.site)
        self._removed(container_id)
        return made.id

    def remove(self, container_id: str) -> None:
        """Remove a container with its companion."""
        if container_id in self.stubborn or self.fault is FaultKind.BAD_GATEWAY:
            raise BackendUnavailable("the container cannot be removed")
        self.write(lambda: self._removed(container_id))

    def runs(self, container_id: str) -> bool:
        self.ask()
        found = self.containers.get(container_id)
        return found is not None and found.alive

    def _made(self, ports: list[str], *, companion: bool, site: int) -> Container:
        number = next(self.numbers)
        made = Container(
            id=f"container-{number}",
            host=f"i{number}.ctf.example.com",
            ports=ports,
            flag=f"flag{{{secrets.token_hex(16)}}}",
            network=f"network-{number}",
            image=self.image,
            node=self.node_of(number),
            site=site,
        )
        self.containers[made.id] = made
        if companion:
            inner = Container(inner_of(made.id), "inner", [], "", network=made.network)
            inner.site = site
            self.containers[inner.id] = inner
        return made

    def node_of(self, number: int) -> str:
        """Where the container of this number runs."""
        return NODES[number % len(NODES)]

    def _removed(self, container_id: str) -> None:
        for each in (container_id, inner_of(container_id)):
            self.containers.pop(each, None)


class MortalMachine:
    """A machine as a process knows it that dies: a boundary before and after each change."""

    def __init__(self, real: Machine, life: Life) -> None:
        self._real = real
        self._life = life

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def ask(self) -> None:
        self._life.goes_on()
        self._real.ask()

    def runs(self, container_id: str) -> bool:
        self._life.goes_on()
        return self._real.runs(container_id)

    def run(self, ports: list[str], *, companion: bool = False, site: int = 0) -> Container:
        return self._change(lambda: self._real.run(ports, companion=companion, site=site))

    def renew(self) -> None:
        self._change(self._real.renew)

    def remove(self, container_id: str) -> None:
        self._change(lambda: self._real.remove(container_id))

    def _change(self, change: Callable[[], _T]) -> _T:
        self._life.boundary()
        done = change()
        self._life.boundary()
        return done
