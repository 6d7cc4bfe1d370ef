"""Everything behind the page: both backends, the dial between them, and a Whale that can fail."""

from __future__ import annotations

import random
import secrets
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from engines.cre.runtimes.base import Runtime
from engines.factory import Overrides, build
from engines.hybrid import DialStore, HybridBackend
from engines.settings import Settings
from engines.state.database import Database
from engines.web import DatabaseOverview
from engines.whale import StaticTokens
from fake_whale import FakeWhale, InstanceOptions
from whale_ready.demo import cast
from whale_ready.demo.sites import AnsweringRuntime

WHO = "organiser"
"""Who turned the dial, in its log."""
DOWN_SECONDS = 86_400.0
"""How long Whale fails at most when nobody brings it back: the fake's longest fault."""
WORKER_SECONDS = 1.0
LOOPBACK = "127.0.0.1"
_FIRST_DIRECT, _LAST_DIRECT = 20_000, 29_000


@dataclass(frozen=True)
class DemoRuntime:
    """What CRE runs its instances on."""

    runtime: Runtime
    image: str
    deployment: str


class WhaleSwitch:
    """Has the fake Whale refuse every connection, and answer again. Safe in any thread."""

    def __init__(self, fake: FakeWhale) -> None:
        self._fake = fake
        self._lock = threading.Lock()
        self._up = True

    @property
    def up(self) -> bool:
        return self._up

    def turn(self, up: bool) -> None:
        """Instances that run on Whale go on running while it fails."""
        with self._lock:
            if up and not self._up:
                self._fake.lift_faults()
            elif not up and self._up:
                self._fake.inject({"kind": "refuse", "seconds": DOWN_SECONDS})
            self._up = up


@dataclass(frozen=True)
class Demo:
    """A demo that runs."""

    hybrid: HybridBackend
    database: Database
    store: DialStore
    overview: DatabaseOverview
    whale: WhaleSwitch
    whale_url: str
    settings: Settings
    simulated: bool
    """Whether CRE's containers are simulated; Whale's always are."""


@contextmanager
def running(containers: AbstractContextManager[DemoRuntime] | None = None) -> Iterator[Demo]:
    """A demo, its worker at work; at the end nothing of it is left.

    Args:
        containers: what CRE runs on; simulated containers unless given.

    Raises:
        CannotRun: there is no such thing; says what would help.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="whale-ready-demo-"))
        database = Database(f"sqlite:///{Path(folder) / 'state.db'}")
        stack.callback(database.close)
        tokens = cast.made_up_tokens()
        fake = stack.enter_context(
            FakeWhale(
                cast.whale_world(tokens, _free_ports(len(cast.PLAYERS))),
                instances=InstanceOptions(reachable=True),
            )
        )
        # The token keeps its control surface, which shows flags, from any page in a browser.
        whale = stack.enter_context(fake.serve(LOOPBACK, control_token=secrets.token_hex(16)))
        ours = stack.enter_context(containers or simulated_containers())
        settings = _settings(whale.url, fake, ours.deployment)
        ingredients = Overrides(
            catalog=cast.catalog(ours.image),
            runtime=ours.runtime,
            credentials=StaticTokens(tokens),
            database=database,
        )
        hybrid = stack.enter_context(closing(build(settings, ingredients)))
        store = DialStore(database, hybrid.clock)
        store.change(WHO, "begin", "", lambda dial: replace(dial, position=cast.BEGIN))
        stack.enter_context(hybrid.cleanup_worker)
        yield Demo(
            hybrid=hybrid,
            database=database,
            store=store,
            overview=DatabaseOverview(database, hybrid.clock),
            whale=WhaleSwitch(fake),
            whale_url=whale.url,
            settings=settings,
            simulated=ours.runtime.simulated,
        )


@contextmanager
def simulated_containers() -> Iterator[DemoRuntime]:
    """None that is real, but their addresses answer."""
    with closing(AnsweringRuntime()) as runtime:
        yield DemoRuntime(runtime, cast.WHALE_IMAGE, "demo")


def _settings(whale_url: str, fake: FakeWhale, deployment: str) -> Settings:
    """As an organiser would set them, but with short times, so that things are seen to happen."""
    listener = fake.http_listener
    return Settings(
        worker_seconds=WORKER_SECONDS,
        cre_deployment=deployment,
        cre_timeout_seconds=cast.LIFE_SECONDS,
        cre_extension_seconds=120,
        cre_max_extensions=cast.EXTENSIONS,
        cre_start_limit=0,
        whale_api_url=whale_url,
        whale_dialect="ctfd-whale",
        whale_timeout_seconds=cast.LIFE_SECONDS,
        whale_max_extensions=cast.EXTENSIONS,
        whale_call_seconds=5.0,
        # The adapter asks by the inner address: not every system resolves names of localhost.
        whale_probe_gateway=None if listener is None else "http://{}:{}".format(*listener),
        rollout_poll_seconds=0.0,
        rollout_breaker_failures=3,
        rollout_breaker_seconds=15.0,
        rollout_min_starts=5,
        rollout_error_percent=50,
    )


def _free_ports(wanted: int) -> range:
    """Neighbouring ports of loopback that nobody listens on, for the fake to hand out."""
    while True:
        first = random.randrange(_FIRST_DIRECT, _LAST_DIRECT)  # noqa: S311 - no secret
        ports = range(first, first + wanted)
        if all(map(_free, ports)):
            return ports


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
