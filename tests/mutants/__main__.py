"""The kill table: ``PYTHONPATH=tests python -m mutants``; ``--measure`` for the long run."""

from __future__ import annotations

import argparse
import json
import logging
import sys

from mutants.kinds import Part
from mutants.registry import MUTANTS
from mutants.runs import MEASURED, differing, failed, measured, results
from mutants.table import DOCUMENT, table


def main() -> int:
    """0: all is well. 1: a mutant survives. Without options the table is printed."""
    options = _options()
    if options.measure is not None:
        _measure(options.measure)
    text = table(measured())
    if options.write:
        DOCUMENT.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    alive = [mutant.name for mutant in MUTANTS if mutant.killed_by not in measured()[mutant.name]]
    if alive:
        print(f"these survive: {', '.join(alive)}", file=sys.stderr)
    return 1 if alive else 0


def _measure(names: list[str]) -> None:
    """Every scenario, and for the fake every recorded session, on each mutant: some minutes."""
    logging.disable(logging.CRITICAL)  # broken on purpose: it would say so all the time
    found = measured() if MEASURED.exists() else {}
    for mutant in MUTANTS:
        if names and mutant.name not in names:
            continue
        seen = failed(results(mutant))
        if mutant.part is Part.FAKE:
            seen += differing(mutant)
        found[mutant.name] = seen
        print(f"{mutant.name}: {len(seen)}", file=sys.stderr, flush=True)
        known = {each.name: found[each.name] for each in MUTANTS if each.name in found}
        MEASURED.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mutants", description=main.__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/mutants.md")
    parser.add_argument(
        "--measure", nargs="*", metavar="MUTANT", help="run all scenarios on these (on all)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
