"""Harnesses that go wrong in every way a third party's may."""

from __future__ import annotations

import os
import signal
import threading
import weakref
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from conformance.harness import CannotRun, Hook, Options, World
from engines.contract import ActionResult, Addressing, Capabilities, StartResult
from reference.backend import ReferenceBackend
from reference.breakages import ForgetfulStop
from reference.world import ReferenceHarness, ReferenceWorld


class NoServer(ReferenceHarness):
    """What it stands on is not there."""

    def open(self) -> None:
        super().open()
        raise CannotRun("no server answers on port 9; start one")


class CrashingOpen(ReferenceHarness):
    def open(self) -> None:
        super().open()
        raise RuntimeError("opened badly")


class CrashingWorld(ReferenceHarness):
    """Makes the first world, which is asked for its capabilities, and no other."""

    def world(self, options: Options) -> World:
        if self.worlds:
            raise RuntimeError("no world today")
        return super().world(options)


class CrashingClose(ReferenceHarness):
    def close(self) -> None:
        super().close()
        if self.closed == 1:
            raise RuntimeError("closed badly")


class CrashingCloseOfABrokenBackend(CrashingClose):
    def __init__(self) -> None:
        super().__init__(ForgetfulStop)


class _LeakyWorld(ReferenceWorld):
    def close(self) -> None:
        raise RuntimeError("could not clear up")


class LeakyWorlds(ReferenceHarness):
    """Its worlds cannot be closed, except for the first, which is asked for its capabilities."""

    def world(self, options: Options) -> World:
        self.worlds += 1
        world = _LeakyWorld if self.worlds > 1 else ReferenceWorld
        return world(self.backend(options))


class _LyingWorld(ReferenceWorld):
    def running(self) -> set[str]:
        raise AssertionError("a hook's own assertion is no failure of the backend")


class LyingHooks(ReferenceHarness):
    def world(self, options: Options) -> World:
        return _LyingWorld(self.backend(options))


class _SilentAboutHosts(ReferenceBackend):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, addressing=frozenset({Addressing.HOST_PORT}))


class SilentAboutHosts(ReferenceHarness):
    """Its backend has host names and does not declare them."""

    def __init__(self) -> None:
        super().__init__(_SilentAboutHosts)


class _SilentAboutLoss(ReferenceBackend):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, detects_loss=False)


class SilentAboutLoss(ReferenceHarness):
    """Its backend notices lost containers and does not declare it."""

    def __init__(self) -> None:
        super().__init__(_SilentAboutLoss)


class _NoFetch(ReferenceWorld):
    fetch = World.fetch


class NotThere(ReferenceHarness):
    """Declares every hook, and its worlds have no ``fetch()``."""

    def world(self, options: Options) -> World:
        return _NoFetch(self.backend(options))


class Forgotten(ReferenceHarness):
    """Its worlds have a ``fetch()`` that it does not declare."""

    hooks = frozenset(Hook) - {Hook.FETCH}


class NothingApplies(ReferenceHarness):
    """Offers no hook; with a selection of scenarios that need one nothing applies."""

    hooks: frozenset[Hook] = frozenset()


class _SkippingBackend(ReferenceBackend):
    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        pytest.skip("let us not")


class Skipping(ReferenceHarness):
    """Tries to get out of a scenario by pytest's own skip."""

    def __init__(self) -> None:
        super().__init__(_SkippingBackend)


class _ExitingBackend(ReferenceBackend):
    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        raise SystemExit(0)


class Exiting(ReferenceHarness):
    """Tries to end the run with a good exit code."""

    def __init__(self) -> None:
        super().__init__(_ExitingBackend)


class _LeavingBackend(ReferenceBackend):
    def extend_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> ActionResult:
        pytest.exit("all is well", returncode=0)


class Leaving(ReferenceHarness):
    """Tries to end the run early by pytest's own exit."""

    def __init__(self) -> None:
        super().__init__(_LeavingBackend)


class _InterruptedBackend(ReferenceBackend):
    number = signal.SIGINT

    def stop_instance(self, *args: object, **kwargs: object) -> object:  # type: ignore[override] # never returns
        os.kill(os.getpid(), self.number)
        return super().stop_instance(*args, **kwargs)  # type: ignore[arg-type] # passed through


class _TerminatedBackend(_InterruptedBackend):
    number = signal.SIGTERM


class Interrupted(ReferenceHarness):
    """Ctrl-C arrives in the first stop; the file named by CLOSED tells of a clean end."""

    def __init__(self, backend: type[ReferenceBackend] = _InterruptedBackend) -> None:
        super().__init__(backend)

    def close(self) -> None:
        super().close()
        marker = os.environ.get("WR_TEST_CLOSED")
        if marker:
            with Path(marker).open("a", encoding="utf-8") as file:
                file.write("closed\n")


class Terminated(Interrupted):
    """The same with SIGTERM."""

    def __init__(self) -> None:
        super().__init__(_TerminatedBackend)


class _Thing:
    pass


def _interrupt(_reference: object) -> None:
    signal.raise_signal(signal.SIGINT)
    for _ in range(1000):  # in here Python sees it
        pass


class _UnheardBackend(ReferenceBackend):
    watched: ClassVar[weakref.ref[_Thing] | None] = None
    """Set by the first stop of all."""

    def stop_instance(self, *args: object, **kwargs: object) -> object:  # type: ignore[override] # as above
        if _UnheardBackend.watched is None:
            thing = _Thing()
            # What is raised in a weak reference's callback is dropped.
            _UnheardBackend.watched = weakref.ref(thing, _interrupt)
            del thing
        return super().stop_instance(*args, **kwargs)  # type: ignore[arg-type] # passed through


class InterruptedUnheard(Interrupted):
    """Ctrl-C arrives in the first stop, where nothing that is raised gets out."""

    def __init__(self) -> None:
        super().__init__(_UnheardBackend)


class InterruptedOpen(ReferenceHarness):
    """Ctrl-C arrives while it is being prepared."""

    def open(self) -> None:
        super().open()
        raise KeyboardInterrupt


class _HangingBackend(ReferenceBackend):
    def extend_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> ActionResult:
        threading.Event().wait()
        return super().extend_instance(user_id, challenge_id, team_id)


class Hanging(ReferenceHarness):
    """An extend that never returns."""

    def __init__(self) -> None:
        super().__init__(_HangingBackend)


class HangingWorld(CrashingWorld):
    """A world that is never made, except for the first."""

    def world(self, options: Options) -> World:
        if self.worlds:
            threading.Event().wait()
        return super().world(options)
