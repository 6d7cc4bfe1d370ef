"""Are time-outs and renewals the same on both sides, and is there room for everybody?"""

from __future__ import annotations

from engines.errors import WhaleFault
from whale_ready.preflight.items import CheckFinding, NotCheckable, not_ok, ok
from whale_ready.preflight.looks import look_at_all
from whale_ready.preflight.probe import probed
from whale_ready.preflight.site import PreflightSite
from whale_ready.preflight.theirs import (
    CAPACITY,
    HOW,
    RENEWALS,
    TIMEOUT,
    TheirSettings,
    their_settings,
)

FRESH_SECONDS = 10
"""A fresh instance is seen at most so long after its start."""


def time_out(site: PreflightSite) -> CheckFinding:
    """Whether an instance lives as long here, there, and as the adapter believes."""
    ours, cre = site.settings.whale_timeout_seconds, site.settings.cre_timeout_seconds
    if cre != ours:
        return not_ok(f"CRE_TIMEOUT_SECONDS is {cre}, WHALE_TIMEOUT_SECONDS is {ours}")
    settings = _settings(site)
    if settings is not None:
        theirs = settings.number(TIMEOUT)
        if theirs != ours:
            return not_ok(f"{_told(settings, TIMEOUT)}, WHALE_TIMEOUT_SECONDS is {ours}")
        return ok(f"{ours} s: ours, and Whale's docker_timeout, {settings.source}")
    shown = probed(site)
    if shown is not None and shown.remaining is not None:
        said = f"a fresh instance had {shown.remaining} s, WHALE_TIMEOUT_SECONDS is {ours}"
        return ok(said) if 0 <= ours - shown.remaining <= FRESH_SECONDS else not_ok(said)
    for seen in site.fact(look_at_all):
        if seen.remaining > ours:
            return not_ok(
                f"user {seen.user_id}'s instance has {seen.remaining} s left, more than "
                f"WHALE_TIMEOUT_SECONDS ({ours})"
            )
    raise NotCheckable("Whale's docker_timeout is not shown to players", HOW)


def renewals(site: PreflightSite) -> CheckFinding:
    """Whether an instance may be renewed as often here, there, and as the adapter believes."""
    ours, cre = site.settings.whale_max_extensions, site.settings.cre_max_extensions
    if cre != ours:
        return not_ok(f"CRE_MAX_EXTENSIONS is {cre}, WHALE_MAX_EXTENSIONS is {ours}")
    settings = _settings(site)
    if settings is not None:
        if settings.number(RENEWALS) != ours:
            return not_ok(f"{_told(settings, RENEWALS)}, WHALE_MAX_EXTENSIONS is {ours}")
        return ok(f"{ours}: ours, and Whale's docker_max_renew_count, {settings.source}")
    shown = probed(site)
    if shown is not None and shown.renewals is not None:
        more = " or more" if shown.renewals > ours else ""
        said = f"Whale took {shown.renewals}{more} renewals, WHALE_MAX_EXTENSIONS is {ours}"
        return ok(said) if shown.renewals == ours else not_ok(said)
    raise NotCheckable("Whale's docker_max_renew_count is not shown to players", HOW)


def capacity(site: PreflightSite) -> CheckFinding:
    """Whether Whale admits as many instances as players are expected."""
    expected = site.wishes.expected_players
    if expected is None:
        raise NotCheckable("how many players will come was not said", "--expected-players N")
    settings = site.fact(their_settings)
    limit = settings.number(CAPACITY)
    if limit is None:
        return not_ok(_told(settings, CAPACITY))
    said = (
        f"docker_max_container_count is {limit}, {settings.source}; Whale admits so many, or one "
        f"more since April 2026, and more when many start at once; {expected} players are expected"
    )
    return ok(said) if expected <= limit else not_ok(said)


def _told(settings: TheirSettings, name: str) -> str:
    short, value = name.removeprefix("whale:"), settings.number(name)
    if value is None:
        return f"Whale's {short} is no number, {settings.source}"
    return f"Whale's {short} is {value}, {settings.source}"


def _settings(site: PreflightSite) -> TheirSettings | None:
    try:
        return site.fact(their_settings)
    except (NotCheckable, WhaleFault):
        return None
