"""``get_container_backend()``: the one backend of a process, whatever it stands on.

Call sites ask once and keep it::

    cre = get_container_backend()
    cre.start_instance(user_id, challenge_id, team_id)

What they hold routes each call (:class:`engines.hybrid.HybridBackend`), so ``USE_WHALE`` or the
dial may change while the process runs, and no call site notices.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from engines.catalog import Catalog, not_on_whale
from engines.clock import Clock
from engines.contract import ContainerBackend
from engines.cre import ContainerRuntimeEngine
from engines.cre.engine import Solved
from engines.cre.runtimes.base import Runtime
from engines.doctor import DoctorFinding, SetupWatch, examine_docker
from engines.errors import SettingsError
from engines.hybrid import Breaker, DialReader, DialStore, HybridBackend, Keys, StartRouter
from engines.hybrid.health import HealthLimits
from engines.hybrid.watch import RolloutWatch
from engines.owners import Owners
from engines.published import document
from engines.settings import Settings
from engines.state.database import Database, one_clock
from engines.upkeep import Upkeep
from engines.whale import Credentials, WhaleAPIManager

log = logging.getLogger(__name__)

HOME, NEW = "cre", "whale"
"""What the two are called in routes, audit log and status."""


@dataclass(frozen=True)
class Overrides:
    """Parts to be used instead of what the settings would have made; closing them is yours."""

    catalog: Catalog | None = None
    runtime: Runtime | None = None
    credentials: Credentials | None = None
    database: Database | None = None
    clock: Clock | None = None
    solved: Solved | None = None
    """See :class:`engines.cre.ContainerRuntimeEngine`."""
    owners: Owners | None = None


NOTHING_GIVEN = Overrides()


class _Held:
    """The one object per process, and whose it is: a fork makes its own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.backend: HybridBackend | None = None
        self.setup: SetupWatch | None = None
        self.process = 0


_held = _Held()


def get_container_backend(
    config: Mapping[str, object] | None = None, ingredients: Overrides = NOTHING_GIVEN
) -> HybridBackend:
    """The backend of this process; made at the first call, the same object at every further one.

    Settings come from the environment, then from ``config``, such as CTFd's ``app.config``; both
    are read once, except for ``USE_WHALE``, which is read anew at every start. Arguments of further
    calls are not looked at.

    Raises:
        SettingsError: a setting is missing or wrong; names it and the fix. Nothing was kept.
    """
    with _held.lock:
        if _held.backend is None or _held.process != os.getpid():
            source = _Source(config or {})
            settings = Settings.from_environ(source.read())
            _held.backend = build(settings, ingredients, use_whale=_Switch(source, settings))
            _held.process = os.getpid()
            _held.setup = None
            if ingredients.runtime is None:
                _held.setup = SetupWatch(lambda: examine_docker(settings))
                _held.setup.begin()
        return _held.backend


def setup_findings(seconds: float = 0.0) -> tuple[DoctorFinding, ...] | None:
    """What keeps the containers of this process's backend from starting, and what does not.

    The set-up is looked at in the background once the backend is made; what is wrong is logged.
    Empty as long as no look has ended; None where there is no backend, or a runtime was given.

    Args:
        seconds: how long to wait for a new look; 0: what was seen last, at once.
    """
    setup = _held.setup if _held.process == os.getpid() else None
    if setup is None:
        return None
    return setup.fresh(seconds) if seconds else setup.seen()


def reset_container_backend() -> None:
    """Close and forget the backend of this process, for tests and for a change of settings.

    Whoever kept it has an object that is closed.
    """
    with _held.lock:
        backend, _held.backend, _held.setup = _held.backend, None, None
        if backend is not None and _held.process == os.getpid():
            backend.close()


def build(
    settings: Settings,
    ingredients: Overrides = NOTHING_GIVEN,
    *,
    use_whale: Callable[[], bool] | None = None,
) -> HybridBackend:
    """A backend of one's own, as :func:`get_container_backend` makes it.

    Without ``WHALE_API_URL`` there is the own engine alone, and no dial turns it.

    Args:
        use_whale: what ``USE_WHALE`` says now; the setting's value unless given.

    Raises:
        SettingsError: ``USE_WHALE`` is true and there is no way to Whale.
    """
    _check(settings, ingredients)
    database = ingredients.database or Database(settings.state_url)
    clock = one_clock(database, ingredients.clock)
    home = ContainerRuntimeEngine(
        settings,
        runtime=ingredients.runtime,
        catalog=ingredients.catalog,
        database=database,
        clock=clock,
        solved=ingredients.solved,
        owners=ingredients.owners,
    )
    new: ContainerBackend | None = None
    if settings.whale_api_url is not None:
        new = WhaleAPIManager(
            settings,
            credentials=ingredients.credentials,
            database=database,
            clock=clock,
            owners=ingredients.owners,
            catalogue=lambda: {spec.id for spec in home.catalog.all()} - not_on_whale(home.catalog),
        )
    breaker = Breaker(
        clock,
        failures=settings.rollout_breaker_failures,
        seconds=settings.rollout_breaker_seconds,
    )
    store = DialStore(database, clock)
    reader = DialReader(store, clock, settings.rollout_poll_seconds)
    router = StartRouter(
        Keys(HOME, NEW if new is not None else None),
        reader,
        use_whale or (lambda: settings.use_whale),
        breaker,
        falls_back=settings.rollout_fallback,
        catalog=home.catalog,
    )
    watch = RolloutWatch(
        database,
        store,
        reader,
        clock,
        HealthLimits.of(settings),
        backend=NEW,
        steps_back=settings.rollout_step_back,
    )
    ours = () if ingredients.database is not None else (database.close,)
    return HybridBackend(
        home,
        new,
        router,
        database=database,
        clock=clock,
        worker_seconds=settings.worker_seconds,
        after_round=watch.tend if new is not None else None,
        shadow=store,
        owned=(home.close, *(() if new is None else (new.close,)), *ours),
        upkeep=Upkeep(database, clock, settings),
    )


def _check(settings: Settings, ingredients: Overrides) -> None:
    if settings.use_whale and settings.whale_api_url is None:
        raise SettingsError(
            "WHALE_API_URL is not set, and USE_WHALE is true; write the address of Whale's CTFd, "
            "or set USE_WHALE=false"
        )
    ways = (settings.whale_tokens_file, settings.whale_ctfd_database_url, ingredients.credentials)
    if settings.whale_api_url is not None and all(way is None for way in ways):
        raise SettingsError(
            "WHALE_TOKENS_FILE is not set, nor is WHALE_CTFD_DATABASE_URL: without one of them no "
            f"call to Whale can say whose it is; such a file: {document('settings.md')}"
        )


class _Source:
    """The environment, then a mapping whose values may be of any type."""

    def __init__(self, config: Mapping[str, object]) -> None:
        self._config = config
        self._names = [field.metadata["env"] for field in fields(Settings)]

    def read(self) -> dict[str, str]:
        """Every setting that either of them has, as text."""
        return {name: text for name in self._names if (text := self.text(name))}

    def text(self, name: str) -> str:
        """One setting; empty when neither has it."""
        given = os.environ.get(name, "").strip()
        if given:
            return given
        value = self._config.get(name)
        return "" if value is None else str(value).strip()


class _Switch:
    """``USE_WHALE`` as it stands now; a value that cannot be read changes nothing."""

    def __init__(self, source: _Source, settings: Settings) -> None:
        self._source = source
        self._last = settings.use_whale
        self._text = source.text("USE_WHALE")
        self._whale = settings.whale_api_url is not None

    def __call__(self) -> bool:
        text = self._source.text("USE_WHALE")
        if text != self._text:
            self._text = text
            try:
                wanted = Settings.from_environ({"USE_WHALE": text}).use_whale
            except SettingsError as error:
                log.error("%s; it stays as it was", error)
                return self._last
            if wanted and not self._whale:
                log.error("USE_WHALE is true now, and WHALE_API_URL was not set at the start")
            self._last = wanted
        return self._last
