"""What a scenario works with: the watched backend, the players, and the hooks it asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from conformance.harness import (
    LONGEST_ANSWER_SECONDS,
    FaultKind,
    Hook,
    Lockout,
    Outside,
    Player,
    Trial,
    Unsupported,
    Worker,
    World,
)
from conformance.spec.crash import ProcessDied
from conformance.spec.redaction import Flag
from conformance.spec.shape import RuleBroken
from conformance.spec.trace import HarnessFault, Trace
from conformance.spec.watch import WatchedBackend
from engines.audit import ContainerEvent
from engines.contract import (
    ActionResult,
    Capabilities,
    ContainerBackend,
    InstanceStatus,
    StartResult,
)

if TYPE_CHECKING:
    from conformance.spec.web import Web
    from engines.web.overview import Overview

_T = TypeVar("_T")

FLAG_PATH = "/cgi-bin/flag"
FLAG_FILE_PATH = "/flag.txt"
COMPANION_PATH = "/cgi-bin/inner"


class ScenarioContext:
    """One scenario's world under observation; the fixture ``world`` gives one.

    A hook the scenario did not ask for is refused, and a hook that fails is an error of the
    harness, never of the backend.
    """

    def __init__(self, inner: World, trace: Trace, hooks: frozenset[Hook]) -> None:
        self._inner = inner
        self._trace = trace
        self._hooks = hooks
        self.backend = WatchedBackend(inner.backend, trace)
        self.challenges = inner.challenges
        self.first = inner.challenges.first
        self.second = inner.challenges.second
        self.alice, self.bob, self.carol = inner.players[:3]
        self.mates = inner.mates
        self.known_as = inner.known_as
        self.faults = tuple(kind for kind in FaultKind if kind in inner.faults)
        self.answers_within = min(inner.answers_within, LONGEST_ANSWER_SECONDS)

    def __repr__(self) -> str:
        return "world"

    @property
    def capabilities(self) -> Capabilities:
        return self.backend.capabilities

    # The four calls, said with players.

    def start(self, player: Player, challenge: int) -> StartResult:
        return self.backend.start_instance(player.user_id, challenge, player.team_id)

    def extend(self, player: Player, challenge: int) -> ActionResult:
        return self.backend.extend_instance(player.user_id, challenge, player.team_id)

    def stop(self, player: Player, challenge: int) -> ActionResult:
        return self.backend.stop_instance(player.user_id, challenge, player.team_id)

    def clean_up(self, player: Player, challenge: int) -> ActionResult:
        """Stop as the worker does."""
        return self.backend.stop_instance(
            player.user_id, challenge, player.team_id, auto_cleanup=True
        )

    def status(self, player: Player, challenge: int) -> InstanceStatus | None:
        return self.backend.get_instance_status(player.user_id, challenge, player.team_id)

    def last_known(self, player: Player, challenge: int) -> InstanceStatus | None:
        return self.backend.last_known(player.user_id, challenge, player.team_id)

    def name_of(self, challenge: int) -> str | None:
        """What players know the challenge by, when the harness tells it."""
        return self.challenges.names.get(challenge)

    @contextmanager
    def web(self, front: Callable[[ContainerBackend], Any] | None = None) -> Iterator[Web]:
        """The endpoints over this backend, served on loopback inside this block.

        ``front`` puts something between the two: :class:`conformance.spec.web.Passing`.
        """
        from conformance.spec.web import served  # Flask is loaded where it is needed only

        shown: Overview | None = None
        with suppress(Unsupported):
            shown = self._inner.overview()
        tested = self._inner.backend
        served_over = tested if front is None else front(tested)
        with served(served_over, self.backend, shown) as web:
            self._trace.note("· the endpoints are served")
            yield web

    # Hooks.

    def advance(self, seconds: float) -> None:
        """Move the backend's time on."""
        self._hook(Hook.CLOCK, lambda: self._inner.advance(seconds))
        self._trace.note(f"· the clock moves on by {seconds:g} s")

    def drifted(self) -> float:
        """Seconds that the backend's time has moved by itself."""
        return self._inner.drifted()

    def run_worker(self) -> None:
        """Run whatever removes expired instances once."""
        try:
            self._allow(Hook.WORKER)
            with self.backend.underway("worker"):
                self._inner.run_worker()
        except (Unsupported, HarnessFault):
            raise
        except Exception as error:
            raise RuleBroken("EXPIRY-012", f"the worker raised {type(error).__name__}") from error
        self._trace.note("· the worker has run")

    def worker(self) -> Worker:
        return self._hook(Hook.WORKER_THREAD, self._inner.worker)

    def events(self) -> list[ContainerEvent]:
        """The audit log, oldest first."""
        events = self._hook(Hook.AUDIT, self._inner.events)
        self._trace.note(f"· the audit log holds {[event.action.value for event in events]}")
        return events

    def running(self) -> set[str]:
        """Ids of the containers that really run."""
        running = self._hook(Hook.GROUND_TRUTH, self._inner.running)
        self._trace.note(f"· really running: {sorted(running) or 'nothing'}")
        return running

    def recorded_flag(self, player: Player, challenge: int) -> Flag:
        """The flag a submission is compared with."""
        value = self._hook(Hook.RECORDED_FLAG, lambda: self._inner.recorded_flag(player, challenge))
        return self._trace.secrets.flag(value)

    def still_counts(self, player: Player, challenge: int, flag: Flag) -> bool:
        """Whether a flag is the one that a submission is compared with; not where there is none."""

        def ask() -> str | None:
            try:
                return self._inner.recorded_flag(player, challenge)
            except LookupError:
                return None

        value = self._hook(Hook.RECORDED_FLAG, ask)
        self._trace.note(f"· {'a' if value else 'no'} flag counts for {player} now")
        return value is not None and self._trace.secrets.flag(value) == flag

    def counts(self, player: Player, challenge: int, flag: Flag) -> bool:
        """Whether a submission with this flag would be right."""
        values = self._hook(
            Hook.COUNTED_FLAGS, lambda: self._inner.counted_flags(player, challenge)
        )
        self._trace.note(f"· {len(values)} flags count for {player} now")
        return flag in {self._trace.secrets.flag(value) for value in values}

    def recorded_by(self, backend: ContainerBackend, player: Player, challenge: int) -> Flag | None:
        """The flag that a submission is compared with, as another backend or a front says."""
        value = backend.recorded_flag(player.user_id, challenge, player.team_id)
        return None if value is None else self._trace.secrets.flag(value)

    def counted_by(
        self, backend: ContainerBackend, player: Player, challenge: int
    ) -> frozenset[Flag]:
        """The flags that another backend than the one under test says are right for a player."""
        values = backend.counting_flags(player.user_id, challenge, player.team_id)
        return frozenset(self._trace.secrets.flag(value) for value in values)

    def answers(self, instance: InstanceStatus) -> bool:
        """Whether a player's request to the instance is answered."""
        body = self._hook(Hook.FETCH, lambda: self._inner.fetch(instance))
        self._trace.note(f"· {_address(instance)} {'answers' if body is not None else 'is silent'}")
        return body is not None

    def companion_answers(self, instance: InstanceStatus) -> bool:
        """Whether the instance reaches its companion by name."""
        body = self._hook(Hook.FETCH, lambda: self._inner.fetch(instance, COMPANION_PATH))
        self._trace.note(f"· the companion {'answers' if body else 'is silent'}")
        return bool(body)

    def flag_inside(self, instance: InstanceStatus, path: str = FLAG_PATH) -> Flag:
        """The value of FLAG in the container, asked for over its address; of the file that has it
        with :data:`FLAG_FILE_PATH`."""
        body = self._hook(Hook.FETCH, lambda: self._inner.fetch(instance, path))
        self._trace.note(f"· {_address(instance)}{path} {'answers' if body else 'is silent'}")
        if body is None:
            raise RuleBroken("REACH-001", f"{_address(instance)} did not tell its flag")
        return self._trace.secrets.flag(body.strip())

    def tried(self, instance: InstanceStatus, trial: Trial, *arguments: str) -> dict[str, str]:
        """What a program inside the instance says of a trial: the second word by the first."""
        said = self._hook(Hook.INSIDE, lambda: self._inner.inside(instance, trial, *arguments))
        self._trace.note(f"· inside {_address(instance)}: {trial.value} {' '.join(arguments)}")
        pairs = [line.split() for line in said.splitlines()]
        if not pairs or any(len(pair) != 2 for pair in pairs):
            raise HarnessFault(f"the program {trial.value} inside said {said[:200]!r}")
        return {first.rstrip(":"): second for first, second in pairs}

    def reached_from(self, instance: InstanceStatus, targets: Iterable[str]) -> list[str]:
        """Those of the targets, each ``HOST:PORT``, that a program inside can connect to."""
        wanted = list(targets)
        said = self.tried(instance, Trial.REACH, *wanted)
        if set(said) != set(wanted):
            raise HarnessFault(f"asked about {wanted}, the program inside spoke of {sorted(said)}")
        return [target for target in wanted if said[target] == "reached"]

    def inner_addresses(self, instance: InstanceStatus) -> list[str]:
        """``HOST:PORT`` of the container itself, on each of its networks."""
        return self._hook(Hook.INSIDE, lambda: self._inner.inner_addresses(instance))

    @contextmanager
    def host_port(self, instance: InstanceStatus) -> Iterator[list[str]]:
        """``HOST:PORT`` of a port that the host listens on, for each of its addresses."""
        with self._lent(Hook.INSIDE, lambda: self._inner.host_port(instance)) as addresses:
            yield addresses

    @contextmanager
    def outside(self) -> Iterator[Outside]:
        """A machine that stands for the internet."""
        with self._lent(Hook.OUTSIDE, self._inner.outside) as machine:
            yield machine

    def machine_of(self, container_id: str) -> str | None:
        machine = self._hook(Hook.MACHINES, lambda: self._inner.machine_of(container_id))
        self._trace.note(f"· {container_id} runs on {machine or 'no machine'}")
        return machine

    def remove_behind(self, container_id: str) -> None:
        self._hook(Hook.REMOVE_BEHIND, lambda: self._inner.remove_behind(container_id))
        self._trace.note(f"· somebody removes container {container_id} by hand")

    def give_number_again(self, player: Player) -> None:
        self._hook(Hook.OWNERS, lambda: self._inner.give_number_again(player))
        self._trace.note(f"· the account of {player} is deleted; another one gets its number")

    def give_challenge_again(self, challenge: int) -> None:
        self._hook(Hook.NEW_CHALLENGE, lambda: self._inner.give_challenge_again(challenge))
        self._trace.note(f"· challenge {challenge} is deleted; another one gets its number")

    def write_disk(self, instance: InstanceStatus, megabytes: int) -> int:
        """Have a program inside write so much; returns how much it could."""
        written = self._hook(Hook.DISK, lambda: self._inner.write_disk(instance, megabytes))
        self._trace.note(f"· {_address(instance)} has written {written} of {megabytes} MB")
        return written

    def kill_behind(self, container_id: str) -> None:
        self._hook(Hook.KILL_BEHIND, lambda: self._inner.kill_behind(container_id))
        self._trace.note(f"· container {container_id} dies")

    def replace_behind(self, player: Player, instance: InstanceStatus) -> str:
        made = self._hook(Hook.REPLACE_BEHIND, lambda: self._inner.replace_behind(player, instance))
        self._trace.note(
            f"· {made} takes the place of {instance['container_id']}, past the backend"
        )
        return made

    def renew_behind(self, player: Player, instance: InstanceStatus) -> None:
        self._hook(Hook.RENEW_BEHIND, lambda: self._inner.renew_behind(player, instance))
        self._trace.note(f"· {player} extends {instance['container_id']} past the backend")

    def shorten_behind(self, seconds: int) -> None:
        """Every instance ends this much earlier, past the backend."""
        self._hook(Hook.SHORTEN_BEHIND, lambda: self._inner.shorten_behind(seconds))
        self._trace.note(f"· every instance ends {seconds} s earlier, past the backend")

    @contextmanager
    def locked_out(self, player: Player, why: Lockout) -> Iterator[None]:
        """What the backend stands on does not let this user in inside this block."""
        text = f"{player} is not let in ({why.value})"
        with self._while(Hook.ACCESS, lambda: self._inner.locked_out(player, why), text):
            yield

    @contextmanager
    def lured(self) -> Iterator[Callable[[], list[str]]]:
        """Requests are answered with a redirect inside this block; gives what came there."""
        with self._lent(Hook.LURE, self._inner.lured) as came:
            self.backend = WatchedBackend(self._inner.backend, self._trace)
            self._trace.note("· every request is answered with a redirect to elsewhere")
            yield lambda: self._hook(Hook.LURE, came)
        self.backend = WatchedBackend(self._inner.backend, self._trace)
        self._trace.note("· no request is redirected any more")

    @contextmanager
    def slow_answers(self, seconds: float) -> Iterator[Callable[[], int]]:
        """Requests take so long inside this block; it is given what tells how many there were."""
        slow = self._lent(Hook.SLOW_ANSWERS, lambda: self._inner.slow_answers(seconds))
        with slow as requests:
            self._trace.note(f"· each request takes {seconds:g} s from here on")
            yield lambda: self._hook(Hook.SLOW_ANSWERS, requests)
        self._trace.note("· requests are fast again")

    def interrupted(
        self,
        moment: int,
        work: Callable[[], object],
        meanwhile: Callable[[ContainerBackend], object],
    ) -> bool:
        """Do this work, and in the middle of it something else; False when it came to no such
        moment.

        ``meanwhile`` is given the backend as another process has it.
        """
        did = False

        def at_the_moment() -> None:
            nonlocal did
            did = True
            self._trace.note(f"· in the middle of it, at moment {moment}:")
            other = self._hook(Hook.MOMENTS, self._inner.another)
            meanwhile(WatchedBackend(other, self._trace))
            self._trace.note("· and it goes on:")

        doing = self._hook(Hook.MOMENTS, lambda: self._inner.amid(moment, at_the_moment))
        self._hook(Hook.MOMENTS, doing.__enter__)
        self.backend = WatchedBackend(self._inner.backend, self._trace)
        try:
            work()
        finally:
            self._hook(Hook.MOMENTS, lambda: doing.__exit__(None, None, None))
            self.backend = WatchedBackend(self._inner.backend, self._trace)
        return did

    @contextmanager
    def outage(self) -> Iterator[None]:
        """What the backend stands on refuses all requests inside this block."""
        with self._while(Hook.OUTAGE, self._inner.outage, "the backend's server is out of reach"):
            yield

    @contextmanager
    def stubborn(self, container_id: str) -> Iterator[None]:
        """The container cannot be removed inside this block."""
        text = f"container {container_id} cannot be removed"
        with self._while(Hook.STUBBORN, lambda: self._inner.stubborn(container_id), text):
            yield

    @contextmanager
    def held_network(self, container_id: str) -> Iterator[None]:
        """Something foreign is on the container's networks inside this block."""
        text = f"something foreign is on the networks of container {container_id}"
        with self._while(Hook.HELD_NETWORK, lambda: self._inner.held_network(container_id), text):
            yield

    def networks(self) -> set[str]:
        """The networks that were made for instances and are still there."""
        there = self._hook(Hook.HELD_NETWORK, self._inner.networks)
        self._trace.note(f"· networks of instances: {len(there)}")
        return there

    @contextmanager
    def fault(self, kind: FaultKind) -> Iterator[None]:
        """What the backend stands on goes wrong inside this block."""
        text = f"fault {kind.value} in what the backend stands on"
        with self._while(Hook.FAULTS, lambda: self._inner.fault(kind), text):
            yield

    @contextmanager
    def restart(self) -> Iterator[None]:
        """What the backend stands on is down inside this block; what ran before is dead."""
        text = "what the backend stands on is down, and ends what runs"
        with self._while(Hook.RESTART, self._inner.restart, text):
            yield

    @contextmanager
    def restart_live(self) -> Iterator[None]:
        """What the backend stands on is down inside this block; what ran runs on."""
        text = "what the backend stands on is down, and what runs runs on"
        with self._while(Hook.RESTART_LIVE, self._inner.restart_live, text):
            yield

    @contextmanager
    def state_full(self, after: int = 0) -> Iterator[None]:
        """The state has room for ``after`` more changes inside this block."""
        text = f"the state has room for {after} more changes"
        with self._while(Hook.STATE_FULL, lambda: self._inner.state_full(after), text):
            yield

    @contextmanager
    def replaced_tables(self, *, rows_kept: bool) -> Iterator[None]:
        """The tables of the state are others from the beginning of this block, or none."""
        manager = self._hook(
            Hook.REPLACED_TABLES, lambda: self._inner.replaced_tables(rows_kept=rows_kept)
        )
        self._hook(Hook.REPLACED_TABLES, manager.__enter__)
        others = "guessed ones with the same rows" if rows_kept else "none"
        self._trace.note(f"· the tables of the state are replaced by {others}")
        try:
            yield
        finally:
            self._hook(Hook.REPLACED_TABLES, lambda: manager.__exit__(None, None, None))

    @contextmanager
    def another_process(self) -> Iterator[None]:
        """The calls inside this block are made by another process."""
        mine = self.backend
        other = self._hook(Hook.ANOTHER_PROCESS, self._inner.another)
        self.backend = WatchedBackend(other, self._trace)
        self._trace.note("· from another process:")
        try:
            yield
        finally:
            self.backend = mine
            self._trace.note("· from the first process again:")

    @contextmanager
    def another_site(self) -> Iterator[None]:
        """All inside this block is of another site that bears the same name."""
        with self._elsewhere(Hook.ANOTHER_SITE, self._inner.another_site, "another site"):
            yield

    @contextmanager
    def machine_ahead(self, seconds: float) -> Iterator[None]:
        """All inside this block is done on another machine, whose clock is so far ahead."""
        where = f"a machine whose clock is {seconds:g} s ahead"
        with self._elsewhere(Hook.CLOCK_AHEAD, lambda: self._inner.machine_ahead(seconds), where):
            yield

    @contextmanager
    def _elsewhere(self, hook: Hook, make: Callable[[], World], where: str) -> Iterator[None]:
        here, mine = self._inner, self.backend
        self._inner = self._hook(hook, make)
        self.backend = WatchedBackend(self._inner.backend, self._trace)
        self._trace.note(f"· from {where}:")
        try:
            yield
        finally:
            self._inner, self.backend = here, mine
            self._trace.note("· from here again:")

    def dies(self, boundary: int, work: Callable[[], object]) -> bool:
        """Do this work in a process that dies at this boundary, and go on in a fresh one.

        Returns False when the work was done before it came to that boundary.
        """
        doomed = self._hook(Hook.CRASH, lambda: self._inner.dying(boundary))
        self._hook(Hook.CRASH, doomed.__enter__)
        self.backend = WatchedBackend(self._inner.backend, self._trace)
        died = False
        try:
            work()
        except ProcessDied:
            died = True
            self._trace.note(f"· the process dies at boundary {boundary} of its work")
        finally:
            self._hook(Hook.CRASH, lambda: doomed.__exit__(None, None, None))
            self.backend = WatchedBackend(self._inner.backend, self._trace)
        return died

    @contextmanager
    def behind(self, front: Callable[[ContainerBackend], ContainerBackend]) -> Iterator[None]:
        """The calls inside this block go to what ``front`` puts before the backend."""
        mine = self.backend
        self.backend = WatchedBackend(front(self._inner.backend), self._trace)
        try:
            yield
        finally:
            self.backend = mine

    def note(self, line: str) -> None:
        """Say in the trace what the scenario did by itself."""
        self._trace.note(f"· {line}")

    def port_range(self) -> range:
        """The ports there are."""
        return self._hook(Hook.PORT_RANGE, self._inner.port_range)

    def change_images(self) -> None:
        self._hook(Hook.NEW_IMAGE, self._inner.change_images)
        self._trace.note("· every image has another content")

    @contextmanager
    def slow_start(self) -> Iterator[Callable[[], int]]:
        """Starts wait for the end of this block; it is given what tells how many do."""
        with self._lent(Hook.SLOW_START, self._inner.slow_start) as waiting:
            self._trace.note("· starts take long from here on")
            yield lambda: self._hook(Hook.SLOW_START, waiting)
        self._trace.note("· starts go on")

    def try_worker(self) -> bool:
        """Run the worker once, in a round that may fail: it is the next one that must not. Returns
        whether it did not."""
        self._allow(Hook.WORKER)
        try:
            with self.backend.underway("worker"):
                self._inner.run_worker()
            self._trace.note("· the worker has run")
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker's thread outlives it
            self._trace.note(f"· the worker's round failed: {type(error).__name__}")
            return False
        return True

    @contextmanager
    def _while(
        self, hook: Hook, make: Callable[[], AbstractContextManager[None]], text: str
    ) -> Iterator[None]:
        manager = self._hook(hook, make)
        self._hook(hook, manager.__enter__)
        self._trace.note(f"· {text}")
        try:
            yield
        finally:
            self._hook(hook, lambda: manager.__exit__(None, None, None))
            self._trace.note(f"· no longer: {text}")

    @contextmanager
    def _lent(self, hook: Hook, make: Callable[[], AbstractContextManager[_T]]) -> Iterator[_T]:
        """What a hook gives for the time of a block."""
        manager = self._hook(hook, make)
        lent = self._hook(hook, manager.__enter__)
        try:
            yield lent
        finally:
            self._hook(hook, lambda: manager.__exit__(None, None, None))

    def _hook(self, hook: Hook, use: Callable[[], _T]) -> _T:
        self._allow(hook)
        try:
            return use()
        except Exception as error:
            fault = f"hook {hook.value} failed: {type(error).__name__}: {error}"
            raise HarnessFault(fault) from error

    def _allow(self, hook: Hook) -> None:
        if hook not in self._hooks:
            raise Unsupported(f"the scenario uses hook {hook.value} but did not ask for it")


def _address(instance: InstanceStatus) -> str:
    return f"{instance['host']}:{instance['ports'][0] if instance['ports'] else '?'}"
