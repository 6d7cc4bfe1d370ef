"""The speed of CRE against raw Docker, on real Docker, within one run.

Run: ``python -m benchmarks.cre_speed``. Prints one JSON object on stdout; progress and a table with
each figure, its bar and whether it holds go to stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace

from docker.errors import DockerException
from requests.exceptions import RequestException

from benchmarks.cre_bench import FEW_ROWS, MANY_ROWS, QUICK, Bench, Counts, StartFailed, say
from benchmarks.figures import Bar, Figure, ratio, table
from benchmarks.interrupts import DeferredInterrupts
from conformance.harness import CannotRun
from engines.errors import EngineError

NOT_OK, COULD_NOT_RUN, INTERRUPTED = 1, 3, 130

HELP = """\
Measure the speed of CRE against the Docker SDK told to do the same, and print ratios.

Times alone say little on a machine that does other things too. Each kind of call takes turns with
what it is held against (A B B A), so that both see the same machine; read the ratios, and run it
again when the machine was busy. For the two bars in milliseconds the time of a bare inspect, of
which each of them needs one, tells how busy it was. Readiness is waited for in neither.
"""
EPILOG = """\
figures and bars:
  cold_start      start / raw create + start + inspect of the same configuration, p50    <= 1.10
  stop            stop / raw forced removal, p50                                         <= 1.10
  status          status of a live instance, p50                                         <= 5 ms
  status_rows     status among 10 000 rows / among 10, p50                               <= 1.20
  warm_claim      start that finds a container waiting, p50                              <= 25 ms
  warm_speedup    raw cold start / warm claim, p50                                       >= 10
  burst_errors    failed starts of 32 at once                                            <= 0
  burst           p99 of a start of 32 at once / raw Docker's at the same parallelism    <= 1.30

exit codes:
  0    every figure is ok
  1    one is not, or was not measured, or something could not be removed
  3    could not run: a bad option, no Docker engine, a start that failed
  130  interrupted; what was measured is printed

It makes about 200 containers and takes some three minutes. Everything bears a label and is removed
at the end, also what an earlier run left that was killed. Run it as a CTFd runs the engine: as
the same user, against the same Docker engine.

examples:
  python -m benchmarks.cre_speed
  python -m benchmarks.cre_speed --only cold --cold-rounds 30
  python -m benchmarks.cre_speed > today.json
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(COULD_NOT_RUN, f"Error: {message}\n")


def main() -> int:
    """Measure and print; returns the exit code."""
    chosen = _parser().parse_args()
    with DeferredInterrupts() as interrupts:
        bench = Bench(_counts(chosen), interrupts)
        try:
            with bench:
                code = _measure(bench, chosen.only, interrupts)
        except CannotRun as error:
            say(f"Error: {error}")
            return COULD_NOT_RUN
    if bench.left:
        code = code or NOT_OK
        bench.notes.append(f"left behind: {', '.join(bench.left)}")
    figures = figures_of(bench)
    result = {figure.name: figure.as_json() for figure in figures}
    text = json.dumps({**result, "notes": bench.notes}, indent=2, ensure_ascii=False)
    print(text)  # noqa: T201 - the result is what this script is for
    say(table(figures))
    for note in bench.notes:
        say(f"Note: {note}")
    return code or (0 if all(figure.ok for figure in figures) else NOT_OK)


def _measure(bench: Bench, only: str | None, interrupts: DeferredInterrupts) -> int:
    """Measure one part after the other; returns an exit code other than 0 when it was cut short."""
    parts: dict[str, Callable[[], None]] = {
        "cold": bench.cold,
        "status": bench.status,
        "warm": bench.warm,
        "parallel": bench.parallel,
    }
    try:
        for name, part in parts.items():
            if only in (None, name):
                part()
                interrupts.check()
    except KeyboardInterrupt:
        bench.notes.append("interrupted: the rest was not measured")
        return INTERRUPTED
    except (StartFailed, EngineError, DockerException, RequestException) as error:
        bench.notes.append(f"{error}: the rest was not measured")
        return COULD_NOT_RUN
    return 0


def figures_of(bench: Bench) -> list[Figure]:
    """Every figure, whether it was measured or not."""
    times = bench.times
    raw_start, warm = times.p50("raw start"), times.p50("warm claim")
    few, many = times.p50("few rows"), times.p50("many rows")
    bursts = times.count("cre burst") + len(bench.failed.get("cre burst", []))
    errors = len(bench.failed.get("cre burst", []))
    return [
        _against_raw(bench, "cold_start", "start"),
        _against_raw(bench, "stop", "stop"),
        Figure("status", "ms", few, Bar(5), {"raw_inspect_p50_ms": times.p50("raw inspect")}),
        Figure(
            "status_rows",
            "",
            ratio(many, few),
            Bar(1.2),
            {f"rows_{FEW_ROWS}_p50_ms": few, f"rows_{MANY_ROWS}_p50_ms": many},
        ),
        Figure("warm_claim", "ms", warm, Bar(25), {"raw_inspect_p50_ms": times.p50("raw inspect")}),
        Figure(
            "warm_speedup",
            "",
            ratio(raw_start, warm),
            Bar(10, at_least=True),
            {"raw_start_p50_ms": raw_start, "warm_claim_p50_ms": warm},
        ),
        Figure(
            "burst_errors",
            "",
            errors if bursts else None,
            Bar(0),
            {"starts": bursts, "raw_errors": len(bench.failed.get("raw burst", []))},
        ),
        _burst(bench),
    ]


def _against_raw(bench: Bench, name: str, kind: str) -> Figure:
    times = bench.times
    raw, cre = times.p50(f"raw {kind}"), times.p50(f"cre {kind}")
    return Figure(
        name,
        "",
        ratio(cre, raw),
        Bar(1.1),
        {"raw_p50_ms": raw, "cre_p50_ms": cre, "n": times.count(f"cre {kind}")},
    )


def _burst(bench: Bench) -> Figure:
    times = bench.times
    raw, cre = times.p99("raw burst"), times.p99("cre burst")
    return Figure(
        "burst",
        "",
        ratio(cre, raw),
        Bar(1.3),
        {
            "raw_p99_ms": raw,
            "cre_p99_ms": cre,
            "raw_p50_ms": times.p50("raw burst"),
            "cre_p50_ms": times.p50("cre burst"),
            "parallel": bench.counts.parallel,
        },
    )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m benchmarks.cre_speed",
        description=HELP,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    usual = Counts()
    parser.add_argument(
        "--quick", action="store_true", help="only to see that it runs; the ratios mean nothing"
    )
    parser.add_argument(
        "--only",
        choices=("cold", "status", "warm", "parallel"),
        help="one part; the others' figures are then not measured, which is not ok "
        "(warm_speedup needs cold too)",
    )
    for name, meaning in (
        ("cold-rounds", "rounds of two starts and two stops of each kind"),
        ("status-rounds", "rounds of status calls"),
        ("claims", "warm claims in a row, and size of the pool"),
        ("claim-rounds", "times the pool is filled and emptied"),
        ("parallel", "starts at once"),
        ("parallel-rounds", "rounds of two bursts of each kind"),
    ):
        default = getattr(usual, name.replace("-", "_"))
        parser.add_argument(
            f"--{name}", type=_count, metavar="N", help=f"{meaning} (default {default})"
        )
    parser.add_argument(
        "--seconds",
        type=_count,
        metavar="N",
        help=f"begin nothing new after so long (default {usual.seconds:g})",
    )
    return parser


def _counts(chosen: argparse.Namespace) -> Counts:
    base = QUICK if chosen.quick else Counts()
    given = {name: value for name, value in vars(chosen).items() if isinstance(value, int)}
    return replace(base, **{name: value for name, value in given.items() if name != "quick"})


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"write a whole number from 1 to 100000, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
