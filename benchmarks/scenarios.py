"""What visitors do: start only, the mix of a contest, or all at once when it begins.

A visitor is an account; none makes two calls at one time. After a call whose outcome is not known
its account is laid aside until the block is over, so that what follows is not measured on it.
"""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from benchmarks.recorder import CallRecorder, TimedAnswer
from conformance.harness import Player

MIX: Mapping[str, int] = {"start": 1, "status": 5, "extend": 1, "stop": 1}
"""How often each call comes in a contest. As many stops as starts: what is live stays as many."""


class Crowd:
    """The accounts, by what is known of them."""

    def __init__(self, players: Sequence[Player], seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - repeatable, guards nothing
        self._idle = list(players)
        self._live: list[Player] = []
        self._doubtful: list[Player] = []
        self._lock = threading.Lock()

    @property
    def live(self) -> int:
        """How many have an instance, except for those in use."""
        return len(self._live)

    def idle_one(self) -> Player | None:
        """Take an account without an instance."""
        with self._lock:
            return self._idle.pop(0) if self._idle else None

    def live_one(self) -> Player | None:
        """Take any account with one."""
        with self._lock:
            return self._live.pop(self.rng.randrange(len(self._live))) if self._live else None

    def is_idle(self, player: Player) -> None:
        with self._lock:
            self._idle.append(player)

    def is_live(self, player: Player) -> None:
        with self._lock:
            self._live.append(player)

    def is_doubtful(self, player: Player) -> None:
        with self._lock:
            self._doubtful.append(player)

    def chosen(self, weights: Mapping[str, int]) -> str:
        """One of the names, as often as its weight says."""
        with self._lock:
            return self.rng.choices(list(weights), list(weights.values()))[0]

    def live_ones(self) -> list[Player]:
        """Take all with an instance."""
        with self._lock:
            taken, self._live = self._live, []
            return taken

    def doubtful_ones(self) -> list[Player]:
        """Take all that were laid aside."""
        with self._lock:
            taken, self._doubtful = self._doubtful, []
            return taken


class BenchScenario(ABC):
    """What one visit does; one object serves one backend for a whole run.

    Args:
        extends: whether the backend lets a player extend.
    """

    name: str
    at_once = False
    """Whether all visitors come at the beginning of a block, whatever rate is asked for."""

    def __init__(self, crowd: Crowd, *, extends: bool = True) -> None:
        self.crowd = crowd
        self.extends = extends

    @abstractmethod
    def visit(self, recorder: CallRecorder, intended: float) -> None:
        """Make the calls of one visitor."""

    def missed(self) -> str:
        """The first call of a visit that is not made."""
        return "start"

    def settle(self, recorder: CallRecorder) -> None:
        """After a block: stop, without recording it, what nobody knows about."""
        self._clear_all(recorder, self.crowd.doubtful_ones())

    def _clear_all(self, recorder: CallRecorder, players: Sequence[Player]) -> None:
        for player in players:
            self._clear(recorder, player)

    def _clear(self, recorder: CallRecorder, player: Player) -> None:
        if recorder.clear(player):
            self.crowd.is_idle(player)
        else:
            self.crowd.is_doubtful(player)

    def _start(self, recorder: CallRecorder, player: Player, intended: float) -> TimedAnswer:
        answer = recorder.start(player, intended)
        if answer.ok:
            self.crowd.is_live(player)
        elif answer.definite:
            self.crowd.is_idle(player)
        else:
            self.crowd.is_doubtful(player)
        return answer


class StartOnly(BenchScenario):
    """A start; what it made is removed without being measured."""

    name = "start"

    def visit(self, recorder: CallRecorder, intended: float) -> None:
        player = self.crowd.idle_one()
        if player is None:
            recorder.dropped(self.missed(), intended)
            return
        recorder.start(player, intended)
        self._clear(recorder, player)


class ContestMix(BenchScenario):
    """One call of those that players make in the course of a contest.

    Args:
        live: how many instances there are at most, beside those in use.
    """

    name = "contest"

    def __init__(self, crowd: Crowd, *, live: int, extends: bool = True) -> None:
        super().__init__(crowd, extends=extends)
        self._bound = live
        self._mix = {call: often for call, often in MIX.items() if extends or call != "extend"}

    def missed(self) -> str:
        return self.crowd.chosen(self._mix)

    def visit(self, recorder: CallRecorder, intended: float) -> None:
        call = self.crowd.chosen(self._mix)
        if call == "start" and self.crowd.live >= self._bound:
            call = "stop"
        player = None if call == "start" else self.crowd.live_one()
        if player is not None:
            self._on_live(recorder, call, player, intended)
            return
        newcomer = self.crowd.idle_one()
        if newcomer is None:
            recorder.dropped("start", intended)
        else:
            self._start(recorder, newcomer, intended)

    def _on_live(self, recorder: CallRecorder, call: str, player: Player, intended: float) -> None:
        if call == "stop":
            stopped = recorder.stop(player, intended)
            (self.crowd.is_idle if stopped.ok else self.crowd.is_doubtful)(player)
            return
        answer = (recorder.extend if call == "extend" else recorder.status)(player, intended)
        (self.crowd.is_live if answer.definite else self.crowd.is_doubtful)(player)


class ReconnectStorm(BenchScenario):
    """Everybody comes at one moment: each looks what it has, starts, and looks again."""

    name = "storm"
    at_once = True

    def missed(self) -> str:
        return "status"

    def visit(self, recorder: CallRecorder, intended: float) -> None:
        player = self.crowd.idle_one()
        if player is None:
            recorder.dropped(self.missed(), intended)
            return
        looked = recorder.status(player, intended)
        started = recorder.start(player, looked.at)
        if started.ok:
            recorder.status(player, recorder.now())
            self.crowd.is_live(player)
        else:
            self.crowd.is_doubtful(player)

    def settle(self, recorder: CallRecorder) -> None:
        """Stop everything: the next block is a beginning again."""
        self._clear_all(recorder, [*self.crowd.doubtful_ones(), *self.crowd.live_ones()])


NAMES = (ContestMix.name, StartOnly.name, ReconnectStorm.name)


def scenario(
    name: str, players: Sequence[Player], seed: int, *, live: int, extends: bool
) -> BenchScenario:
    """The scenario of that name, with a crowd of its own.

    Raises:
        ValueError: there is none.
    """
    crowd = Crowd(players, seed)
    if name == StartOnly.name:
        return StartOnly(crowd, extends=extends)
    if name == ReconnectStorm.name:
        return ReconnectStorm(crowd, extends=extends)
    if name == ContestMix.name:
        return ContestMix(crowd, live=live, extends=extends)
    raise ValueError(f"there is no scenario {name}; there are {', '.join(NAMES)}")
