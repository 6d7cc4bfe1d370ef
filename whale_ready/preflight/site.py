"""What the checks look at: one site as it is set up, and the Whale it is to use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from engines.catalog import ChallengeSpec
from engines.catalog_file import load_catalog
from engines.clock import Clock, SystemClock
from engines.cre.runtimes.base import Runtime
from engines.cre.runtimes.chosen import runtime_from
from engines.errors import SettingsError
from engines.settings import Settings
from engines.state.database import connectable
from engines.whale.client import WhaleClient
from engines.whale.identity import identity_from
from whale_ready.preflight.items import NotCheckable

_T = TypeVar("_T")

OUR_DATABASE, WHALES_DATABASE = "CONTAINER_DATABASE_URL", "WHALE_CTFD_DATABASE_URL"


@dataclass(frozen=True)
class Wishes:
    """What the organiser says on the command line."""

    expected_players: int | None = None
    admin: int | None = None
    """User id of an admin of Whale's CTFd, one of the accounts with credentials."""
    probe_account: int | None = None
    """User id of an account that may start, renew and stop one instance."""
    probe_challenges: tuple[int, ...] = ()
    """Which challenges it starts, one after the other; empty: one of each redirect type where
    Whale's database tells, else the first that players may start."""
    probe_missing: tuple[int, ...] = ()
    """Challenges whose image does not exist: started, they must be seen not to answer."""
    docker: str = ""
    """Address of the Docker engine that runs frpc and CTFd; empty: not known."""


def _nobody_listens(_sentence: str) -> None:
    """Where nobody is told."""


class PreflightSite:
    """Settings, catalogue, Whale and our own database.

    Args:
        settings: as the product reads them; ``whale_api_url`` is set.
        pause: waits so many seconds.
        tell: for what the organiser must hear at once.
        head_start: seconds for a request to reach Whale before another is sent after it.
        runtime: makes what the own engine would run containers with.

    Raises:
        SettingsError: a certificate file is not there.
        CatalogError: the catalogue cannot be read.
    """

    def __init__(
        self,
        settings: Settings,
        wishes: Wishes,
        *,
        clock: Clock | None = None,
        pause: Callable[[float], None] = time.sleep,
        tell: Callable[[str], None] = _nobody_listens,
        head_start: float = 0.5,
        runtime: Callable[[Settings], Runtime] = runtime_from,
    ) -> None:
        if settings.whale_api_url is None:
            raise SettingsError("WHALE_API_URL is not set; write --whale https://ctf.example.org")
        self.url = settings.whale_api_url
        self.settings = settings
        self.wishes = wishes
        self.clock = clock or SystemClock()
        self.pause = pause
        self.tell = tell
        self.head_start = head_start
        self.runtime = runtime
        self.challenges = _challenges(settings.challenges_file)
        self.client = WhaleClient(
            self.url, call_seconds=settings.whale_call_seconds, identity=identity_from(settings)
        )
        self.closing = ExitStack()
        """What is to be closed with this."""
        self.closing.callback(self.client.close)
        self._facts: dict[Callable[[PreflightSite], Any], Any] = {}

    def fact(self, make: Callable[[PreflightSite], _T]) -> _T:
        """What ``make`` finds out, found out once for all checks; a failure is kept too."""
        if make not in self._facts:
            try:
                self._facts[make] = make(self)
            except Exception as error:  # noqa: BLE001 - kept, and raised for each who asks
                self._facts[make] = error
        known: Any = self._facts[make]
        if isinstance(known, Exception):
            raise known
        found: _T = known
        return found

    def catalogue(self) -> tuple[ChallengeSpec, ...]:
        """Our challenges. Raises :class:`NotCheckable` when there are none."""
        if not self.challenges:
            raise NotCheckable(
                "there is no catalogue of challenges",
                "name its file with --challenges or CONTAINER_CHALLENGES_FILE",
            )
        return self.challenges

    def now(self) -> datetime:
        """By our own clock, in UTC."""
        return self.clock.now().astimezone(timezone.utc)

    def close(self) -> None:
        """Close connections."""
        self.closing.close()


def _challenges(path: Path | None) -> tuple[ChallengeSpec, ...]:
    return () if path is None else tuple(load_catalog(path).all())


@contextmanager
def reading(url: str, setting: str) -> Iterator[sa.engine.Connection]:
    """A connection to a database that is only looked at: no file, folder or table is made.

    Raises:
        NotCheckable: it cannot be asked; names the setting and never the URL.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite" and not Path(str(parsed.database)).is_file():
            raise NotCheckable(f"{setting}: there is no such SQLite file", f"correct {setting}")
        engine = connectable(parsed)
    except SettingsError as error:
        why, _, how = str(error).partition(": ")
        raise NotCheckable(f"{setting}: {why}", how) from None
    except (ArgumentError, ValueError):  # whose message repeats the URL, password and all
        raise NotCheckable(f"{setting}: is no SQLAlchemy URL", f"correct {setting}") from None
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise NotCheckable(
            f"{setting}: the database cannot be asked ({type(error).__name__})",
            f"see whether the database runs and {setting} is right",
        ) from None
    finally:
        engine.dispose()
