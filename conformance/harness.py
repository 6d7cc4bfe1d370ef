"""What a backend brings to the suite: a :class:`Harness`, and the :class:`World` of one scenario.

This module is the whole interface between the suite and a backend by anyone, and stays compatible
within a version of the contract; ``docs/harness.md`` leads through it step by step.

A harness lives as long as a run, or as long as one process of a run in several. For every scenario
it makes a fresh world: a backend with empty state, players, challenges, and those *hooks* it can
offer (a clock to move, the truth about what really runs, …). A scenario names the hooks and
capabilities it needs; where one is missing the result is ``not_applicable`` with the reason, never
a pass. A hook that is declared and not overridden ends the run before its first scenario.

The least there can be::

    class MyWorld(World):
        challenges = Challenges(first=1, second=2, unknown=99)

        def __init__(self, options: Options) -> None:
            self.backend = MyBackend(timeout=options.timeout_seconds)

    class MyHarness(Harness):
        kind = "my backend on its test server"

        def world(self, options: Options) -> World:
            return MyWorld(options)

It is named by an entry point in the group ``whale_ready.backends``, or as
``--backend NAME=package.module:MyHarness``: anything that can be called without arguments and
returns a harness, or a bare :class:`engines.contract.ContainerBackend`, for which
:class:`conformance.harnesses.bare.BareHarness` stands in.

What goes wrong in here is an error of the harness, never a failure of the backend: hooks may raise
anything when they cannot do what they are asked. They are called from the scenario's thread only.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from engines.audit import ContainerEvent
from engines.contract import ContainerBackend, InstanceStatus

if TYPE_CHECKING:
    from engines.web.overview import Overview

log = logging.getLogger(__name__)


class Hook(str, Enum):
    """Something a scenario may need from the harness beyond the four calls."""

    CLOCK = "clock"
    """:meth:`World.advance`"""
    CLOCK_BACK = "clock_back"
    """:meth:`World.advance` takes negative seconds: the clock is stepped back."""
    WORKER = "worker"
    """:meth:`World.run_worker`: whatever removes expired instances runs once, now."""
    AUDIT = "audit"
    """:meth:`World.events`"""
    GROUND_TRUTH = "ground_truth"
    """:meth:`World.running`: the containers that really exist, not what the backend says."""
    RECORDED_FLAG = "recorded_flag"
    """:meth:`World.recorded_flag`: the flag a submission is compared with."""
    FETCH = "fetch"
    """:meth:`World.fetch`: a player's HTTP request to an instance."""
    MACHINES = "machines"
    """:meth:`World.machine_of`: which of several machines a container really runs on."""
    REMOVE_BEHIND = "remove_behind"
    """:meth:`World.remove_behind`: an operator removes a container by hand."""
    KILL_BEHIND = "kill_behind"
    """:meth:`World.kill_behind`: a container's process dies."""
    OUTAGE = "outage"
    """:meth:`World.outage`: what the backend stands on (Docker, Whale) refuses all requests."""
    STUBBORN = "stubborn"
    """:meth:`World.stubborn`: one container cannot be removed."""
    HELD_NETWORK = "held_network"
    """:meth:`World.held_network`, :meth:`World.networks`: something of an organiser's is on an
    instance's network."""
    CAPACITY = "capacity"
    """:attr:`Options.capacity` is honoured."""
    STRICT_CAPACITY = "strict_capacity"
    """The same also against starts that come at one moment."""
    ACCOUNT_LIMIT = "account_limit"
    """:attr:`Options.account_limit` is honoured."""
    OPTIONS = "options"
    """The other fields of :class:`Options` are honoured."""
    WORKER_THREAD = "worker_thread"
    """:meth:`World.worker`: the cleanup worker can be started and stopped."""
    FAULTS = "faults"
    """:meth:`World.fault`: what the backend stands on goes wrong in one of :attr:`World.faults`."""
    INSIDE = "inside"
    """:meth:`World.inside`, :meth:`World.inner_addresses`, :meth:`World.host_port`: a program in an
    instance tries what it must not be able to."""
    OUTSIDE = "outside"
    """:meth:`World.outside`: a machine that stands for the internet."""
    RESTART = "restart"
    """:meth:`World.restart`: what the backend stands on is restarted; what ran is dead."""
    RESTART_LIVE = "restart_live"
    """:meth:`World.restart_live`: it is restarted, and what ran runs on."""
    STATE_FULL = "state_full"
    """:meth:`World.state_full`: there is no room in the database of the backend's state."""
    REPLACED_TABLES = "replaced_tables"
    """:meth:`World.replaced_tables`: the tables of the backend's state are replaced."""
    ANOTHER_PROCESS = "another_process"
    """:meth:`World.another`: the backend as another process has it."""
    START_RATE = "start_rate"
    """:attr:`Options.start_limit` is honoured."""
    CALL_RATE = "call_rate"
    """:attr:`Options.calls_per_minute` is honoured: the backend's ``throttle`` counts calls."""
    CONTEST_END = "contest_end"
    """:attr:`Options.ends_in_seconds` is honoured."""
    CHALLENGE_END = "challenge_end"
    """:attr:`Options.challenge_ends_in_seconds` is honoured."""
    PORT_RANGE = "port_range"
    """:attr:`Options.port_count` is honoured."""
    WARM_POOL = "warm_pool"
    """:attr:`Options.warm` is honoured, and the worker fills the pool."""
    NEW_IMAGE = "new_image"
    """:meth:`World.change_images`: every image has another content under the same name."""
    CRASH = "crash"
    """:meth:`World.dying`: the backend's process dies in the middle of a call."""
    SLOW_START = "slow_start"
    """:meth:`World.slow_start`: starts take long, as with an image that has to be pulled."""
    OWNERS = "owners"
    """:meth:`World.give_number_again`: an account is deleted, and another gets its number."""
    NEW_CHALLENGE = "new_challenge"
    """:meth:`World.give_challenge_again`: a challenge is deleted, and another gets its number."""
    OVERVIEW = "overview"
    """:meth:`World.overview`: what the site's admins see of all instances and events."""
    COUNTED_FLAGS = "counted_flags"
    """:meth:`World.counted_flags`: every flag that is right for a player, not only the newest."""
    ANOTHER_SITE = "another_site"
    """:meth:`World.another_site`: a site with a database of its own that bears the same name."""
    CLOCK_AHEAD = "clock_ahead"
    """:meth:`World.machine_ahead`: the backend on a machine whose clock is ahead."""
    DISK = "disk"
    """:meth:`World.write_disk`: a program in an instance writes to the disk that all share."""
    REPLACE_BEHIND = "replace_behind"
    """:meth:`World.replace_behind`: another container takes the place of an instance's own."""
    RENEW_BEHIND = "renew_behind"
    """:meth:`World.renew_behind`: a player extends an instance past the backend."""
    SHORTEN_BEHIND = "shorten_behind"
    """:meth:`World.shorten_behind`: an organiser cuts the time of instances past the backend."""
    ACCESS = "access"
    """:meth:`World.locked_out`: what the backend stands on does not let a user in."""
    LURE = "lure"
    """:meth:`World.lured`: every request of the backend is answered with a redirect elsewhere."""
    MOMENTS = "moments"
    """:meth:`World.amid`: something is done in the middle of a call or of the worker's round."""
    SLOW_ANSWERS = "slow_answers"
    """:meth:`World.slow_answers`: what the backend stands on takes its time over each request."""


LONGEST_ANSWER_SECONDS = 30.0
"""What the contract allows a call to take while what the backend stands on hangs."""


class Trial(str, Enum):
    """What a program inside an instance tries, and its answer: lines of two words.

    The suite's own image does it with the programs of these names in ``conformance/challenge``.
    """

    REACH = "reach"
    """``HOST:PORT`` for each argument: ``HOST:PORT reached`` when a TCP connection opens within a
    second, else ``HOST:PORT silent``."""
    RESOLVE = "resolve"
    """A name and the address of a name server: ``own resolved`` or ``own silent`` for the
    container's own resolver, ``server …`` for that server."""
    RIGHTS = "rights"
    """``CapInh``, ``CapPrm``, ``CapEff``, ``CapBnd``, ``CapAmb`` and ``NoNewPrivs`` as
    ``/proc/self/status`` has them."""
    SOCKETS = "sockets"
    """``PATH socket`` for every Unix socket in the file system, then ``search done``."""
    WRITE = "write"
    """``FOLDER written`` or ``FOLDER refused`` for ``/``, ``/bin``, ``/www`` and ``/tmp``."""
    NAMES = "names"
    """For each address given, ``ADDRESS NAME`` with the names, joined by commas, that the resolver
    of the container's network has for it, or ``ADDRESS silent``."""
    TRACES = "traces"
    """``SOURCE.NUMBER WORD`` for every word the program reads of its whereabouts. Sources:
    ``hostname``, ``hosts`` (names only), ``resolver`` (domains to search), ``environment`` (without
    ``FLAG``), ``cgroup`` and ``mount`` (the paths of either)."""
    SPEND = "spend"
    """``memory`` (MiB), ``processes`` or ``files``, and how many to have at one time: the same
    word and how many could be had."""


LITTLE_DISK_MB = 8
"""What :attr:`Challenges.little_disk` may write."""


class Lockout(str, Enum):
    """Why a user is not let in by what the backend stands on."""

    NO_ACCESS = "no_access"
    """The backend has nothing to show for the user."""
    REVOKED = "revoked"
    """What the backend shows for the user is not taken any more."""
    LOGGED_OUT = "logged_out"
    """The backend shows the user's own login, as a browser has it, and that has ended."""


class FaultKind(str, Enum):
    """How what the backend stands on (Docker, Whale) goes wrong."""

    UNREACHABLE = "unreachable"
    """Nothing gets through."""
    REFUSES_WRITES = "refuses_writes"
    """Reads work; every write is refused with an error, and nothing of it is done."""
    LOST_ANSWER = "lost_answer"
    """Writes are carried out, but the connection breaks before their answer arrives."""
    LOST_REQUEST = "lost_request"
    """Writes break off before anything of them is done."""
    GARBAGE = "garbage"
    """All is carried out, but no answer can be understood."""
    BAD_GATEWAY = "bad_gateway"
    """Something in front answers writes: a start or an extend was carried out, a stop was not."""
    GIVEN_UP = "given_up"
    """Something in front gives up on writes at once; reads work. At the end of the block all that
    was asked for is carried out, although nobody waits for it any more."""
    FUZZED = "fuzzed"
    """Some of it is carried out, and every answer is anything at all, another thing each time:
    wrong in types, depth, range, encoding, framing or time, a few of them lies."""
    HANGS = "hangs"
    """Nothing is answered and nothing is refused. At the end of the block all that was asked for is
    carried out, whether or not anybody waits for it."""


@dataclass(frozen=True)
class Options:
    """How a scenario wants its backend set up."""

    account_limit: int = 1
    """Live instances per account."""
    capacity: int | None = None
    """Live instances in the whole system; None for as many as the backend likes."""
    timeout_seconds: int = 3600
    max_extensions: int = 5
    start_limit: int = 0
    """Starts one account may make within :attr:`start_window_seconds`; 0 for no limit."""
    start_window_seconds: int = 300
    calls_per_minute: int | None = None
    """Changing calls one account may make over HTTP; None for as many as the backend likes."""
    ends_in_seconds: int | None = None
    """When the contest ends, by the backend's clock as it stands; None for never."""
    challenge_ends_in_seconds: int | None = None
    """When the first challenge and that of the warm pool end, and no other, by the same clock;
    None for never."""
    port_count: int | None = None
    """How many ports there are to publish on; None for as many as the backend likes."""
    warm: int = 0
    """Ready containers kept waiting for starts of :attr:`Challenges.warm`."""


@dataclass(frozen=True)
class Player:
    """Who calls: ``backend.start_instance(player.user_id, challenge, player.team_id)``."""

    user_id: int
    team_id: int | None = None

    def leaves(self) -> Player:
        """The same user without a team."""
        return Player(self.user_id)

    def joins(self, team_id: int) -> Player:
        """The same user in another team."""
        return Player(self.user_id, team_id)


@dataclass(frozen=True)
class Limits:
    """What a container may use."""

    memory_mb: int
    processes: int
    open_files: int


@dataclass(frozen=True)
class Outside:
    """A machine on the far side of the host, as instances would reach it if nothing kept them.

    It accepts TCP connections on two addresses and answers DNS queries for one name on the first.
    """

    internet: str
    """``HOST:PORT`` at an address of no private network."""
    beside: str
    """``HOST:PORT`` at an address of a private network that is no network of instances."""
    name_server: str
    name: str


@dataclass(frozen=True)
class Challenges:
    """Challenge ids by the part they play; None where the backend cannot offer one."""

    first: int
    second: int
    unknown: int
    """Positive, but no challenge has it."""
    hidden: int | None = None
    missing_image: int | None = None
    exits_at_once: int | None = None
    exits_own_port: int | None = None
    """Exits at once and has a port of its own, on a host shared by all; may be the one before."""
    subdomain: int | None = None
    """Answers under a host name of its own; may be one of the above."""
    own_port: int | None = None
    """Answers on a port of its own, on a host shared by all; may be one of the above."""
    egress: int | None = None
    """Asks for egress; ``first`` does not."""
    read_only: int | None = None
    """Asks for a read-only root."""
    capable: int | None = None
    """Asks for the capability ``NET_BIND_SERVICE`` and no other; ``first`` asks for none."""
    limits: Limits | None = None
    """What ``first`` may use."""
    limited: int | None = None
    """May have one live instance in the whole system."""
    ended: int | None = None
    """Its time is over."""
    several_ports: int | None = None
    """Has two TCP ports and one UDP port, in this order; the first answers HTTP."""
    warm: int | None = None
    """The one of :attr:`Options.warm`."""
    companion: int | None = None
    """Has a further container called ``inner``; ``/cgi-bin/inner`` shows what that one serves."""
    slow_companion: int | None = None
    """The same, but ``inner`` serves a second after it runs, and the challenge waits for it."""
    dying_companion: int | None = None
    """The same, but ``inner`` ends at once."""
    paired_ports: int | None = None
    """Has a TCP and a UDP port of one number, in this order; the first answers HTTP."""
    one_connection: int | None = None
    """Answers one connection, a request for ``/``, and ends."""
    flag_file: int | None = None
    """Has its flag in a file, which ``/flag.txt`` shows, instead of in ``FLAG``."""
    little_disk: int | None = None
    """May write :data:`LITTLE_DISK_MB` to the disk."""
    names: Mapping[int, str] = field(default_factory=dict)
    """What players know a challenge by, for messages that may say the name instead of the id."""

    @property
    def ids(self) -> list[int]:
        """Those there are, each once."""
        parts = [value for part, value in vars(self).items() if part != "unknown"]
        return list(dict.fromkeys(value for value in parts if isinstance(value, int)))


@dataclass(frozen=True)
class KnownDeviation:
    """A rule that this backend is known to break, where neither harness nor adapter can mend it.

    The failure is then counted and named as a *known deviation*: it is no pass, and does not fail
    the run. It must be true: where the rule is kept after all, the run fails (``docs/gating.md``).
    """

    rule: str
    """One exact id, as ``CONC-019``."""
    reason: str
    """What the backend does instead, and what an organiser does about it."""
    source: str
    """Address of where this is described: ``https://…``."""
    expires: date
    """The last day on which it holds, in UTC."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Where it applies: ranges as of PEP 440, by names of :meth:`Harness.versions`, all of which
    must hold. Empty for every version; outside of them the rule is asked as ever."""


class Unsupported(Exception):
    """A hook was used that the harness did not declare: an error of the suite, not the backend."""


class Worker(Protocol):
    """The cleanup worker as a running thing, as :mod:`engines.cleanup_worker` has it."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    @property
    def running(self) -> bool: ...


class World(ABC):
    """One scenario's backend with empty state, and the hooks around it.

    Only :attr:`backend` and :attr:`challenges` must be there. Override what else the backend can
    offer, and declare the :class:`Hook` of each such method in :attr:`Harness.hooks`.
    """

    backend: ContainerBackend
    """What is under test; scenarios see nothing of it but the contract."""
    challenges: Challenges
    """What can be played. Scenarios for parts that are None do not apply."""
    players: tuple[Player, ...] = (Player(1), Player(2), Player(3))
    """At least three users, no two of one account, who hold nothing."""
    mates: tuple[Player, ...] = ()
    """Four users: two of one team, then two of another. Empty when there are no teams."""
    faults: frozenset[FaultKind] = frozenset()
    """The kinds that :meth:`fault` knows."""
    known_as: frozenset[str] = frozenset()
    """Names of the deployment that players' programs must not come across."""
    answers_within: float = LONGEST_ANSWER_SECONDS
    """Seconds of real time that a call may take in :attr:`FaultKind.HANGS`. What the contract
    allows at most; less where the backend under test is set to give up sooner, so that a run need
    not wait so long for one that never does."""

    def crowd(self, number: int) -> tuple[Player, ...]:
        """So many accounts for a load test, or as many as there are; no two of one account."""
        return self.players[:number]

    def advance(self, seconds: float) -> None:
        """Move the backend's time on; no scenario ever sleeps to an expiry.

        All that the backend stores and compares has to follow: expiry, audit, limits. Deadlines
        of sockets stay in real time. Nothing is removed by this alone (:meth:`run_worker`).
        """
        raise Unsupported(Hook.CLOCK)

    def drifted(self) -> float:
        """Seconds that the backend's time has moved by itself: beside :meth:`advance`, and where it
        is not real time."""
        return 0.0

    def run_worker(self) -> None:
        """Run whatever removes expired instances once, and return when it is done.

        What it raises is a failure of the backend (EXPIRY-012), not of the harness.
        """
        raise Unsupported(Hook.WORKER)

    def worker(self) -> Worker:
        """The worker itself, which is not running yet."""
        raise Unsupported(Hook.WORKER_THREAD)

    def events(self) -> list[ContainerEvent]:
        """The audit log of this world, oldest first."""
        raise Unsupported(Hook.AUDIT)

    def running(self) -> set[str]:
        """Ids, as in ``container_id``, of the containers that really run for this world.

        Ask what they run on, never the backend: that it forgets some is what this is there to
        show. What another world or another run has is left out.
        """
        raise Unsupported(Hook.GROUND_TRUTH)

    def containers(self) -> set[str]:
        """The same, as Docker knows them by id or name; where there is no Docker, no such thing."""
        return self.running()

    def recorded_flag(self, player: Player, challenge_id: int) -> str:
        """The flag that a submission of this player would be compared with.

        Raises:
            LookupError: none is recorded.
        """
        raise Unsupported(Hook.RECORDED_FLAG)

    def overview(self) -> Overview:
        """What the endpoints for admins (docs/endpoints.md) show of this backend."""
        raise Unsupported(Hook.OVERVIEW)

    def counted_flags(self, player: Player, challenge_id: int) -> frozenset[str]:
        """Every flag that a submission of this player would be right with now; none: empty."""
        raise Unsupported(Hook.COUNTED_FLAGS)

    def fetch(self, instance: InstanceStatus, path: str = "/") -> str | None:
        """The body a player gets from the instance's first port, or None when nobody answers.

        ``/cgi-bin/flag`` gives the value of ``FLAG`` inside the container. An answer by something
        in front of the instance (a proxy's "not found") is None.
        """
        raise Unsupported(Hook.FETCH)

    def machine_of(self, container_id: str) -> str | None:
        """Name of the machine that runs this container; None when none does."""
        raise Unsupported(Hook.MACHINES)

    def remove_behind(self, container_id: str) -> None:
        """Remove a container as an operator does by hand; the backend hears nothing of it."""
        raise Unsupported(Hook.REMOVE_BEHIND)

    def kill_behind(self, container_id: str) -> None:
        """End a container's process and return when it has ended; what is left of it stays."""
        raise Unsupported(Hook.KILL_BEHIND)

    def give_number_again(self, player: Player) -> None:
        """Delete the player's account past the backend, and let the next one have its number: from
        now on the player is somebody else."""
        raise Unsupported(Hook.OWNERS)

    def give_challenge_again(self, challenge_id: int) -> None:
        """Delete a challenge past the backend, and let another one, which is set up the same, have
        its number: from now on the number means that one."""
        raise Unsupported(Hook.NEW_CHALLENGE)

    def replace_behind(self, player: Player, instance: InstanceStatus) -> str:
        """Past the backend, have another container of the player and challenge take the place of
        this one, which goes; returns its id, as ``container_id`` would have it."""
        raise Unsupported(Hook.REPLACE_BEHIND)

    def renew_behind(self, player: Player, instance: InstanceStatus) -> None:
        """Extend an instance past the backend, as on the own page of what it stands on."""
        raise Unsupported(Hook.RENEW_BEHIND)

    def shorten_behind(self, seconds: int) -> None:
        """Have every instance end this much earlier, by a setting of what the backend stands on."""
        raise Unsupported(Hook.SHORTEN_BEHIND)

    def locked_out(self, player: Player, why: Lockout) -> AbstractContextManager[None]:
        """Inside the block what the backend stands on does not let this user in."""
        raise Unsupported(Hook.ACCESS)

    def lured(self) -> AbstractContextManager[Callable[[], list[str]]]:
        """Inside the block every request of :attr:`backend` to what it stands on is answered with a
        redirect (301, 302, 303, 307 and 308 in turn) to a server of the harness's own. What the
        block is given tells of each request that came there, and of all that it carried."""
        raise Unsupported(Hook.LURE)

    def amid(self, moment: int, work: Callable[[], object]) -> AbstractContextManager[None]:
        """Inside the block ``work`` is done once, in the middle of what :attr:`backend` or
        :meth:`run_worker` does: at its moment ``moment``, counted from 0, just before or after it
        asks or changes something outside of the process.

        What ``work`` calls is another process's (:meth:`another`), or the worker of one. No moment
        lies within a transaction. A block that comes to fewer moments does no work.
        """
        raise Unsupported(Hook.MOMENTS)

    def slow_answers(self, seconds: float) -> AbstractContextManager[Callable[[], int]]:
        """Inside the block what the backend stands on takes so long, or longer, over each request;
        what it is given tells how many have been answered."""
        raise Unsupported(Hook.SLOW_ANSWERS)

    def outage(self) -> AbstractContextManager[None]:
        """Inside the block all requests to what the backend stands on are refused at once."""
        raise Unsupported(Hook.OUTAGE)

    def stubborn(self, container_id: str) -> AbstractContextManager[None]:
        """Inside the block every attempt to remove this container is refused."""
        raise Unsupported(Hook.STUBBORN)

    def held_network(self, container_id: str) -> AbstractContextManager[None]:
        """Inside the block something that the backend has never heard of is on every network of
        this container, as a tool for debugging may be, and keeps them from being removed."""
        raise Unsupported(Hook.HELD_NETWORK)

    def networks(self) -> set[str]:
        """Ids of the networks that were made for instances and are still there."""
        raise Unsupported(Hook.HELD_NETWORK)

    def fault(self, kind: FaultKind) -> AbstractContextManager[None]:
        """What the backend stands on goes wrong in this way, for all calls to it."""
        raise Unsupported(Hook.FAULTS)

    def inside(self, instance: InstanceStatus, trial: Trial, *arguments: str) -> str:
        """What a program in the instance's container says of a trial."""
        raise Unsupported(Hook.INSIDE)

    def inner_addresses(self, instance: InstanceStatus) -> list[str]:
        """``HOST:PORT`` of the container itself, on each of its networks; its first port."""
        raise Unsupported(Hook.INSIDE)

    def host_port(self, instance: InstanceStatus) -> AbstractContextManager[list[str]]:
        """A port that the instance's host listens on at all of its addresses, as the engine's own
        control port may; gives ``HOST:PORT`` for each address that the instance could try."""
        raise Unsupported(Hook.INSIDE)

    def outside(self) -> AbstractContextManager[Outside]:
        """Inside the block there is a machine that stands for the internet."""
        raise Unsupported(Hook.OUTSIDE)

    def restart(self) -> AbstractContextManager[None]:
        """What the backend stands on is down inside the block and back after it; what ran before
        is dead."""
        raise Unsupported(Hook.RESTART)

    def restart_live(self) -> AbstractContextManager[None]:
        """The same, but what ran runs on."""
        raise Unsupported(Hook.RESTART_LIVE)

    def state_full(self, after: int) -> AbstractContextManager[None]:
        """Inside the block ``after`` more changes of the state find room, and no further one."""
        raise Unsupported(Hook.STATE_FULL)

    def replaced_tables(self, *, rows_kept: bool) -> AbstractContextManager[None]:
        """When the block begins, the tables of the state are dropped; with ``rows_kept`` others
        with the same rows are there in their place, their columns guessed and without keys. Those
        that had no row are not made again.

        Nothing of this may be left for the next world.
        """
        raise Unsupported(Hook.REPLACED_TABLES)

    def another(self) -> ContainerBackend:
        """The same backend as another process has it: only the state, and what both stand on, is
        shared. The world closes it."""
        raise Unsupported(Hook.ANOTHER_PROCESS)

    def another_site(self) -> World:
        """A site whose settings are a copy of this one's, its deployment's name too, and whose
        state is its own and empty.

        What both stand on is shared, and so is the clock: :meth:`running` tells of both sites'
        containers. This world closes it.
        """
        raise Unsupported(Hook.ANOTHER_SITE)

    def machine_ahead(self, seconds: float) -> World:
        """This world as a process has it on another machine, whose own clock is so far ahead of the
        time in this world. All else is shared, and this world closes it."""
        raise Unsupported(Hook.CLOCK_AHEAD)

    def write_disk(self, instance: InstanceStatus, megabytes: int) -> int:
        """Have a program in the instance write so much to its file system, in several files.

        Returns how many megabytes it could write.
        """
        raise Unsupported(Hook.DISK)

    def port_range(self) -> range:
        """The ports there are, with :attr:`Options.port_count`."""
        raise Unsupported(Hook.PORT_RANGE)

    def change_images(self) -> None:
        """From now on every image has another content under the name it had."""
        raise Unsupported(Hook.NEW_IMAGE)

    def dying(self, boundary: int) -> AbstractContextManager[None]:
        """Inside the block :attr:`backend`, and what :meth:`run_worker` runs, is a process that
        dies at its boundary ``boundary``, counted from 0; after the block it is another, fresh one.

        A boundary is a moment just before or just after something is changed outside of the
        process: a request to what it stands on, a commit. At its death
        :class:`conformance.spec.crash.ProcessDied` comes out of the call, and whatever the dead
        process goes on to do has no effect. How it dies is the harness's choice: a child that is
        killed, or parts in this process that refuse the dead
        (``conformance/harnesses/mortal.py``).
        """
        raise Unsupported(Hook.CRASH)

    def slow_start(self) -> AbstractContextManager[Callable[[], int]]:
        """Inside the block no start gets its container: it waits for the end of the block, and then
        goes on, the youngest first. What the block is given tells how many are waiting."""
        raise Unsupported(Hook.SLOW_START)

    def exchanges(self) -> list[str]:
        """What went over the wire in this world, one line each, secrets redacted."""
        return []

    def close(self) -> None:
        """Remove everything this world made, and let go of the backend.

        As it stands it stops what players and mates may have, which is only enough for a backend
        that holds nothing open and does not lose track. Override it with something that does not
        ask the backend under test.
        """
        accounts = dict.fromkeys(
            (*self.players, *self.mates, *(mate.leaves() for mate in self.mates))
        )
        for player in accounts:
            for challenge in self.challenges.ids:
                try:
                    self.backend.stop_instance(player.user_id, challenge, player.team_id)
                except Exception as error:  # noqa: BLE001 - INPUT-008 is where a raise is judged
                    log.warning("stop raised %s while clearing up", type(error).__name__)


class Harness(ABC):
    """One backend under test, for a whole run.

    :meth:`open` comes once before the first world and :meth:`close` after the last one, also after
    Ctrl-C and when :meth:`open` broke off half-way. Worlds come one at a time.
    """

    kind: str
    """What it is, for people: ``Docker containers through ContainerRuntimeEngine``."""
    simulated: bool = False
    """True when no real container or server stands behind it; shown in every report."""
    needs: str = ""
    """What must be there for it, for ``whale-ready backends``: ``a Docker engine``."""
    parallel: bool = False
    """True when several processes may each open one of their own at a time and none gets into
    another's way. A run over several processes then spreads its scenarios over all of them;
    otherwise one process alone has it."""
    hooks: frozenset[Hook] = frozenset()
    """What its worlds offer. May be set in ``__init__`` or :meth:`open` where it depends on the
    machine; declared but not overridden ends the run."""
    known_deviations: tuple[KnownDeviation, ...] = ()
    """Rules that the backend is known to break. May be set where the hooks may."""
    accounts: int = 0
    """How many accounts a load test wants beside the players; set before :meth:`open`."""

    def open(self) -> None:  # noqa: B027 - many harnesses have nothing to prepare
        """Once, before the first world. Raise :class:`CannotRun` when a part is missing."""

    def versions(self) -> dict[str, str]:
        """Versions of what stands behind the backend, for the report."""
        return {}

    @abstractmethod
    def world(self, options: Options) -> World:
        """A fresh world, set up as ``options`` say where the hooks for that are declared.

        It is made for every scenario, so it should take milliseconds; what takes longer belongs
        into :meth:`open`. A scenario that needs nothing but the defaults passes ``Options()``.
        """

    def close(self) -> None:  # noqa: B027 - many harnesses have nothing to clear away
        """Once, after the last world: remove all that this run made. Must be safe to repeat."""

    def leftovers(self) -> list[str] | None:
        """After :meth:`close`: what this run made and is still there, by id; None for "cannot
        tell". Anything left makes the run "could not run"."""
        return None


class CannotRun(Exception):
    """A backend cannot be checked here; the message says what is missing and how to get it."""
