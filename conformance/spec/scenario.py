"""How a scenario says which rule it shows and what it needs for that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from conformance.harness import FaultKind, Hook, Options, World
from conformance.spec.rules import BY_ID
from engines.contract import Addressing, Capabilities, ExtendMode, Isolation, Scope

ScenarioFunction = Callable[..., None]

ATTRIBUTE = "__whale_ready_scenario__"


def _always(_world: World) -> bool:
    return True


@dataclass(frozen=True)
class Need:
    """A capability a scenario asks for.

    ``text`` completes "not applicable: the backend declares no …".
    """

    text: str
    met: Callable[[World], bool]
    can_be_tried: Callable[[World], bool] = _always
    """Whether a backend that does not declare it can be asked for it all the same."""


@dataclass(frozen=True)
class Scenario:
    """What a scenario function carries. Its id is the id of its rule."""

    id: str
    story: str
    hooks: frozenset[Hook]
    needs: tuple[Need, ...]
    options: Options
    faults: frozenset[FaultKind] = frozenset()
    proves: Need | None = None
    """The capability that a backend has on which it passes."""

    def missing_hooks(self, offered: frozenset[Hook]) -> str | None:
        """Why the scenario cannot be run with these hooks, or None."""
        missing = sorted(hook.value for hook in self.hooks - offered)
        return f"the harness offers no {', '.join(missing)}" if missing else None

    def unmet_needs(self, world: World) -> str | None:
        """Why the scenario does not apply to this backend, or None."""
        missing = sorted(kind.value for kind in self.faults - world.faults)
        if missing:
            return f"the harness offers no fault {', '.join(missing)}"
        unmet = [need.text for need in self._unmet(world)]
        return f"the backend declares no {', no '.join(unmet)}" if unmet else None

    def lacks_only(self, need: Need, world: World) -> bool:
        """Whether ``need`` is all that keeps the scenario from applying to this backend."""
        return self.faults <= world.faults and self._unmet(world) == [need]

    def _unmet(self, world: World) -> list[Need]:
        return [need for need in self.needs if not need.met(world)]


_DEFAULTS = Options()


def scenario(
    rule: str,
    *needs: Hook | FaultKind | Need,
    options: Options = _DEFAULTS,
    proves: Need | None = None,
) -> Callable[[ScenarioFunction], ScenarioFunction]:
    """Mark a test function as the scenario of ``rule``.

    Args:
        rule: id of the rule it shows; also the scenario's own id.
        needs: hooks of the harness, faults it can bring about (which imply their hook) and
            capabilities of the backend without which it is not applicable. A scenario never asks
            for a backend's name.
        options: how the backend is set up for it.
        proves: that of its needs which a backend cannot but have on which every scenario that
            proves it passes (:mod:`conformance.spec.proofs`); never one that may pass by accident.
    """
    if proves is not None and proves not in needs:
        raise ValueError(f"{rule} cannot prove what it does not need: {proves.text}")
    if rule not in BY_ID:
        raise ValueError(
            f"{rule} is no rule; add it to conformance/spec/rules.py and to the contract"
        )

    def mark(function: ScenarioFunction) -> ScenarioFunction:
        story = function.__name__.removeprefix("test_").replace("_", " ")
        faults = frozenset(need for need in needs if isinstance(need, FaultKind))
        hooks = frozenset(need for need in needs if isinstance(need, Hook))
        marked = Scenario(
            id=rule,
            story=story,
            hooks=hooks | {Hook.FAULTS} if faults else hooks,
            needs=tuple(need for need in needs if isinstance(need, Need)),
            options=options,
            faults=faults,
            proves=proves,
        )
        setattr(function, ATTRIBUTE, marked)
        return function

    return mark


def scenario_of(function: object) -> Scenario | None:
    """The scenario a test function carries, if it is one."""
    found = getattr(function, ATTRIBUTE, None)
    return found if isinstance(found, Scenario) else None


def _capability(text: str, met: Callable[[Capabilities], bool]) -> Need:
    return Need(text, lambda world: met(world.backend.capabilities))


def _challenge(text: str, part: str) -> Need:
    def offered(world: World) -> bool:
        value: Any = getattr(world.challenges, part)
        return value is not None

    return Need(text, offered)


def _kept_from(part: Isolation) -> Need:
    return _capability(f"isolation from {part.value}", lambda caps: part in caps.isolation)


ONE_AT_A_TIME = _capability("account limit of one", lambda caps: caps.account_limit == 1)
TWO_AT_ONCE = Need(
    "two instances per account",
    met=lambda world: (
        world.backend.capabilities.scope is Scope.PER_CHALLENGE
        and world.backend.capabilities.account_limit == 2
    ),
    can_be_tried=lambda world: world.backend.capabilities.account_limit < 2,
)
ADDITIVE = _capability("additive extend", lambda caps: caps.extend is ExtendMode.ADDITIVE)
RESET = _capability("resetting extend", lambda caps: caps.extend is ExtendMode.RESET)
EXTENDS = _capability("extensions", lambda caps: caps.max_extensions >= 1)
FEW_EXTENSIONS = _capability(
    "number of extensions from 1 to 20", lambda caps: 1 <= caps.max_extensions <= 20
)
READY_ON_START = _capability("readiness on start", lambda caps: caps.ready_on_start)
FLAG_GRACE = _capability("grace time for flags", lambda caps: caps.flag_grace_seconds > 0)
LAPSES = _capability(
    "time after which a start that died is in nobody's way", lambda caps: caps.lapse_seconds > 0
)
DETECTS_LOSS = _capability("detection of lost containers", lambda caps: caps.detects_loss)
TEAMS = Need(
    "teams",
    met=lambda world: world.backend.capabilities.teams and len(world.mates) >= 4,
    can_be_tried=lambda world: not world.backend.capabilities.teams and len(world.mates) >= 4,
)
MULTI_NODE = _capability("several machines", lambda caps: caps.multi_node)
SUBDOMAIN = _capability("host names per instance", lambda c: Addressing.SUBDOMAIN in c.addressing)

HOST_PORT = _capability("port per instance", lambda c: Addressing.HOST_PORT in c.addressing)

KNOWS_CHALLENGES = Need(
    "knowledge of which challenges there are",
    lambda world: not world.backend.may_be_challenge(world.challenges.unknown),
)

SIBLINGS = _kept_from(Isolation.SIBLINGS)
HOST = _kept_from(Isolation.HOST)
INTERNET = _kept_from(Isolation.INTERNET)
PRIVILEGES = _kept_from(Isolation.PRIVILEGES)
RESOURCES = _kept_from(Isolation.RESOURCES)

HIDDEN = _challenge("hidden challenge", "hidden")
MISSING_IMAGE = _challenge("challenge whose image is missing", "missing_image")
EXITS_AT_ONCE = _challenge("challenge whose container exits at once", "exits_at_once")
EXITS_OWN_PORT = _challenge("challenge that exits on a port of its own", "exits_own_port")
SUBDOMAIN_CHALLENGE = _challenge("challenge under a host name of its own", "subdomain")
PORT_CHALLENGE = _challenge("challenge on a port of its own", "own_port")
EGRESS_CHALLENGE = _challenge("challenge with egress", "egress")
READ_ONLY_CHALLENGE = _challenge("challenge with a read-only root", "read_only")
CAPABLE_CHALLENGE = _challenge("challenge that asks for a capability", "capable")
LIMITS = _challenge("limits of a container", "limits")
LIMITED_CHALLENGE = _challenge("challenge with a limit of its own", "limited")
ENDED_CHALLENGE = _challenge("challenge whose time is over", "ended")
SEVERAL_PORTS = _challenge("challenge with several ports", "several_ports")
COMPANION_CHALLENGE = _challenge("challenge with a companion", "companion")
SLOW_COMPANION = _challenge("challenge that waits for a companion", "slow_companion")
DYING_COMPANION = _challenge("challenge that waits for a companion which ends", "dying_companion")
PAIRED_PORTS = _challenge("challenge with a pair of ports", "paired_ports")
ONE_CONNECTION = _challenge("challenge that takes one connection", "one_connection")
FLAG_FILE = _challenge("challenge with its flag in a file", "flag_file")
LITTLE_DISK = _challenge("challenge with a little disk", "little_disk")
