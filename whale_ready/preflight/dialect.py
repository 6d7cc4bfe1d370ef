"""What Whale speaks, which version it is, and how the further checks speak to it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from engines.contract import Scope
from engines.errors import WhaleFault
from engines.whale.api import WhaleAPI
from engines.whale.client import WhaleAnswer, WhaleClient
from engines.whale.dialects import AUTO, DIALECTS, dialect_named
from engines.whale.identity import identity_from
from engines.whale.traits import SCOPES, Traits
from engines.whale.wire import Another, Nothing, RunningContainer
from whale_ready.preflight.credentials import access, accounts, player
from whale_ready.preflight.items import CheckFinding, NotCheckable, not_ok, ok
from whale_ready.preflight.site import PreflightSite
from whale_ready.preflight.theirs import CTFD_VERSION, their_settings

MEASURED = "3.8"
"""The CTFd that docs/whale-wire.md was measured on, by its first two numbers."""
TRIED_CHALLENGES = 5
"""A legacy Whale answers about a challenge that it hides as if it were not there at all."""
LOOKED_AT = 20
"""Accounts that are looked at for what Whale holds; each is asked about as many challenges."""
_HOLDS = {Scope.PER_ACCOUNT: "one instance per user", Scope.PER_CHALLENGE: "one per challenge"}


@dataclass(frozen=True)
class Spoken:
    """A first look at Whale as a player."""

    dialect: str | None
    last: WhaleAnswer | None
    """What came last, where no dialect was recognised."""


@dataclass(frozen=True)
class Contact:
    """A way to speak to Whale; it only ever looks."""

    api: WhaleAPI
    user_id: int
    """A player."""


def spoken(site: PreflightSite) -> Spoken:
    """Find out the dialect as the adapter does, whatever WHALE_DIALECT says.

    Raises:
        NotCheckable: there is no account to ask with, or no answer.
    """
    user_id = site.fact(player)
    answers: list[WhaleAnswer] = []
    client = WhaleClient(
        site.url,
        call_seconds=site.settings.whale_call_seconds,
        identity=identity_from(site.settings),
        observer=answers.append,
    )
    api = WhaleAPI(client, None, site.fact(accounts))
    try:
        for challenge_id in startable(site)[:TRIED_CHALLENGES]:
            with suppress(WhaleFault):
                api.look(user_id, challenge_id)
            if api.dialect is not None:
                break
    finally:
        api.close()
    if api.dialect is None and (not answers or answers[-1].status >= 500):
        status = f" (status {answers[-1].status})" if answers else ""
        raise NotCheckable(f"Whale gave no answer that tells it{status}")
    return Spoken(api.dialect, answers[-1] if answers else None)


def dialect(site: PreflightSite) -> CheckFinding:
    """Whether Whale speaks what the adapter will speak to it."""
    found = site.fact(spoken)
    if found.dialect is None:
        last = found.last
        shown = f"status {last.status}, {last.content_type}" if last else "nothing"
        return not_ok(f"no Whale answers at {site.url} in any dialect; the last answer: {shown}")
    wanted = site.settings.whale_dialect
    if wanted not in (AUTO, found.dialect):
        return not_ok(
            f"WHALE_DIALECT is {wanted}, and Whale speaks {found.dialect}",
            f"set WHALE_DIALECT={found.dialect}, or leave it out",
        )
    known = ", ".join(each.name for each in DIALECTS)
    return _with_traits(f"Whale speaks {found.dialect} (of {known})", site)


def _with_traits(speaks: str, site: PreflightSite) -> CheckFinding:
    """What this Whale holds, for whom, as far as looking tells; WHALE_SCOPE says it otherwise."""
    pinned, traits = SCOPES.get(site.settings.whale_scope), site.fact(seen_traits)
    if traits.seen not in (None, pinned) and pinned is not None:
        right = next(word for word, scope in SCOPES.items() if scope is traits.seen)
        return not_ok(
            f"{speaks}, and was seen to hold {_HOLDS[traits.seen]}, where WHALE_SCOPE is "
            f"{site.settings.whale_scope}",
            f"set WHALE_SCOPE={right}, or leave it out",
        )
    if traits.scope is not None:
        by = "as was seen" if pinned is None else "by WHALE_SCOPE"
        return ok(f"{speaks}, and holds {_HOLDS[traits.scope]}, {by}")
    if traits.tells is False:
        return not_ok(
            f"{speaks}; GET tells only of its own challenge's instance, so it is unknown whether "
            "it holds one instance per user or one per challenge",
            "set WHALE_SCOPE=challenge if players can run two challenges at once on its own page, "
            "else WHALE_SCOPE=user",
        )
    return ok(
        f"{speaks}; whether it holds {' or '.join(_HOLDS.values())} is unknown while nothing runs: "
        "pin it with WHALE_SCOPE (until it shows, a player has one)"
    )


def seen_traits(site: PreflightSite) -> Traits:
    """What Whale holds, by what runs at this moment for the accounts that we have access for."""
    api = WhaleAPI(
        site.client,
        dialect_named(site.fact(spoken).dialect or AUTO),
        site.fact(accounts),
        traits=Traits(site.settings.whale_scope),
    )
    for user_id in sorted(site.fact(access).good)[:LOOKED_AT]:
        looks = []
        for challenge_id in startable(site)[:TRIED_CHALLENGES]:
            with suppress(WhaleFault):
                looks.append(api.look(user_id, challenge_id))
            if api.traits.seen is not None or any(isinstance(look, Another) for look in looks):
                return api.traits
        running = sum(isinstance(look, RunningContainer) for look in looks)
        if running > 1:
            api.traits.ran_at_once()
            return api.traits
        if running and any(isinstance(look, Nothing) for look in looks):
            api.traits.kept_to_itself()
    return api.traits


def version(site: PreflightSite) -> CheckFinding:
    """Whether the adapter was measured against this CTFd."""
    found = their_version(site)
    if found.split(".")[:2] != MEASURED.split("."):
        return not_ok(f"CTFd {found}; the adapter was measured against CTFd {MEASURED}")
    return ok(f"CTFd {found}; ctfd-whale itself tells no version")


def their_version(site: PreflightSite) -> str:
    """CTFd's version. Raises :class:`NotCheckable`."""
    found = site.fact(their_settings).values.get(CTFD_VERSION)
    if not found:
        raise NotCheckable("CTFd's settings hold no version", "look at the foot of its admin pages")
    return found


def contact(site: PreflightSite) -> Contact:
    """A way to look at Whale. Raises :class:`NotCheckable` when there is none."""
    found = site.fact(spoken)
    if found.dialect is None:
        raise NotCheckable("no Whale answers: see dialect")
    spoken_one = dialect_named(found.dialect)
    return Contact(WhaleAPI(site.client, spoken_one, site.fact(accounts)), site.fact(player))


def startable(site: PreflightSite) -> list[int]:
    """Challenges that players may start, by our catalogue; 1 where there is none."""
    return [spec.id for spec in site.challenges if spec.startable and spec.whale] or [1]
