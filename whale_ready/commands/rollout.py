"""``whale-ready rollout``: the dial from CRE to Whale and back."""

from __future__ import annotations

import getpass
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click

from engines.catalog import not_on_whale
from engines.catalog_file import load_catalog
from engines.errors import CatalogError, SettingsError
from engines.factory import NEW
from engines.hybrid import Dial, DialStore, Position
from engines.hybrid.dial import parse_share
from engines.hybrid.health import HealthLimits, measure
from engines.hybrid.plan_file import read_plan
from engines.hybrid.routes import RouteStore
from engines.settings import Settings
from engines.state.database import Database
from whale_ready.command import Command, CommandGroup
from whale_ready.lines import echo

SHOWN_CHANGES = 10

_EPILOG = """\b
Exit codes:
  0    done
  3    could not run: a bad option or setting, or the database cannot be asked
"""


@dataclass(frozen=True)
class Rollout:
    """What the commands work on."""

    settings: Settings
    database: Database
    store: DialStore

    def turn(self, action: str, who: str, why: str, change: Callable[[Dial], Dial]) -> None:
        """Change the dial and say how it stands now."""
        before = self.store.load()
        after = self.store.change(who, action, why, change)
        if after.version == before.version:
            echo(f"nothing to do: the dial stands at {after.position}")
            return
        echo(f"the dial stands at {after.position}")
        echo(f"every process goes by it within {self.settings.rollout_poll_seconds:g} s")


def _signed(command: Callable[..., None]) -> Callable[..., None]:
    """The options of everything that changes the dial."""
    why = click.option("--why", default="", help="The reason, for the audit log.")
    who = click.option(
        "--who", default=getpass.getuser, show_default="you", help="Whose decision it is."
    )
    return who(why(command))


def _share(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    try:
        return parse_share(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.group("rollout", cls=CommandGroup, short_help="Turn the dial from CRE to Whale, and back.")
def rollout_group() -> None:
    """Which challenges start on Whale, for every process on CONTAINER_DATABASE_URL.

    The dial decides where a NEW instance starts. One that is live stays where it is until it
    ends, so turning the dial, either way, takes nothing from a player.

    \b
    A rollout, step by step (docs/rollout.md):
      whale-ready rollout challenge 5 on    one challenge first
      whale-ready rollout status            how Whale does
      whale-ready rollout set 10%           then a tenth of the challenges
      whale-ready rollout set 100%          all of them
      whale-ready rollout back              one step back, at any time
    """


@rollout_group.command("status", cls=Command, short_help="How it stands.", epilog=_EPILOG)
def status_command() -> None:
    """Say where the dial stands, what runs where, how Whale does, and who turned it last."""
    with _opened() as rollout:
        dial, settings = rollout.store.load(), rollout.settings
        echo(f"dial: {dial.position}{'  (paused)' if dial.paused else ''}")
        if dial.position.percent is None:
            said = "true" if settings.use_whale else "false"
            echo(f"USE_WHALE here: {said}; the dial was never set, so it decides")
        if dial.shadow:
            echo("shadow mode: a status is asked of both backends")
        if dial.plan:
            echo(f"plan: step {dial.step + 1} of {len(dial.plan)}")
        kept = _not_on_whale(settings)
        if kept:
            echo(f"never on Whale, by the catalogue: challenges {', '.join(map(str, kept))}")
        held = Counter(route.backend for route in RouteStore(rollout.database).all())
        listed = ", ".join(f"{number} on {name}" for name, number in sorted(held.items()))
        echo(f"instances: {listed or 'none'}")
        limits = HealthLimits.of(settings)
        since = limits.since(rollout.database.clock.now(), dial.changed_at)
        health = measure(rollout.database, NEW, since)
        echo(f"Whale since {since:%Y-%m-%d %H:%M:%S} UTC: {health}")
        echo(f"verdict: {limits.complaint(health) or _fine(limits, health.starts)}")
        for change in rollout.store.changes(SHOWN_CHANGES):
            why = f": {change.why}" if change.why else ""
            echo(f"{change.at:%Y-%m-%d %H:%M:%S} {change.who} {change.action}{why}")
            if change.before or change.after:
                echo(f"    {change.before} → {change.after}")


def _fine(limits: HealthLimits, starts: int) -> str:
    if starts < limits.min_starts:
        return f"too early to tell: fewer than {limits.min_starts} starts (ROLLOUT_MIN_STARTS)"
    return "within its limits"


@rollout_group.command(
    "set", cls=Command, short_help="The share of challenges on Whale.", epilog=_EPILOG
)
@click.argument("percent", callback=_share, metavar="SHARE")
@_signed
def set_command(percent: int, who: str, why: str) -> None:
    """Start this SHARE of the challenges on Whale, as 10% or 0.5%.

    Which ones is decided by their ids, always in the same way: a higher share has all those of a
    lower one. Flags of single challenges come before it.
    """
    with _opened() as rollout:
        _needs_whale(rollout.settings, wanted=percent > 0)
        rollout.turn(
            "set", who, why, lambda dial: dial.turned(replace(dial.position, percent=percent))
        )


@rollout_group.command(
    "accounts", cls=Command, short_help="The share of accounts on Whale.", epilog=_EPILOG
)
@click.argument("cohort", callback=_share, metavar="SHARE")
@_signed
def accounts_command(cohort: int, who: str, why: str) -> None:
    """Start the instances of this SHARE of accounts (users, teams) on Whale, for an A/B test.

    It is for the challenges that neither a flag nor their share sends there.
    """
    with _opened() as rollout:
        _needs_whale(rollout.settings, wanted=cohort > 0)

        def turn(dial: Dial) -> Dial:
            percent = dial.position.percent or 0
            return dial.turned(replace(dial.position, cohort=cohort, percent=percent))

        rollout.turn("accounts", who, why, turn)


@rollout_group.command("challenge", cls=Command, short_help="One challenge.", epilog=_EPILOG)
@click.argument("challenge_id", type=click.IntRange(1), metavar="ID")
@click.argument("flag", type=click.Choice(["on", "off", "clear"]))
@_signed
def challenge_command(challenge_id: int, flag: str, who: str, why: str) -> None:
    """Have challenge ID always (on) or never (off) start on Whale; clear takes the flag away."""
    enabled = {"on": True, "off": False, "clear": None}[flag]
    with _opened() as rollout:
        _needs_whale(rollout.settings, wanted=enabled is True)
        if enabled and challenge_id in _not_on_whale(rollout.settings):
            echo(
                f"note: the catalogue says that Whale does not have challenge {challenge_id}; it "
                "stays on CRE",
                err=True,
            )
        rollout.turn(
            "challenge",
            who,
            why or f"challenge {challenge_id} {flag}",
            lambda dial: dial.turned(dial.position.flagged(challenge_id, enabled)),
        )


@rollout_group.command("back", cls=Command, short_help="One step back.", epilog=_EPILOG)
@_signed
def back_command(who: str, why: str) -> None:
    """Turn the dial back to where it stood before it was turned up last. A plan ends."""
    with _opened() as rollout:
        rollout.turn("back", who, why, Dial.stepped_back)


@rollout_group.command("pause", cls=Command, short_help="Nothing new on Whale.", epilog=_EPILOG)
@_signed
def pause_command(who: str, why: str) -> None:
    """Start nothing on Whale until `resume`; the dial keeps its position, a plan its step."""
    with _opened() as rollout:
        rollout.turn("pause", who, why, lambda dial: replace(dial, paused=True))


@rollout_group.command("resume", cls=Command, short_help="End a pause.", epilog=_EPILOG)
@_signed
def resume_command(who: str, why: str) -> None:
    """Go on where `pause` stopped."""
    with _opened() as rollout:
        rollout.turn("resume", who, why, lambda dial: replace(dial, paused=False))


@rollout_group.command(
    "forget", cls=Command, short_help="Give up a Whale that is gone.", epilog=_EPILOG
)
@click.confirmation_option(prompt="Have players lose what lives on Whale?")
@_signed
def forget_command(who: str, why: str) -> None:
    """Give up what lives on Whale: for a Whale that will not come back.

    Until Whale can be asked nobody knows whether an instance there is over, so its account gets no
    other one. After this command it does. Where Whale comes back all the same, the worker ends
    there what is over. Pause the rollout first, so that nothing new starts there.
    """
    with _opened() as rollout:
        if not rollout.store.load().paused:
            raise SettingsError("starts may still go to Whale; `whale-ready rollout pause` first")
        gone = RouteStore(rollout.database).forget(NEW, rollout.database.clock.now())
        told = ", ".join(f"challenge {route.challenge_id} of {route.account}" for route in gone)
        if gone:
            rollout.store.note(who, "forget", why, before=told, after="none on whale")
        echo(f"forgotten: {told or 'nothing'}")


@rollout_group.command("clear", cls=Command, short_help="Let USE_WHALE decide.", epilog=_EPILOG)
@_signed
def clear_command(who: str, why: str) -> None:
    """Forget share, flags and plan: the setting USE_WHALE decides again, for all or none."""
    with _opened() as rollout:
        rollout.turn(
            "clear",
            who,
            why,
            lambda dial: replace(dial, position=Position(), earlier=(), plan=(), step=-1),
        )


@rollout_group.command("shadow", cls=Command, short_help="Compare both.", epilog=_EPILOG)
@click.argument("switch", type=click.Choice(["on", "off"]))
@_signed
def shadow_command(switch: str, who: str, why: str) -> None:
    """Ask a status of both backends and write down where the other one differs.

    Players see the owner's answer and wait for no other. Differences stand in `status`.
    """
    with _opened() as rollout:
        rollout.turn("shadow", who, why, lambda dial: replace(dial, shadow=switch == "on"))


@rollout_group.command("plan", cls=Command, short_help="Follow a plan.", epilog=_EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@_signed
def plan_command(file: Path, who: str, why: str) -> None:
    """Turn the dial to the first step of a plan; the worker goes on while Whale is healthy.

    \b
    [[step]]
    challenges = [5]      # ids, or percent = 10, or accounts = 5
    hold_minutes = 30     # stay for so long at least (30)
    starts = 20           # and until so many starts were seen (20)
    """
    with _opened() as rollout:
        steps = read_plan(file)
        _needs_whale(rollout.settings, wanted=True)
        rollout.turn(
            "plan",
            who,
            why or f"{len(steps)} steps from {file.name}",
            lambda dial: replace(dial.turned(steps[0].position), plan=steps, step=0),
        )
        echo(f"plan: step 1 of {len(steps)}; the next after {_held(steps[0].hold_seconds)}")


def _held(seconds: int) -> str:
    return f"{seconds // 60} minutes"


def _not_on_whale(settings: Settings) -> list[int]:
    """Challenges that the catalogue here keeps from Whale; CTFd's own are on the plugin's page."""
    if settings.challenges_file is None:
        return []
    try:
        return sorted(not_on_whale(load_catalog(settings.challenges_file)))
    except CatalogError as error:
        echo(f"note: the catalogue cannot be read here: {error}", err=True)
        return []


def _needs_whale(settings: Settings, *, wanted: bool) -> None:
    if wanted and settings.whale_api_url is None:
        echo(
            "note: WHALE_API_URL is not set here; without it a process uses this site's Docker",
            err=True,
        )


@contextmanager
def _opened() -> Iterator[Rollout]:
    """The dial at CONTAINER_DATABASE_URL."""
    settings = Settings.from_environ()
    database = Database(settings.state_url)
    try:
        yield Rollout(settings, database, DialStore(database, database.clock))
    finally:
        database.close()
