"""The catalogue out of CTFd's own tables, read anew for each start: what is saved counts at once.

Only Core queries on a connection of ours, so that it works in any thread, with no CTFd around.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa

from engines.catalog import ChallengeSpec, Visibility
from engines.database import Database
from engines.errors import CatalogError
from engines.site.fields import FIELDS, spec_of

log = logging.getLogger(__name__)

TYPE = "whale_ready"
"""CTFd's name for our challenge type."""
TABLE = "whale_ready_challenge"

_challenges: Any = sa.table(
    "challenges", sa.column("id"), sa.column("name"), sa.column("type"), sa.column("state")
)
_ours: Any = sa.table(TABLE, sa.column("id"), *(sa.column(field.column) for field in FIELDS))
_config: Any = sa.table("config", sa.column("key"), sa.column("value", sa.Text))
_CONTEST = ("end", "view_after_ctf")


class SiteCatalog:
    """Challenges of our type.

    The contest's end, as CTFd has it, is the end of every challenge, unless challenges stay open
    after it.

    Args:
        sees_hidden: whether who asks now may start hidden challenges too (an admin who tries one).
    """

    def __init__(self, database: Database, sees_hidden: Callable[[], bool] = lambda: False) -> None:
        self._database = database
        self._sees_hidden = sees_hidden

    def get(self, challenge_id: int) -> ChallengeSpec | None:
        found = self._read(_challenges.c.id == challenge_id)
        return found[0] if found else None

    def all(self) -> Iterable[ChallengeSpec]:
        return self._read(sa.true())

    def _read(self, which: Any) -> list[ChallengeSpec]:
        query = (
            sa.select(_challenges.c.name, _challenges.c.state, _ours)
            .join(_ours, _ours.c.id == _challenges.c.id)
            .where(_challenges.c.type == TYPE, which)
        )
        settings = sa.select(_config.c.key, _config.c.value).where(_config.c.key.in_(_CONTEST))
        contest: dict[str, str | None] = {}
        with self._database.read() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
            if rows:
                contest = {row[0]: row[1] for row in connection.execute(settings)}
        end = contest_end(contest)
        all_visible = self._sees_hidden()
        specs = [_spec(row, all_visible, end) for row in rows]
        return [spec for spec in specs if spec is not None]


def contest_end(config: Mapping[str, str | None]) -> datetime | None:
    """When the contest is over for containers, from CTFd's own settings.

    None: it has no end, or challenges may be played after it.
    """
    end, after = config.get("end"), config.get("view_after_ctf")
    if str(after).lower() in ("1", "true", "t", "yes"):
        return None
    try:
        return datetime.fromtimestamp(int(end or 0), timezone.utc) if int(end or 0) else None
    except (ValueError, OverflowError, OSError):
        log.error("CTFd's setting end is no time in seconds, and is not looked at")
        return None


def _spec(row: Mapping[str, Any], all_visible: bool, end: datetime | None) -> ChallengeSpec | None:
    visibility = Visibility.VISIBLE if all_visible else visibility_of(row["state"])
    try:
        return spec_of(row["id"], row["name"], visibility, row, end)
    except CatalogError as error:
        log.error("challenge %d cannot be run, edit it: %s", row["id"], error)
        return None


def visibility_of(state: str | None) -> Visibility:
    """CTFd's word for it; an unknown one hides the challenge."""
    try:
        return Visibility(state)
    except ValueError:
        return Visibility.HIDDEN
