"""Makes new recorded sessions by playing random but seeded steps against any Whale.

Against a fake with a virtual clock the waits move its clock; against anything else they are real.
Sessions must begin in an empty world: a fake is reset, elsewhere each session gets users of its own
for as long as there are any, and destroys what it started.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import requests

from ..whale.errors import FakeWhaleError
from ..whale.world import WhaleWorld
from .actors import Actors, TooManyLogins
from .recording import Ask, Auth, Csrf, RecordedSession, RecordedStep

ACTORS = 2
WAITS = (0.0, 0.0, 0.0, 0.6, 3.0, 11.5, 11.5)
LONG_WAIT = 62.5
LEFT_LOCK_SECONDS = 11.0
LOGIN_LIMIT_SECONDS = 6.0
LOGIN_TRIES = 10
_AUTHS = (Auth.TOKEN,) * 7 + (Auth.SESSION,) * 3 + (Auth.TOKEN_WITH_JAR, Auth.NONE)
_METHODS = ("GET", "GET", "GET", "POST", "POST", "POST", "PATCH", "PATCH", "DELETE", "DELETE")
_CSRFS = (Csrf.OK,) * 18 + (Csrf.MISSING, Csrf.WRONG)
_CONTROL_SECONDS = 10.0


class RecordedWhale:
    """The Whale that is recorded; knows whether it is a fake that can be reset and moved."""

    def __init__(self, base_url: str, control_token: str | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self._headers = {"X-Fake-Control-Token": control_token} if control_token else {}
        health = self._health()
        self.is_fake = health is not None
        self.virtual = health is not None and health.get("clock") == "virtual"

    def now(self) -> float | None:
        """The virtual clock's time; None where time is real."""
        health = self._health() if self.virtual else None
        return float(health["now"]) if health else None  # type: ignore[arg-type]  # the fake's own number

    def wait(self, seconds: float) -> None:
        """Let ``seconds`` pass on the Whale's clock."""
        if seconds <= 0:
            return
        if self.virtual:
            self._control("/_fake/clock/advance", {"seconds": seconds})
        else:
            threading.Event().wait(seconds)

    def reset(self) -> None:
        """Empty a fake; nothing elsewhere."""
        if self.is_fake:
            self._control("/_fake/reset", {})

    def _control(self, path: str, body: dict[str, float]) -> None:
        answer = requests.post(
            self.base_url + path, json=body, headers=self._headers, timeout=_CONTROL_SECONDS
        )
        if answer.status_code != 200:
            raise FakeWhaleError(f"{path} answered {answer.status_code}: {answer.text.strip()}")

    def _health(self) -> dict[str, object] | None:
        try:
            answer = requests.get(
                f"{self.base_url}/_fake/health", headers=self._headers, timeout=_CONTROL_SECONDS
            )
        except requests.RequestException as error:
            raise FakeWhaleError(f"{self.base_url} cannot be reached: {error}") from error
        if answer.status_code != 200 or "json" not in answer.headers.get("Content-Type", ""):
            return None
        health: dict[str, object] = answer.json()
        return health if health.get("status") == "ok" else None


def record(
    whale: RecordedWhale, world: WhaleWorld, seed: int, sessions: int
) -> Iterator[RecordedSession]:
    """Record ``sessions`` new sessions; the same seed asks the same questions.

    Raises :class:`~fake_whale.whale.errors.FakeWhaleError` when the Whale cannot be reached, a user
    cannot log in or the world has too few users.
    """
    random = Random(f"record-{seed}")  # noqa: S311  # repeatable on purpose
    actors = [user.name for user in world.users if user.token and user.type == "user"]
    if len(actors) < ACTORS:
        raise FakeWhaleError(f"users: recording needs {ACTORS} ordinary users with tokens")
    for number in range(sessions):
        first = number * ACTORS % (len(actors) - ACTORS + 1)
        chosen = actors[first : first + ACTORS]
        whale.reset()
        yield _session(whale, world, f"recorded-{seed}-{number}", _asks(random, world, chosen))


def _session(
    whale: RecordedWhale, world: WhaleWorld, name: str, asks: list[Ask]
) -> RecordedSession:
    cast = Actors(whale.base_url, world)
    steps = []
    try:
        for ask in asks:  # all logins first: between steps their time would count as nobody's
            _log_in(whale, cast, ask)
        for ask in asks:
            whale.wait(ask.wait)
            began = whale.now()
            answer = cast.play(ask)
            ended = whale.now()
            if began is not None and ended is not None:
                answer = replace(answer, took=ended - began)
            steps.append(RecordedStep(ask, answer))
        if not whale.is_fake:
            _clean_up(whale, cast, asks)
    finally:
        cast.close()
    return RecordedSession(name, {}, tuple(steps))


def _log_in(whale: RecordedWhale, cast: Actors, ask: Ask) -> None:
    for _ in range(LOGIN_TRIES - 1):
        try:
            return cast.prepare(ask)
        except TooManyLogins:  # somebody else logs in from here too
            whale.wait(LOGIN_LIMIT_SECONDS)
    return cast.prepare(ask)


def _clean_up(whale: RecordedWhale, cast: Actors, asks: list[Ask]) -> None:
    whale.wait(LEFT_LOCK_SECONDS)
    for actor in sorted({ask.actor for ask in asks}):
        cast.play(Ask(0, actor, Auth.TOKEN, 1, "DELETE", None, True, Csrf.OK))
    whale.wait(LEFT_LOCK_SECONDS)


def _asks(random: Random, world: WhaleWorld, actors: list[str]) -> list[Ask]:
    ids = [str(challenge.id) for challenge in world.challenges]
    targets: list[str | None] = [*ids, *ids[:2] * 3, "999", "abc", None]
    asks = []
    for _ in range(random.randint(8, 16)):
        wait = LONG_WAIT if random.random() < 0.05 else random.choice(WAITS)
        asks.append(
            Ask(
                wait=wait,
                actor=random.choice(actors),
                auth=random.choice(_AUTHS),
                login=random.choice((1, 1, 2)),
                method=random.choice(_METHODS),
                challenge_id=random.choice(targets),
                json=random.random() > 0.07,
                csrf=random.choice(_CSRFS),
            )
        )
    return asks
