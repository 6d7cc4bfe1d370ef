"""The long run: ``PYTHONPATH=tests python -m crash``; see docs/crash-proof.md."""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
import time
from collections.abc import Sequence
from random import Random

from crash.campaign import DATABASES, Tally, campaign, every, some
from crash.operations import OPERATIONS
from crash.stage import Kill
from crash.verdict import Kind


def main() -> int:
    """0: nothing leaked, nothing lost, nothing wrong. 1: something was. 130: interrupted."""
    options = _options()
    logging.disable(logging.WARNING)  # repairs are announced; here they are what is wanted
    operations = options.operation or list(OPERATIONS)
    print(f"{options.kills or 'all'} kills, database {options.database}, seed {options.seed}")
    random = Random(options.seed)  # noqa: S311 - repeatable on purpose
    tallies: list[Tally] = []
    began = time.monotonic()
    code = 0
    try:
        with campaign(options.database) as made:
            for number, operation in enumerate(operations):
                share = (options.kills + number) // len(operations)
                choose = some(share, random) if options.kills else every
                progress = Progress(operation)
                tallies.append(made.play(operation, choose, report=progress.report))
                progress.end()
    except KeyboardInterrupt:
        print("\ninterrupted; what was done until then:")
        code = 130
    for line in table(tallies):
        print(line)
    print(f"{time.monotonic() - began:.0f} s")
    for kill in (kill for tally in tallies for kill in tally.bad):
        print(kill)
    return 1 if any(tally.bad for tally in tallies) else code


class Progress:
    """One line per operation, rewritten on a terminal."""

    def __init__(self, operation: str) -> None:
        self._operation, self._done = operation, 0

    def report(self, kill: Kill) -> None:
        self._done += 1
        if sys.stdout.isatty():
            print(f"\r{self._operation}: {self._done} ", end="", flush=True)
        if kill.findings:
            print(f"\n{kill}", flush=True)

    def end(self) -> None:
        print(f"\r{self._operation}: {self._done} done    ", flush=True)


def table(tallies: Sequence[Tally]) -> list[str]:
    """The figures, a line per operation and one for all."""
    rows: list[tuple[str, ...]] = [("operation", "boundaries", "kills", "leaks", "lost", "wrong")]
    numbers = [
        (tally.boundaries, tally.kills, *(tally.of(kind) for kind in Kind)) for tally in tallies
    ]
    names = [tally.operation for tally in tallies]
    for name, row in zip(
        [*names, "all"],
        [*numbers, [sum(column) for column in zip(*numbers, strict=True)]],
        strict=True,
    ):
        rows.append((name, *map(str, row)))
    return [f"{name:<26}" + "".join(f"{cell:>12}" for cell in cells) for name, *cells in rows]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m crash", description=main.__doc__)
    parser.add_argument(
        "--kills", type=int, default=0, help="in all; without it: each boundary of each once"
    )
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument(
        "--database",
        choices=list(DATABASES),
        default="sqlite",
        help="a fresh one is made; for the latter two a server of our own is started",
    )
    parser.add_argument(
        "--operation", action="append", choices=list(OPERATIONS), help="only this; repeatable"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
