"""Every fault there is, in the middle of every call: what the adapter says, and what is left.

The table of resulting codes stands in docs/whale-faults.md; run this file with
``WHALE_READY_WRITE_DOCS=1`` to write it anew.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from conformance.harnesses.fetch import http_get
from engines.clock import Clock
from engines.contract import ActionResult, Code, InstanceStatus, StartResult
from engines.errors import BackendUnavailable
from engines.settings import Settings
from engines.state.database import Database
from engines.whale import StaticTokens, WhaleAPIManager
from fake_whale import (
    FakeWhale,
    InstanceOptions,
    User,
    VirtualEpochClock,
    WhaleChallenge,
    WhaleWorld,
)
from fake_whale.whale.faults import EVENTS, TRANSPORT, WhaleFaultKind

pytestmark = pytest.mark.timeout(400)  # the first of them waits for the whole matrix
ALICE, BOB = 2, 3
TOKENS = {ALICE: "ctfd_" + 64 * "a", BOB: "ctfd_" + 64 * "b"}
CHALLENGE, DIRECT, BROKEN = 1, 2, 3
TIMEOUT_SECONDS = 3600
HALF_A_LIFE = 1800
SETTLED_SECONDS = 200
HASTY_SECONDS, LASTING_SECONDS = 1.5, 3.0
SETTINGS = {
    "max container count reached": (CHALLENGE, {"docker_max_container_count": "0"}),
    "no ports left": (DIRECT, {"frp_direct_port_maximum": "9999"}),
    "bad image reference": (BROKEN, {}),
}
"""Troubles that are no faults but settings, and the challenge that is started then."""
WRITES = {"start": "POST", "extend": "PATCH", "stop": "DELETE"}
CALLS = (*WRITES, "status")
DOC = Path(__file__).parents[2] / "docs" / "whale-faults.md"
BEGIN, END = (
    "<!-- matrix: written by tests/whale/test_fault_matrix.py -->",
    "<!-- end of matrix -->",
)

WORLD = WhaleWorld(
    users=[
        User(1, "admin", type="admin"),
        User(ALICE, "alice", token=TOKENS[ALICE]),
        User(BOB, "bob", token=TOKENS[BOB]),
    ],
    challenges=[
        WhaleChallenge(CHALLENGE, "First", image="chal:1"),
        WhaleChallenge(DIRECT, "Direct", image="chal:1", redirect_type="direct"),
        WhaleChallenge(BROKEN, "Broken", image="Bad Reference!"),
    ],
    images=frozenset({"chal:1"}),
    config={
        "frp_http_domain_suffix": "ctf.example.org",
        "frp_direct_port_minimum": "10000",
        "docker_timeout": str(TIMEOUT_SECONDS),
    },
)


@dataclass(frozen=True)
class Trouble:
    """One fault, as it is injected, and its name in the table."""

    name: str
    fault: dict[str, Any]
    writes_only: bool = False
    """Whether it hits the one request of the call that changes something, and no read."""
    real_time: bool = False
    """Whether clients wait for real: the call's deadline is shorter."""


def troubles() -> Iterator[Trouble]:
    """Every kind of fault.

    Those of the connection hit every request, or the write alone: before Whale sees it, or after
    Whale has done it.
    """
    for kind in WhaleFaultKind:
        name = kind.value
        if kind is WhaleFaultKind.FUZZED:
            continue  # another answer each time: tests/whale/test_fuzzed_answers.py
        if kind is WhaleFaultKind.REFUSE:
            yield Trouble("refuse", {"kind": name, "seconds": 3600})
            yield Trouble("refuse, the write", {"kind": name}, writes_only=True)
        elif kind in TRANSPORT:
            slow = {"seconds": LASTING_SECONDS} if kind is WhaleFaultKind.SLOW_FIRST_BYTE else {}
            fault, real = {"kind": name, **slow}, bool(slow) or kind is WhaleFaultKind.HANG
            yield Trouble(f"{name}", fault, real_time=real)
            for when in ("before", "after"):
                aimed = {**fault, "when": when}
                yield Trouble(f"{name}, the write, {when}", aimed, True, real_time=real)
        elif kind in EVENTS:
            yield Trouble(name, {"kind": name, "path": "*", "count": 1})
        elif kind is WhaleFaultKind.DOCKER_SLOW:
            yield Trouble(
                f"{name}, beyond our deadline",
                {"kind": name, "seconds": LASTING_SECONDS},
                real_time=True,
            )
            yield Trouble(f"{name}, beyond Whale's lock", {"kind": name})
        else:
            yield Trouble(name, {"kind": name})
    yield from (Trouble(name, {}) for name in SETTINGS)


@dataclass
class Cell:
    """What one call said under one fault, and what was found to be wrong."""

    code: str
    wrong: list[str] = field(default_factory=list)


class Stand:
    """A fake Whale whose instances answer, an adapter in front of it, and one clock for both."""

    def __init__(self, folder: Path, *, real_time: bool) -> None:
        self.real_time = real_time
        clock = None if real_time else VirtualEpochClock()
        options = InstanceOptions(ready_delay=0.0)
        self.fake = FakeWhale(WORLD, clock=clock, instances=options)
        self.server = self.fake.serve()
        self.database = Database(f"sqlite:///{folder / 'state.db'}")
        listener = self.fake.http_listener
        assert listener is not None
        self.gateway = listener
        self.offset = 0.0
        self.manager = self._adapter(call_seconds=10.0)
        self.hasty = self._adapter(call_seconds=HASTY_SECONDS)
        """For faults that last: the same adapter with a shorter deadline."""

    def _adapter(self, call_seconds: float) -> WhaleAPIManager:
        return WhaleAPIManager(
            Settings(
                whale_api_url=self.server.url,
                whale_probe_gateway="http://{}:{}".format(*self.gateway),
                whale_ready_seconds=4.0,
                whale_call_seconds=call_seconds,
                whale_look_again_seconds=0.02,
                whale_settle_seconds=SETTLED_SECONDS / 2,
            ),
            credentials=StaticTokens(TOKENS),
            database=self.database,
            clock=_StandsClock(self),
        )

    def settle(self) -> None:
        """Let all that is under way end, and the adapter look after it."""
        if self.real_time:
            until = time.monotonic() + 30
            while self.server.connections and time.monotonic() < until:
                time.sleep(0.01)  # until the fake, in real time, has nothing under way
            self.offset += SETTLED_SECONDS  # the adapter's clock alone: Whale is done
        else:
            self.fake.clock.advance(SETTLED_SECONDS)
        self.manager.cleanup_worker.run_once()

    def services(self, user: int) -> set[str]:
        return {s["uuid"] for s in self.fake.state()["services"] if s["user_id"] == user}

    def answers(self, instance: InstanceStatus) -> bool:
        name = f"{instance['host']}:{instance['ports'][0]}"
        return http_get(*self.gateway, "/", host_header=name) is not None

    def close(self) -> None:
        self.manager.close()
        self.hasty.close()
        self.server.close()
        self.fake.close()
        self.database.close()


class _StandsClock(Clock):
    def __init__(self, stand: Stand) -> None:
        self._stand = stand

    def now(self) -> datetime:
        seconds = self._stand.fake.clock.time() + self._stand.offset
        return datetime.fromtimestamp(seconds, timezone.utc)


@contextmanager
def stand(folder: Path, trouble: Trouble) -> Iterator[Stand]:
    made = Stand(folder, real_time=trouble.real_time)
    try:
        yield made
    finally:
        made.close()


def run(folder: Path, trouble: Trouble, call: str) -> Cell:
    """One cell: Bob has an instance, Alice has one unless she starts; then the fault, the call."""
    folder.mkdir(parents=True)
    with stand(folder, trouble) as here:
        manager = here.manager
        assert manager.start_instance(BOB, CHALLENGE).ok
        bobs = here.services(BOB)
        if call != "start":
            assert manager.start_instance(ALICE, CHALLENGE).ok
        if not here.real_time:
            here.fake.clock.advance(HALF_A_LIFE)
        challenge = CHALLENGE
        if trouble.name in SETTINGS:
            other, changed = SETTINGS[trouble.name]
            here.fake.patch_config(changed)
            challenge = other if call == "start" else CHALLENGE
        elif trouble.writes_only:
            here.fake.inject({**trouble.fault, "method": WRITES.get(call, "POST")})
        else:
            here.fake.inject(trouble.fault)
        lasting = trouble.real_time or trouble.name.startswith(WhaleFaultKind.DRIBBLE.value)
        cell = _called(here, here.hasty if lasting else here.manager, call, challenge)
        here.fake.lift_faults()
        if trouble.name == WhaleFaultKind.DOCKER_RESTARTED.value:
            here.fake.inject({"kind": "frpc_restarted"})  # the organisers' part
        here.fake.patch_config({"docker_max_container_count": "100"})
        _nothing_forgotten(
            here, cell, bobs, removed=trouble.name == WhaleFaultKind.SERVICE_REMOVED.value
        )
        return cell


def _called(here: Stand, manager: WhaleAPIManager, call: str, challenge: int) -> Cell:
    if call == "status":
        try:
            status = manager.get_instance_status(ALICE, CHALLENGE)
        except BackendUnavailable:
            return Cell("BackendUnavailable")
        except Exception as error:  # noqa: BLE001 - the very thing that must not happen
            return Cell("raised", [f"status raised {error!r}"])
        return Cell("live" if status is not None else "none")
    before = here.services(ALICE)
    try:
        result: StartResult | ActionResult = getattr(manager, f"{call}_instance")(ALICE, challenge)
    except Exception as error:  # noqa: BLE001 - as above
        return Cell("raised", [f"{call} raised {error!r}"])
    cell = Cell(result.code.value if result.definite else f"{result.code.value}, not definite")
    if result.code is Code.INTERNAL:
        cell.wrong.append(result.message)
    if result.ok:
        cell.wrong.extend(_untrue(here, call, result, before))
    elif result.code in (Code.UNAVAILABLE, Code.BUSY, Code.RATE_LIMITED) and not result.retry_after:
        cell.wrong.append(f"{result.code.value} without retry_after")
    return cell


def _untrue(
    here: Stand, call: str, result: StartResult | ActionResult, before: set[str]
) -> list[str]:
    """What a True said that is not so."""
    here.fake.lift_faults()
    there = here.services(ALICE)
    if call == "start":
        instance = result[2]
        wrong = [] if there == {instance["container_id"]} else [f"started, but {there} runs"]
        return wrong if here.answers(instance) else [*wrong, "started, but it does not answer"]
    if call == "stop":
        return [f"stopped, but {there} runs"] if there else []
    records = [r for r in here.fake.state()["records"] if r["user_id"] == ALICE]
    if [r["renew_count"] for r in records] != [1]:
        return [f"extended, but Whale has {records}"]
    return []


def _nothing_forgotten(here: Stand, cell: Cell, bobs: set[str], *, removed: bool) -> None:
    """Once all has settled, adapter and Whale agree, and everything works again."""
    here.settle()
    manager = here.manager
    if not removed and here.services(BOB) != bobs:
        cell.wrong.append("another player's instance was hit")
    if not here.real_time and manager.get_instance_status(BOB, CHALLENGE) is None:
        cell.wrong.append("another player's instance is not shown any more")
    cell.wrong.extend(_disagreement(here, removed=removed))
    started = manager.start_instance(ALICE, CHALLENGE)
    if started.code not in (Code.OK, Code.ALREADY_RUNNING):
        cell.wrong.append(f"a start afterwards: {started.code.value}")
    if not manager.stop_instance(ALICE, CHALLENGE).ok or here.services(ALICE):
        cell.wrong.append("a stop afterwards does not leave nothing")
    orphans = [s["uuid"] for s in here.fake.state()["services"] if s["orphan"]]
    if orphans:
        cell.wrong.append(f"orphans: {orphans}")


def _disagreement(here: Stand, *, removed: bool) -> list[str]:
    status = here.manager.get_instance_status(ALICE, CHALLENGE)
    shown = set() if status is None else {status["container_id"]}
    there = here.services(ALICE)
    if removed:  # Whale itself goes on saying that it runs
        return []
    return [] if shown == there else [f"{there} runs and {shown} is shown"]


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Cell]]:
    folder = tmp_path_factory.mktemp("matrix")
    return {
        trouble.name: {call: run(folder / f"{number}-{call}", trouble, call) for call in CALLS}
        for number, trouble in enumerate(troubles())
    }


@pytest.mark.parametrize("name", [trouble.name for trouble in troubles()])
def test_no_fault_makes_the_adapter_lie_or_forget(
    matrix: dict[str, dict[str, Cell]], name: str
) -> None:
    assert {call: cell.wrong for call, cell in matrix[name].items() if cell.wrong} == {}


def test_the_table_in_the_docs_is_what_was_seen(matrix: dict[str, dict[str, Cell]]) -> None:
    lines = ["| fault | start | extend | stop | status |", "|---|---|---|---|---|"]
    for name, cells in matrix.items():
        lines.append(f"| {name} | " + " | ".join(cells[call].code for call in CALLS) + " |")
    before, _, rest = DOC.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}"
    if os.environ.get("WHALE_READY_WRITE_DOCS"):
        DOC.write_text(wanted, encoding="utf-8")
    assert DOC.read_text(encoding="utf-8") == wanted
