"""The way from one challenge to all of them, and what stops it: in the numbers of the settings."""

from __future__ import annotations

from dataclasses import dataclass

from engines.hybrid.plan_file import HOLD_MINUTES, STARTS
from engines.settings import Settings

SHARES = (1, 10, 50, 100)
ID = "ID"
"""Stands in commands for the challenge to begin with."""


@dataclass(frozen=True)
class RolloutPosition:
    """One position of the dial."""

    what: str
    command: str


@dataclass(frozen=True)
class Stop:
    """What ends a step before its time."""

    when: str
    then: str
    setting: str


@dataclass(frozen=True)
class RolloutPlan:
    """The steps, when to go on, when to stop, and the way back."""

    steps: tuple[RolloutPosition, ...]
    go_on: str
    stops: tuple[Stop, ...]
    back: tuple[RolloutPosition, ...]
    file: str
    """The same as a plan.toml for ``whale-ready rollout plan``."""


def rollout_plan(settings: Settings | None = None) -> RolloutPlan:
    """The plan, with the defaults of the settings unless others are given."""
    given = settings or Settings()
    return RolloutPlan(
        steps=(
            RolloutPosition("One challenge, an easy one", f"whale-ready rollout challenge {ID} on"),
            *(
                RolloutPosition(f"{share} % of the challenges", f"whale-ready rollout set {share}%")
                for share in SHARES
            ),
        ),
        go_on=(
            f"Go on when a step was held for {HOLD_MINUTES} minutes, {STARTS} starts on Whale were "
            "seen in it, and whale-ready rollout status says that it is within its limits."
        ),
        stops=_stops(given),
        back=(
            RolloutPosition("One step back", "whale-ready rollout back --why REASON"),
            RolloutPosition(
                "Nothing new on Whale, until resumed", "whale-ready rollout pause --why REASON"
            ),
            RolloutPosition("All new instances on CRE", "whale-ready rollout set 0%"),
        ),
        file=_file(),
    )


def _stops(given: Settings) -> tuple[Stop, ...]:
    minutes = given.rollout_window_seconds / 60
    seen = f"of {given.rollout_min_starts} starts or more in {minutes:g} minutes"
    if given.rollout_step_back:
        back, switch = "the dial goes one step back by itself", "ROLLOUT_STEP_BACK=true"
    else:
        back, switch = "turn it one step back", "ROLLOUT_STEP_BACK=false"
    return (
        Stop(
            f"{seen}, more than {given.rollout_error_percent} % failed or fell back",
            back,
            f"ROLLOUT_ERROR_PERCENT, ROLLOUT_MIN_STARTS, ROLLOUT_WINDOW_SECONDS, {switch}",
        ),
        Stop(
            f"{seen}, 95 % took longer than {given.rollout_ready_seconds:g} s",
            back,
            f"ROLLOUT_READY_SECONDS, {switch}",
        ),
        Stop(
            f"Whale did not answer {given.rollout_breaker_failures} starts in a row",
            f"starts go to CRE for {given.rollout_breaker_seconds:g} s, then one tries Whale again"
            if given.rollout_fallback
            else f"Whale is left alone for {given.rollout_breaker_seconds:g} s",
            f"ROLLOUT_BREAKER_FAILURES, ROLLOUT_BREAKER_SECONDS, "
            f"ROLLOUT_FALLBACK={str(given.rollout_fallback).lower()}",
        ),
    )


def _file() -> str:
    tables = [f"[[step]]\nchallenges = [{ID}]\n"]
    tables += [f"[[step]]\nchallenges = [{ID}]\npercent = {share}\n" for share in SHARES]
    return "\n".join(tables)
