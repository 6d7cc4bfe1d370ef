"""What each hook is made of: the methods of a world that stand behind it, and what it unlocks.

A hook that a harness declares and a world does not have is refused before the first scenario: its
scenarios would all end in errors of the harness.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from conformance.harness import Harness, Hook, World
from conformance.spec.scenario import Scenario
from engines.contract import account_key

FEWEST_PLAYERS = 3

METHODS: dict[Hook, tuple[str, ...]] = {
    Hook.CLOCK: ("advance",),
    Hook.CLOCK_BACK: ("advance",),
    Hook.WORKER: ("run_worker",),
    Hook.AUDIT: ("events",),
    Hook.GROUND_TRUTH: ("running",),
    Hook.RECORDED_FLAG: ("recorded_flag",),
    Hook.FETCH: ("fetch",),
    Hook.MACHINES: ("machine_of",),
    Hook.REMOVE_BEHIND: ("remove_behind",),
    Hook.KILL_BEHIND: ("kill_behind",),
    Hook.OUTAGE: ("outage",),
    Hook.STUBBORN: ("stubborn",),
    Hook.HELD_NETWORK: ("held_network", "networks"),
    Hook.WORKER_THREAD: ("worker",),
    Hook.FAULTS: ("fault",),
    Hook.INSIDE: ("inside", "inner_addresses", "host_port"),
    Hook.OUTSIDE: ("outside",),
    Hook.RESTART: ("restart",),
    Hook.RESTART_LIVE: ("restart_live",),
    Hook.STATE_FULL: ("state_full",),
    Hook.REPLACED_TABLES: ("replaced_tables",),
    Hook.ANOTHER_PROCESS: ("another",),
    Hook.PORT_RANGE: ("port_range",),
    Hook.NEW_IMAGE: ("change_images",),
    Hook.CRASH: ("dying",),
    Hook.SLOW_START: ("slow_start",),
    Hook.OWNERS: ("give_number_again",),
    Hook.NEW_CHALLENGE: ("give_challenge_again",),
    Hook.OVERVIEW: ("overview",),
    Hook.COUNTED_FLAGS: ("counted_flags",),
    Hook.ANOTHER_SITE: ("another_site",),
    Hook.CLOCK_AHEAD: ("machine_ahead",),
    Hook.DISK: ("write_disk",),
    Hook.REPLACE_BEHIND: ("replace_behind",),
    Hook.RENEW_BEHIND: ("renew_behind",),
    Hook.SHORTEN_BEHIND: ("shorten_behind",),
    Hook.ACCESS: ("locked_out",),
    Hook.LURE: ("lured",),
    Hook.MOMENTS: ("amid", "another"),
    Hook.SLOW_ANSWERS: ("slow_answers",),
}
"""Methods of :class:`World` to override; a hook without any asks for :data:`OPTIONS` instead."""

OPTIONS: dict[Hook, tuple[str, ...]] = {
    Hook.CAPACITY: ("capacity",),
    Hook.STRICT_CAPACITY: ("capacity",),
    Hook.ACCOUNT_LIMIT: ("account_limit",),
    Hook.OPTIONS: ("timeout_seconds", "max_extensions"),
    Hook.START_RATE: ("start_limit", "start_window_seconds"),
    Hook.CALL_RATE: ("calls_per_minute",),
    Hook.CONTEST_END: ("ends_in_seconds",),
    Hook.CHALLENGE_END: ("challenge_ends_in_seconds",),
    Hook.PORT_RANGE: ("port_count",),
    Hook.WARM_POOL: ("warm",),
}
"""Fields of :class:`conformance.harness.Options` that the harness must honour."""


@dataclass(frozen=True)
class HookState:
    """One hook of a harness."""

    hook: Hook
    declared: bool
    missing: tuple[str, ...]
    """Its methods that the world does not override."""
    rules: tuple[str, ...]
    """Ids of the rules that ask for it."""

    @property
    def broken(self) -> bool:
        """Declared, and not there."""
        return self.declared and bool(self.missing)

    @property
    def forgotten(self) -> bool:
        """There, and not declared."""
        if self.declared or self.missing or self.hook is Hook.CLOCK_BACK:  # a method of CLOCK's
            return False
        return self.hook in METHODS


def hook_states(
    harness: Harness, world: World, scenarios: Iterable[Scenario] = ()
) -> list[HookState]:
    """Every hook, in the order of :class:`Hook`; ``world`` is one that the harness made."""
    known = list(scenarios)
    return [
        HookState(
            hook,
            hook in harness.hooks,
            missing_methods(hook, world),
            tuple(scenario.id for scenario in known if hook in scenario.hooks),
        )
        for hook in Hook
    ]


def missing_methods(hook: Hook, world: World) -> tuple[str, ...]:
    """The methods behind a hook that the world has from :class:`World` only."""
    return tuple(
        name
        for name in METHODS.get(hook, ())
        if getattr(type(world), name) is getattr(World, name) and name not in vars(world)
    )


def broken_promises(harness: Harness, world: World) -> list[str]:
    """A sentence for each hook that is declared and not there, and for what the world lacks."""
    found = [*_players_missing(world), *_challenges_mixed_up(world)]
    for state in hook_states(harness, world):
        if state.broken:
            methods = ", ".join(f"World.{name}" for name in state.missing)
            found.append(
                f"it declares Hook.{state.hook.name}, but {type(world).__name__} does not "
                f"override {methods}; write it or take the hook out of the harness's hooks"
            )
    if Hook.FAULTS in harness.hooks and not world.faults:
        found.append(
            f"it declares Hook.FAULTS, but {type(world).__name__}.faults is empty; name the kinds "
            "that fault() knows"
        )
    return found


def _players_missing(world: World) -> Iterator[str]:
    kind = type(world).__name__
    accounts = {account_key(player.user_id, player.team_id) for player in world.players}
    if len(accounts) < max(FEWEST_PLAYERS, len(world.players)):
        yield f"{kind}.players must be three or more users, no two of one account"
    if not world.mates:
        return
    teams = [mate.team_id for mate in world.mates[:4]]
    users = {mate.user_id for mate in world.mates}
    paired = len(teams) == 4 and teams[0] == teams[1] != teams[2] == teams[3]
    if not paired or None in teams or len(users) < len(world.mates):
        yield f"{kind}.mates must be empty, or two users of one team and then two of another"


def _challenges_mixed_up(world: World) -> Iterator[str]:
    known = world.challenges
    if len({known.first, known.second, known.unknown}) < 3:
        kind = type(world).__name__
        yield f"{kind}.challenges: first, second and unknown must be three different ids"
