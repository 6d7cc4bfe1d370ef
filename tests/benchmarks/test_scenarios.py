"""What visitors do, and what is recorded of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.timed_backend import Timed
from support.virtual_time import VirtualTime

from benchmarks.cells import LoadStep, cells_of, decisions_of, knee_of, ratios_of
from benchmarks.comparison import BenchPlan, Block, Run, Side
from benchmarks.decisions import Judged, MarginDecision, margin_of, together
from benchmarks.recorder import READY_SECONDS, CallRecorder, Fetch, Heading
from benchmarks.samples import (
    DROPPED,
    Measure,
    RunPart,
    Sample,
    SamplesError,
    read_samples,
    write_samples,
)
from benchmarks.scenarios import MIX, scenario
from conformance.harnesses.cast import crowd
from engines.contract import Code, InstanceStatus

NO_FAILURE: Callable[[int], Code | None] = lambda _number: None  # noqa: E731 - a default


class Site:
    """Two systems, of which the second may take another time for its calls."""

    def __init__(self, plan: BenchPlan, takes: tuple[float, float] = (0.1, 0.1)) -> None:
        self.time = VirtualTime()
        self.plan = plan
        self.kept: list[Sample] = []
        self.servers = [Timed(self.time, lambda _now, took=took: took) for took in takes]  # type: ignore[misc] # bound now
        self.sides = [
            self._side(name, server) for name, server in zip("AB", self.servers, strict=True)
        ]
        self.order: list[str] = []
        self.run = Run(plan, self.sides, self.time, self.kept.extend, self._note)

    def _side(self, name: str, server: Timed) -> Side:
        plan = self.plan
        players = crowd(plan.accounts)
        visitors = scenario(plan.scenario, players, plan.seed, live=plan.live, extends=True)
        return Side(name, server, 1, None, visitors)

    def _note(self, _done: int, _total: int, name: str) -> None:
        self.order.append(name)


def test_systems_take_turns_and_neither_always_comes_first() -> None:
    site = Site(BenchPlan("start", seconds=8.0, turns=4, concurrency=2))
    site.run.measure()
    warm_up, turns = site.order[:2], site.order[2:]
    assert warm_up == ["A", "B"]
    assert turns == ["A", "B", "B", "A", "A", "B", "B", "A"]
    # a block each of one second, and nothing of the warm-up is kept
    assert [(block.backend, block.block) for block in site.run.blocks] == [
        (name, number // 2) for number, name in enumerate(turns)
    ]
    assert {each.block for each in site.kept} == {0, 1, 2, 3}
    assert site.kept == site.run.samples


def test_a_contest_is_the_mix_and_holds_no_more_than_its_bound() -> None:
    plan = BenchPlan("contest", seconds=800.0, turns=4, concurrency=4, live=6)
    site = Site(plan)
    site.run.measure()
    server = site.servers[0]
    # no account is started twice, or stopped when it has nothing
    assert server.twice == []
    assert all(each.ok for each in site.kept)
    assert len(server.live) <= plan.live + plan.concurrency
    counts = Counter(each.call for each in site.kept)
    for call, weight in MIX.items():
        assert counts[call] / sum(counts.values()) == pytest.approx(
            weight / sum(MIX.values()), rel=0.2
        )


def test_a_storm_comes_at_one_moment_and_waits_from_there() -> None:
    site = Site(BenchPlan("storm", seconds=8.0, turns=2, concurrency=5))
    site.run.measure()
    first = [each for each in site.kept if each.backend == "A" and each.block == 0]
    assert Counter(each.call for each in first) == {"status": 10, "start": 5}
    began = site.run.blocks[0].began
    assert sorted(each.intended for each in first)[:5] == [began] * 5
    # then all is removed, so that the next turn is a beginning again
    assert all(server.live == set() for server in site.servers)


def test_starts_only_removes_what_it_made_and_does_not_measure_that() -> None:
    site = Site(BenchPlan("start", seconds=8.0, turns=2, concurrency=2))
    site.run.measure()
    assert {each.call for each in site.kept} == {"start"}
    assert all(server.live == set() for server in site.servers)


def test_an_open_loop_gives_both_systems_of_a_turn_the_same_moments() -> None:
    site = Site(BenchPlan("contest", seconds=80.0, turns=2, concurrency=8, rate=5))
    site.run.measure()
    moments = {}
    for block in site.run.blocks:
        mine = [e for e in site.kept if (e.backend, e.block) == (block.backend, block.block)]
        moments[block.backend, block.block] = sorted(
            round(each.intended - block.began, 6) for each in mine
        )
    assert moments["A", 0] == moments["B", 0] != moments["A", 1] == moments["B", 1]
    assert len(moments["A", 0]) > 50


def test_a_sweep_tries_each_load_on_each_system() -> None:
    site = Site(BenchPlan("start", seconds=4.0, turns=1, concurrency=1, sweep=(1, 2, 4)))
    site.run.measure()
    swept = [block for block in site.run.blocks if block.part is RunPart.SWEEP]
    assert [(e.backend, e.concurrency) for e in swept] == [
        ("A", 1), ("B", 1), ("B", 2), ("A", 2), ("A", 4), ("B", 4),
    ]  # fmt: skip
    assert [server.most for server in site.servers] == [4, 4]


def recorded(
    fails: Callable[[int], Code | None] = NO_FAILURE, fetch: Fetch | None = None
) -> tuple[VirtualTime, Timed, CallRecorder]:
    time = VirtualTime()
    server = Timed(time, lambda _now: 1.0, fails)
    heading = Heading(RunPart.MAIN, "timed", "start", 0, 1)
    return time, server, CallRecorder(heading, server, 1, fetch, time)


def test_time_to_answer_and_time_to_ready_are_kept_apart() -> None:
    # given an address that answers two seconds after the start did
    def fetch(_instance: InstanceStatus) -> str | None:
        return "hello" if time.now() >= 3.0 else None

    time, _, recorder = recorded(fetch=fetch)
    time.run(lambda: recorder.start(crowd(1)[0], 0.0) and None, 1)
    (sample,) = recorder.samples
    assert sample.seconds(Measure.ANSWER) == pytest.approx(1.0)
    assert sample.seconds(Measure.READY) == pytest.approx(3.0, abs=0.05)


def test_an_address_that_never_answers_is_given_up_and_counts_as_endless() -> None:
    time, _, recorder = recorded(fetch=lambda _instance: None)
    time.run(lambda: recorder.start(crowd(1)[0], 0.0) and None, 1)
    (sample,) = recorder.samples
    assert sample.ok
    assert sample.ready is None
    assert time.now() == pytest.approx(1 + READY_SECONDS, abs=0.1)


def test_failures_are_told_by_code_and_unknown_ones_apart() -> None:
    # given a server whose calls fail: refused, unknown, unreachable
    codes = [Code.CAPACITY, Code.INTERNAL, Code.UNAVAILABLE]
    time, _, recorder = recorded(lambda number: codes[number])
    player = crowd(1)[0]

    def work() -> None:
        recorder.start(player, time.now())
        recorder.start(player, time.now())
        recorder.status(player, time.now())

    time.run(work, 1)
    assert [(e.code, e.definite) for e in recorder.samples] == [
        ("capacity", True),
        ("internal", False),
        ("unavailable", True),
    ]
    (starts,) = [cell for cell in cells_of(recorder.samples) if cell.call == "start"]
    assert (starts.failed, starts.unknown, starts.series.count) == (2, 1, 0)


def test_an_account_whose_start_is_not_known_is_laid_aside_and_cleared() -> None:
    _, server, recorder = recorded(lambda number: Code.INTERNAL if number == 0 else None)
    time = recorder._time
    visitors = scenario("contest", crowd(2), 0, live=2, extends=True)

    def work() -> None:
        visitors.visit(recorder, 0.0)  # nothing is live: a start
        visitors.visit(recorder, 1.0)
        visitors.settle(recorder)

    time.run(work, 1)
    first, second = recorder.samples
    assert (first.code, second.code) == ("internal", "ok")
    assert len(server.live) == 1
    assert server.calls == 3  # and the stop that clears, which is not recorded


def sample(backend: str, block: int, seconds: float | None, code: str = "ok") -> Sample:
    end = None if seconds is None else seconds
    began = None if code == DROPPED else 0.0
    return Sample(
        RunPart.MAIN, backend, "start", "start", block, 1, 0.0, began, end, None, code, True
    )


def test_dropped_calls_count_as_failed_and_as_endless() -> None:
    samples = [sample("A", n % 8, 1.0) for n in range(80)]
    samples += [sample("A", n, None, DROPPED) for n in range(8)]
    (cell,) = cells_of(samples)
    assert (cell.made, cell.dropped, cell.failed, cell.due) == (80, 8, 8, 88)
    assert cell.series.seconds.max() == float("inf")


def test_a_system_that_only_fails_faster_does_not_pass() -> None:
    # given that half of B's calls fail, and the others are as fast as A's
    a = [sample("A", n // 2 % 10, 1.0 + n % 7 / 10) for n in range(400)]
    b = [
        sample("B", n // 2 % 10, 1.0 + n % 7 / 10, "ok" if n % 2 else "capacity")
        for n in range(400)
    ]
    margins = [margin_of("p95=1.2"), margin_of("errors=0.05")]
    found = {e.quantile: e for e in ratios_of(cells_of(b), cells_of(a), margins, 0)}
    assert found["p95"].judged.decision is MarginDecision.PASS
    assert found["errors"].judged.decision is MarginDecision.FAIL
    assert found["p50"].judged.decision is MarginDecision.NOTHING


def test_what_was_measured_on_one_only_is_open() -> None:
    # given that nobody could ask B's addresses, so that how soon they answered is not known
    a = [replace(sample("A", n // 2 % 10, 1.0), ready=1.5) for n in range(400)]
    b = [sample("B", n // 2 % 10, 0.5) for n in range(400)]
    margins = [margin_of("p95=1.2"), margin_of("errors=0.05")]
    found = ratios_of(cells_of(b), cells_of(a), margins, 0)
    # then a quick answer alone is no pass
    told = {(e.call, e.quantile): e.judged for e in found if e.margin is not None}
    assert told["start", "p95"].decision is MarginDecision.PASS
    assert told["ready", "p95"] == Judged(MarginDecision.INCONCLUSIVE, "measured on A only")
    assert set(told) == {("start", "p95"), ("start", "errors"), ("ready", "p95")}
    assert together(decisions_of(found)) is MarginDecision.INCONCLUSIVE
    # and the other way round it is the same
    turned = ratios_of(cells_of(a), cells_of(b), margins, 0)
    assert ("ready", "measured on A only") in {(e.call, e.judged.why) for e in turned}


def test_the_knee_is_where_more_load_only_waits_longer() -> None:
    # given a system that does ten calls a second by each worker up to 80, and then hardly more
    def steps(loads: tuple[int, ...]) -> list[LoadStep]:
        return [LoadStep(load, min(10.0 * load, 80.0) + load / 10, None, 100) for load in loads]

    assert knee_of(steps((1, 2, 4, 8, 16, 32, 64, 128))) == 8
    assert knee_of(steps((1, 2, 4, 8))) is None, "it lies beyond what was tried"
    assert knee_of(steps((8, 16))) is None, "two loads show no knee"


def test_samples_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    written = [sample("A", 0, 1.0), sample("B", 1, None, DROPPED)]
    for each in written:
        write_samples([each], path)
    assert read_samples(path) == written
    with path.open("a") as file:
        file.write('{"backend": "A"}\n')
    with pytest.raises(SamplesError, match=r"line 3: Object missing required field `part`"):
        read_samples(path)


def test_blocks_know_how_long_they_took() -> None:
    site = Site(BenchPlan("start", seconds=8.0, turns=2, concurrency=1))
    site.run.measure()
    block: Block
    for block in site.run.blocks:
        assert block.ended - block.began == pytest.approx(2.0, abs=0.3)
