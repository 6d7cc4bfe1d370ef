"""``whale-ready bench``: two backends under the same load, and whether the second may take over."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from conformance.registry.backends import BackendSpecError
from conformance.run.observer import Observer
from whale_ready.command import INTERRUPTED, Command, CommandGroup, could_not_run
from whale_ready.console import Console

if TYPE_CHECKING:
    from benchmarks.bench_report import Result
    from benchmarks.bench_run import BenchRequest
    from benchmarks.samples import Sample

EXIT_CODES = """\b
Exit codes:
  0    pass: every margin holds, with its whole interval
  1    fail: one does not, with its whole interval
  2    inconclusive: too little was measured, or a margin lies inside its interval
  3    could not run: a bad option, or a backend that cannot be found, loaded or opened
  130  interrupted; what was measured is written to --report
"""


@click.group(
    "bench",
    cls=CommandGroup,
    invoke_without_command=True,
    short_help="Put two backends under the same load and compare them.",
    epilog=f"""{EXIT_CODES}
\b
Examples:
  whale-ready bench --report out/
  whale-ready bench --rate 5 --duration 240 --margin start.p95=1.5 --margin errors=0.02
  whale-ready bench --backend cre:memory --backend whale:fake --scenario start --duration 10
  whale-ready bench compare before/ after/
""",
)
@click.option(
    "--backend",
    "backends",
    metavar="SPEC",
    multiple=True,
    help="Twice: the backend that is (A), then the one that may take its place (B), as in "
    "whale-ready check; further whale:fake:docker, a fake Whale that starts real containers. "
    "Without this option: cre and whale:fake:docker, simulated where no Docker can be reached.",
)
@click.option(
    "--scenario",
    type=click.Choice(["contest", "start", "storm"]),
    default="contest",
    show_default=True,
    help="contest: the mix of start, status, extend and stop. start: starts only. storm: everybody "
    "at one moment.",
)
@click.option(
    "--duration",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    help="How long is measured in all; the systems share it.",
)
@click.option(
    "--rate",
    metavar="N",
    type=click.FloatRange(min=0, min_open=True),
    help="Visits a second, at random moments, whatever the systems do (open loop). Without it each "
    "worker calls as soon as it has its answer (closed loop), which tells capacity, not waiting.",
)
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1, 256),
    default=8,
    show_default=True,
    help="Workers; in a storm, visitors.",
)
@click.option(
    "--turns",
    metavar="N",
    type=click.IntRange(1, 1000),
    default=12,
    show_default=True,
    help="Into how many blocks the time of each system is cut; they alternate A B, B A.",
)
@click.option(
    "--visits",
    metavar="N",
    type=click.IntRange(1),
    default=100_000,
    show_default=True,
    help="The most of one block; it ends at its time or at these, whichever comes first.",
)
@click.option(
    "--margin",
    "margins",
    metavar="NAME=X",
    multiple=True,
    help="What B may be worse by, agreed before: p50, p90, p95 or p99 as a ratio, errors as a "
    "difference of rates; start.p95=1.5 is for one call. Without it: p95=1.2 and errors=0.05.",
)
@click.option("--sweep", is_flag=True, help="Then 1, 2, 4 … 128 workers, to find the knee.")
@click.option("--baseline/--no-baseline", default=True, help="Raw Docker beside both, on Docker.")
@click.option(
    "--whale-world",
    "whale_world",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="For whale=https://HOST: the accounts and challenges of it that may be used, as in "
    "whale-ready check. No more than its players are under load there.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of all that is random.")
@click.option(
    "--report",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write samples.jsonl, bench.json, bench.md and bench.html into DIR.",
)
@click.pass_context
def bench_group(
    context: click.Context,
    backends: tuple[str, ...],
    scenario: str,
    duration: float,
    rate: float | None,
    concurrency: int,
    turns: int,
    visits: int,
    margins: tuple[str, ...],
    sweep: bool,
    baseline: bool,
    whale_world: Path | None,
    seed: int,
    folder: Path | None,
) -> None:
    """Put two backends under the same load in turns, and decide against margins agreed before.

    docs/benchmarks.md says how to read the figures and how not to misuse them.
    """
    if context.invoked_subcommand is not None:
        return
    from benchmarks.bench_run import BenchRequest
    from benchmarks.comparison import SWEEP, BenchPlan
    from benchmarks.decisions import DEFAULT_MARGINS, MarginError, margin_of

    try:
        agreed = tuple(margin_of(margin) for margin in margins or DEFAULT_MARGINS)
    except MarginError as error:
        sys.exit(could_not_run(f"--margin {error}"))
    plan = BenchPlan(
        scenario=scenario,
        seconds=duration,
        turns=turns,
        concurrency=concurrency,
        rate=rate,
        seed=seed,
        visits=visits,
        sweep=SWEEP if sweep else (),
    )
    request = BenchRequest(plan, agreed, backends, with_baseline=baseline, whale_world=whale_world)
    console = Console()
    try:
        sys.exit(_bench(request, folder, console))
    except KeyboardInterrupt:
        console.print("interrupted", style="bold")
        sys.exit(INTERRUPTED)


@bench_group.command(
    "compare",
    cls=Command,
    short_help="Compare one backend between two runs.",
    epilog="""\b
Exit codes:
  0    B is within the margins of A
  1    it is not
  2    inconclusive
  3    a report cannot be read, or nothing in them can be compared
""",
)
@click.argument("before", metavar="A", type=click.Path(path_type=Path))
@click.argument("after", metavar="B", type=click.Path(path_type=Path))
@click.option("--margin", "margins", metavar="NAME=X", multiple=True, help="As in bench.")
def compare_command(before: Path, after: Path, margins: tuple[str, ...]) -> None:
    """Hold each backend of report folder B against the same backend of A.

    The two runs did not share their time: what the machine did besides is in the ratios.
    """
    from benchmarks.bench_comparison import CompareError, compare
    from benchmarks.decisions import DEFAULT_MARGINS, MarginError, margin_of, together

    try:
        agreed = tuple(margin_of(margin) for margin in margins or DEFAULT_MARGINS)
        found = compare(before, after, agreed)
    except MarginError as error:
        sys.exit(could_not_run(f"--margin {error}"))
    except CompareError as error:
        sys.exit(could_not_run(str(error)))
    console = Console()
    for name, ratios in found.ratios.items():
        console.print(_ratio_table(f"{name}: B over A", ratios))
    for line in found.unlike:
        console.say(line, "yellow")
    verdict = together(found.decisions)
    console.say(verdict.value.upper(), "bold")
    sys.exit(verdict.exit_code)


def _bench(request: BenchRequest, folder: Path | None, console: Console) -> int:
    from benchmarks.bench_file import JSON
    from benchmarks.bench_report import MARKDOWN, SAMPLES, result_of, write
    from benchmarks.bench_run import BenchError, bench
    from benchmarks.page import PAGE
    from benchmarks.samples import write_samples

    def keep(samples: Sequence[Sample]) -> None:
        if folder is not None:
            write_samples(samples, folder / SAMPLES)

    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / SAMPLES).write_text("", encoding="utf-8")
        with _bar(console) as (progress, observer):
            measured = bench(request, keep, progress, observer)
        result = result_of(measured)
        _print(result, console)
        if folder is not None:
            write(result, folder)
            files = f"{SAMPLES}, {JSON}, {MARKDOWN}, {PAGE}"
            console.say(f"Written: {files} in {folder}", "dim")
    except BackendSpecError as error:
        return could_not_run(str(error))
    except BenchError as error:
        return could_not_run(str(error))
    except OSError as error:
        return could_not_run(f"--report {folder}: {error.strerror}; name a folder I can write to")
    return INTERRUPTED if measured.interrupted else result.verdict.exit_code


def _print(result: Result, console: Console) -> None:
    a, b = (backend.name for backend in result.measured.backends[:2])
    console.print(_ratio_table(f"{b} over {a}", result.ratios))
    for note in result.measured.notes:
        console.say(f"Note: {note}", "yellow")
    for reason in result.reasons:
        console.say(reason)
    verdict = "INTERRUPTED" if result.measured.interrupted else result.verdict.value.upper()
    console.say(verdict, "bold")


def _ratio_table(title: str, ratios: Sequence[Any]) -> Table:
    table = Table(title=title)
    for heading in ("call", "figure", "B/A", "interval", "margin", ""):
        table.add_column(heading, no_wrap=True)
    for ratio in ratios:
        value, between = "–", "n too small"
        if ratio.value is not None:
            value = f"{ratio.value.value:.3g}"
            between = f"{ratio.value.low:.3g} … {ratio.value.high:.3g}"
        margin = "–" if ratio.margin is None else f"{ratio.margin.limit:g}"
        decision = "" if ratio.margin is None else ratio.judged.decision.value
        table.add_row(ratio.call, ratio.quantile, value, between, margin, decision)
    return table


@contextmanager
def _bar(console: Console) -> Iterator[tuple[Any, Observer]]:
    """What shows how far a run is: a bar on a terminal, lines elsewhere."""
    if not console.is_terminal:

        def line(done: int, total: int, name: str) -> None:
            console.say(f"block {done + 1} of {total}: {name}")

        yield line, _Notes(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("preparing", total=None)

        def moved(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=escape(name))

        yield moved, _Notes(console)


class _Notes(Observer):
    def __init__(self, console: Console) -> None:
        self._console = console

    def opening(self, backend: str) -> None:
        self._console.say(f"preparing {backend}")

    def noted(self, note: str) -> None:
        self._console.say(note, "yellow")
