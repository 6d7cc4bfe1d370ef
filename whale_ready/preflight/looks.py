"""What runs on Whale for the accounts that we have access for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from engines.contract import Code
from engines.errors import WhaleFault
from engines.whale.api import WhaleAPI
from engines.whale.manager import whale_instances
from engines.whale.wire import Another, RunningContainer
from whale_ready.preflight.credentials import access
from whale_ready.preflight.dialect import contact, startable
from whale_ready.preflight.items import NotCheckable
from whale_ready.preflight.site import OUR_DATABASE, PreflightSite, reading


@dataclass(frozen=True)
class ProbedInstance:
    """One instance."""

    user_id: int
    challenge_id: int
    uuid: str
    remaining: int
    """Seconds; below zero once its time is over."""
    at: datetime
    """When it was seen, by our clock."""


def look_at_all(site: PreflightSite) -> tuple[ProbedInstance, ...]:
    """Look at every account, once. Raises :class:`NotCheckable` or a WhaleFault."""
    api = site.fact(contact).api
    first = startable(site)[0]
    found = (look_at(site, api, user_id, first) for user_id in site.fact(access).good)
    return tuple(instance for instance in found if instance is not None)


def look_at(
    site: PreflightSite, api: WhaleAPI, user_id: int, challenge_id: int
) -> ProbedInstance | None:
    """What the user has, of whichever challenge; None when nothing that can be looked at."""
    try:
        found = api.look(user_id, challenge_id)
        if isinstance(found, Another):
            if found.challenge_id is None:
                return None  # legacy does not say of which
            challenge_id = found.challenge_id
            found = api.look(user_id, challenge_id)
    except WhaleFault as fault:
        if fault.code is not Code.CHALLENGE_UNAVAILABLE:
            raise
        return None
    if not isinstance(found, RunningContainer):
        return None
    return ProbedInstance(user_id, challenge_id, found.uuid, found.remaining_seconds, site.now())


def held_by_us(site: PreflightSite) -> frozenset[str]:
    """The containers in our own ledger: those our own worker may stop."""
    query = sa.select(whale_instances.c.container_id)
    try:
        with reading(site.settings.state_url, OUR_DATABASE) as connection:
            return frozenset(str(uuid) for uuid in connection.execute(query).scalars() if uuid)
    except NotCheckable:
        return frozenset()
