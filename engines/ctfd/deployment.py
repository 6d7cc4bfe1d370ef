"""One site's backend, database and worker; each process of the server has its own.

A CTFd must come up whatever is wrong here: then calls say that the backend cannot be asked, and
the settings page says why.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from engines.audit import Action, ContainerEvent
from engines.contract import Code, account_key
from engines.cre.runtimes.base import Runtime
from engines.ctfd import held_flags as judging
from engines.ctfd.beside import SERVES_WHALES, asked_to_serve_whales
from engines.ctfd.catalog import SiteCatalog
from engines.ctfd.held_flags import HeldFlags
from engines.ctfd.imports import around_import
from engines.ctfd.owners import SiteOwners
from engines.ctfd.solves import SiteSolves
from engines.ctfd.whale_flags import WhaleFlags, note, readable
from engines.doctor import DoctorFinding
from engines.errors import BackendUnavailable, EngineError, SettingsError
from engines.factory import NEW, Overrides, get_container_backend, setup_findings
from engines.hybrid import DialStore, HybridBackend
from engines.owners import Ownership
from engines.reasons import reason
from engines.settings import Settings
from engines.state.database import Database
from engines.state.given_flags import GivenFlag, GivenFlags
from engines.state.lease import leases
from engines.web import Caller, DatabaseOverview

log = logging.getLogger(__name__)

DATABASE = "CONTAINER_DATABASE_URL"
RUNTIME = "WHALE_READY_RUNTIME"
"""Where another plugin, loaded before, may put an :class:`engines.cre.runtimes.base.Runtime`."""


@dataclass(frozen=True)
class SiteParts:
    """What one process works with."""

    process: int
    settings: Settings
    database: Database
    backend: HybridBackend
    overview: DatabaseOverview
    dial: DialStore
    flags: WhaleFlags | None
    owners: Ownership
    given: GivenFlags
    """Flags of whatever ran on Whale; those of the own engine are its own."""


class Deployment:
    """Makes the parts at the first call in each process, and anew after a failure.

    Args:
        config: CTFd's ``app.config``.
        site_url: CTFd's own database; everything is kept there unless ``CONTAINER_DATABASE_URL``
            names another.
        sees_hidden: see :class:`engines.ctfd.catalog.SiteCatalog`.
    """

    def __init__(
        self, config: Mapping[str, object], site_url: str, sees_hidden: Callable[[], bool]
    ) -> None:
        self.config: dict[str, object] = dict(config)
        self.from_site: frozenset[str] = frozenset()
        if not os.environ.get(DATABASE, "").strip() and not self.config.get(DATABASE):
            self.config[DATABASE] = site_url
            self.from_site = frozenset({DATABASE})
        self.problem = ""
        """What is wrong with the settings, in words; empty when nothing is."""
        self.serves_whales = False
        """Whether the plugin has found ctfd-whale's type, and been told to serve it."""
        self.whale_is_here: Callable[[], bool] = lambda: False
        """Whether ctfd-whale is a plugin of this CTFd."""
        self.importing: Callable[[], bool] = lambda: False
        """Whether an import into this CTFd is at work."""
        self._site_url = site_url
        self._sees_hidden = sees_hidden
        self._lock = threading.Lock()
        self._parts: SiteParts | None = None
        self._of_parents: list[SiteParts] = []

    def asked_to_serve_whales(self) -> bool:
        """Whether an organiser wants ctfd-whale's challenges served too."""
        return asked_to_serve_whales(self._text(SERVES_WHALES))

    def prepare(self) -> None:
        """Bring the engine's tables up to date; what is wrong is logged and kept in ``problem``."""
        try:
            database = Database(self._settings().state_url)
            try:
                database.ensure_schema()
            finally:
                database.close()
            self.problem = ""
        except (EngineError, SQLAlchemyError, ValueError, ImportError, OSError) as error:
            self._failed(error)

    @contextmanager
    def around_import(self) -> Iterator[None]:
        """CTFd's database is replaced within, and ours with it where it is the same."""
        settings = self.settings_or_none()
        with nullcontext() if settings is None else around_import(settings.state_url):
            yield

    def backend(self) -> HybridBackend:
        """The backend of this process.

        Raises:
            BackendUnavailable: it cannot be made; ``problem`` says why.
        """
        return self.parts().backend

    def parts(self) -> SiteParts:
        """Everything of this process.

        Raises:
            BackendUnavailable: it cannot be made; ``problem`` says why.
        """
        with self._lock:
            found = self._parts
            if found is not None and found.process == os.getpid():
                return found
            if found is not None:
                # A fork: the parent's connections are its own, and closing them would end them.
                self._of_parents.append(found)
            try:
                self._parts = made = self._make()
            except (EngineError, SQLAlchemyError, ValueError, ImportError, OSError) as error:
                self._parts = None
                self._failed(error)
                raise BackendUnavailable("the containers are not set up right") from error
            self.problem = ""
            return made

    def holds(self, caller: Caller, challenge_id: int) -> bool:
        """Whether anything of the account's instance is on record; when in doubt, yes."""
        try:
            return self.backend().holds(caller.user_id, challenge_id, caller.team_id)
        except BackendUnavailable:
            return True  # the call itself will say so

    def work(self) -> None:
        """Have the cleanup worker run in this process; of all that run, one has the lease."""
        try:
            self.backend().cleanup_worker.start()
        except BackendUnavailable:
            return  # it is logged, and the next request tries again

    def worker_alive(self) -> bool:
        """Whether a worker of any process was heard of lately.

        Raises:
            SQLAlchemyError: the database cannot be asked.
        """
        parts = self.parts()
        now = parts.database.clock.now()
        query = sa.select(leases.c.name).where(
            leases.c.name == f"cleanup {parts.backend.name}", leases.c.until > now
        )
        with parts.database.read() as connection:
            return connection.execute(query).first() is not None

    def flags(self, user_id: int, challenge_id: int, team_id: int | None) -> HeldFlags:
        """The account's flags for a challenge, wherever its instances run; none where nobody can
        know them.

        Raises:
            BackendUnavailable: it cannot be asked.
        """
        parts = self.parts()
        now = parts.database.clock.now()
        account = account_key(user_id, team_id)
        try:
            mark = parts.owners.mark(user_id, team_id, challenge_id)
            counting = parts.backend.counting_flags(user_id, challenge_id, team_id)
            if parts.flags is not None:
                parts.flags.note(parts.given, now)
                live = parts.flags.flag(account, challenge_id, mark, now)
                earlier = parts.given.counting(account, challenge_id, mark, now)
                counting = tuple(dict.fromkeys([*filter(None, [live]), *counting, *earlier]))
            digests = parts.given.digests(account, challenge_id, mark)
        except SQLAlchemyError:
            raise BackendUnavailable("the database cannot be asked for a flag") from None
        return HeldFlags(counting, digests)

    def note_foreign(
        self, submission: str, user_id: int, challenge_id: int, team_id: int | None
    ) -> bool:
        """Tell the audit log when a submission is a flag that somebody else was given, and say so.

        What cannot be looked up is told in the program's log: the submission is judged anyway.
        """
        try:
            parts, mine = self.parts(), account_key(user_id, team_id)
            mark = parts.owners.mark(user_id, team_id, challenge_id) or ""
            holder = _other_holder(parts.given.holders(submission, challenge_id), mine, mark)
            if holder is not None:
                at = parts.database.clock.now()
                parts.backend.audit.record(_foreign(at, holder, user_id, challenge_id, team_id))
            return holder is not None
        except (BackendUnavailable, SQLAlchemyError) as error:
            log.warning("whose flag was submitted is not known: %s", reason(error))
            return False

    def nothing_runs(self) -> str:
        """What a player reads whose container is gone for too long."""
        return judging.nothing_runs(self.parts().settings.flag_grace_seconds)

    def end_orphans(self, seconds: float) -> None:
        """End what a deletion has just orphaned; goes on in the background after so many seconds.

        What cannot be ended now is the worker's.
        """
        try:
            backend = self.backend()
        except BackendUnavailable:
            return  # it is logged

        def work() -> None:
            try:
                backend.end_orphans()
            except (BackendUnavailable, SQLAlchemyError) as error:
                log.warning("what is orphaned is left for the worker: %s", reason(error))

        thread = threading.Thread(target=work, name="whale-ready-orphans", daemon=True)
        thread.start()
        thread.join(seconds)

    def setup(self, seconds: float = 0.0) -> tuple[DoctorFinding, ...] | None:
        """See :func:`engines.factory.setup_findings`."""
        return setup_findings(seconds)

    def settings_or_none(self) -> Settings | None:
        """The settings, or None where one is wrong."""
        try:
            return self._settings()
        except SettingsError:
            return None

    def _settings(self) -> Settings:
        names = (field.metadata["env"] for field in Settings.__dataclass_fields__.values())
        return Settings.from_environ({name: self._text(name) for name in names})

    def _text(self, name: str) -> str:
        given = os.environ.get(name, "").strip()
        value = self.config.get(name)
        return given or ("" if value is None else str(value).strip())

    def _make(self) -> SiteParts:
        settings = self._settings()
        database = Database(settings.state_url)
        try:
            site = database if settings.state_url == self._site_url else Database(self._site_url)
            runtime = self.config.get(RUNTIME)
            whale = self._whales_database(settings, site)
            ingredients = Overrides(
                catalog=SiteCatalog(
                    site, self._sees_hidden, whales_too=self.serves_whales, whale=whale
                ),
                database=database,
                runtime=runtime if isinstance(runtime, Runtime) else None,
                solved=SiteSolves(site),
                owners=SiteOwners(site, lambda: self.importing()),
            )
            backend = get_container_backend(self.config, ingredients)
            overview = DatabaseOverview(database)
            dial = DialStore(database, database.clock)
            flags = readable(settings, WhaleFlags(database, whale or site.engine))
            given = GivenFlags(database, NEW, timedelta(seconds=settings.flag_grace_seconds))
            if flags is not None:
                backend.notice = partial(note, flags, given, database.clock)
        except BaseException:  # whatever it was, no connection is left behind; raised again
            database.close()
            raise
        return SiteParts(
            os.getpid(),
            settings,
            database,
            backend,
            overview,
            dial,
            flags,
            Ownership(ingredients.owners),
            given,
        )

    def _whales_database(self, settings: Settings, site: Database) -> sa.engine.Engine | None:
        """The one that is named for Whale's tokens; else this CTFd's, where Whale is its plugin."""
        if settings.whale_api_url is None:
            return None
        if settings.whale_ctfd_database_url is not None:
            return Database(settings.whale_ctfd_database_url).engine
        return site.engine if self.whale_is_here() else None

    def _failed(self, error: Exception) -> None:
        # Only our own errors are known to quote no URL and no password.
        said = str(error) if isinstance(error, EngineError) else type(error).__name__
        if said != self.problem:  # each request tries again
            log.error("whale-ready is not set up right: %s", said)
        self.problem = said


def _other_holder(holders: list[GivenFlag], mine: str, mark: str) -> GivenFlag | None:
    """Who was given a flag of this very challenge; None where it is the account's own, or none."""
    challenge = mark.partition(".")[2]
    of_it = [holder for holder in holders if (holder.mark or "").partition(".")[2] == challenge]
    if any((flag.account, flag.mark or "") == (mine, mark) for flag in of_it):
        return None
    return next(iter(of_it), None)


def _foreign(
    at: datetime, holder: GivenFlag, user_id: int, challenge_id: int, team_id: int | None
) -> ContainerEvent:
    """Which account submitted whose flag; the flag itself is not in it."""
    former = holder.account == account_key(user_id, team_id)
    return ContainerEvent(
        at=at,
        backend=holder.backend,
        user_id=user_id,
        team_id=team_id,
        challenge_id=challenge_id,
        action=Action.FOREIGN_FLAG,
        code=Code.OK,
        duration_ms=0,
        metadata={
            "flag_of": holder.account,
            "flag_of_user": holder.user_id,
            "flag_of_team": holder.team_id,
            "reason": "a flag of another account was submitted"
            + (", deleted since: its number is this one's" if former else ""),
        },
    )
