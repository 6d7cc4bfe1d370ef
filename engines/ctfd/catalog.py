"""The catalogue out of CTFd's own tables, read anew for each start: what is saved counts at once.

Only Core queries on a connection of ours, so that it works in any thread, with no CTFd around.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from engines.catalog import ChallengeSpec, Visibility
from engines.ctfd.challenge_table import TABLE
from engines.ctfd.fields import FIELDS, spec_of
from engines.errors import CatalogError
from engines.state.database import Database

log = logging.getLogger(__name__)

TYPE = "whale_ready"
"""CTFd's name for our challenge type."""
WHALE_TYPE = "dynamic_docker"
"""ctfd-whale's own challenge type, which is served too where an organiser asks for it."""
ASK_AGAIN_SECONDS = 30.0
"""How long Whale's database is left alone after it could not be read."""

_challenges: Any = sa.table(
    "challenges", sa.column("id"), sa.column("name"), sa.column("type"), sa.column("state")
)
_ours: Any = sa.table(TABLE, sa.column("id"), *(sa.column(field.column) for field in FIELDS))
_whales: Any = sa.table(
    "dynamic_docker_challenge",
    *map(sa.column, ("id", "docker_image", "memory_limit", "cpu_limit", "redirect_port")),
)
_config: Any = sa.table("config", sa.column("key"), sa.column("value", sa.Text))
_CONTEST = ("end", "view_after_ctf")


class SiteCatalog:
    """Challenges of our type.

    The contest's end, as CTFd has it, is the end of every challenge, unless challenges stay open
    after it.

    Args:
        sees_hidden: whether who asks now may start hidden challenges too (an admin who tries one).
        whales_too: read the challenges of ctfd-whale's own type, in the same database, besides.
        whale: the database of Whale's CTFd, this one or another; None: it cannot be read, so that
            nothing is known of what Whale has.
    """

    def __init__(
        self,
        database: Database,
        sees_hidden: Callable[[], bool] = lambda: False,
        *,
        whales_too: bool = False,
        whale: sa.engine.Engine | None = None,
    ) -> None:
        self._database = database
        self._sees_hidden = sees_hidden
        self._whales_too = whales_too
        self._whale = whale
        self._seen_there: frozenset[int] | None = None
        self._ask_again_at = 0.0

    def get(self, challenge_id: int) -> ChallengeSpec | None:
        found = self._read(_challenges.c.id == challenge_id)
        return found[0] if found else None

    def all(self) -> Iterable[ChallengeSpec]:
        return self._read(sa.true())

    def not_on_whale(self) -> frozenset[int]:
        """Ids of challenges that are none of ctfd-whale's in the database of Whale's CTFd."""
        there = self._on_whale()
        if there is None:
            return frozenset()
        served = (TYPE, WHALE_TYPE) if self._whales_too else (TYPE,)
        ours = sa.select(_challenges.c.id).where(_challenges.c.type.in_(served))
        with self._database.read() as connection:
            return frozenset(connection.execute(ours).scalars()) - there

    def _on_whale(self) -> frozenset[int] | None:
        """Ids of ctfd-whale's challenges, as they were last read; None when they never were.

        A database that did not answer is left alone for a while, so that starts and the worker's
        rounds do not all wait for it.
        """
        if self._whale is not None and time.monotonic() >= self._ask_again_at:
            theirs = _of_type(WHALE_TYPE, _whales).with_only_columns(_challenges.c.id)
            try:
                with self._whale.connect() as connection:
                    self._seen_there = frozenset(connection.execute(theirs).scalars())
            except SQLAlchemyError as error:
                self._ask_again_at = time.monotonic() + ASK_AGAIN_SECONDS
                log.warning("what Whale has cannot be read: %s", type(error).__name__)
        return self._seen_there

    def _read(self, which: Any) -> list[ChallengeSpec]:
        queries = [_of_type(TYPE, _ours).where(which)]
        if self._whales_too:
            queries.append(_of_type(WHALE_TYPE, _whales).where(which))
        settings = sa.select(_config.c.key, _config.c.value).where(_config.c.key.in_(_CONTEST))
        contest: dict[str, str | None] = {}
        with self._database.read() as connection:
            rows = [dict(row) for query in queries for row in connection.execute(query).mappings()]
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


def _of_type(name: str, table: Any) -> Any:
    return (
        sa.select(_challenges.c.name, _challenges.c.state, _challenges.c.type, table)
        .join(table, table.c.id == _challenges.c.id)
        .where(_challenges.c.type == name)
    )


def whales_rows(connection: sa.engine.Connection) -> list[dict[str, Any]]:
    """Every challenge of ctfd-whale's own type, for :func:`whales_columns`."""
    rows = connection.execute(_of_type(WHALE_TYPE, _whales)).mappings()
    return [dict(row) for row in rows]


def whales_columns(row: Mapping[str, Any]) -> dict[str, str]:
    """Our fields for a challenge of ctfd-whale's; what Whale does not say has our defaults."""
    columns = {"container_image": str(row["docker_image"] or "")}
    memory = re.fullmatch(r"(\d+)([mg])b?", str(row["memory_limit"] or "").strip().lower())
    if memory:
        megabytes = int(memory[1]) * (1024 if memory[2] == "g" else 1)
        columns["container_memory_mb"] = str(megabytes)
    if row["cpu_limit"]:
        columns["container_cpus"] = str(row["cpu_limit"])
    if row["redirect_port"]:
        columns["container_ports"] = str(row["redirect_port"])
    return columns


def _spec(row: Mapping[str, Any], all_visible: bool, end: datetime | None) -> ChallengeSpec | None:
    visibility = Visibility.VISIBLE if all_visible else visibility_of(row["state"])
    columns = whales_columns(row) if row["type"] == WHALE_TYPE else row
    try:
        return spec_of(row["id"], row["name"], visibility, columns, end)
    except CatalogError as error:
        log.error("challenge %d cannot be run, edit it: %s", row["id"], error)
        return None


def visibility_of(state: str | None) -> Visibility:
    """CTFd's word for it; an unknown one hides the challenge."""
    try:
        return Visibility(state)
    except ValueError:
        return Visibility.HIDDEN
