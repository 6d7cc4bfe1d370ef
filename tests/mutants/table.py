"""docs/mutants.md: which bug is found by which rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from conformance.spec.rules import BY_ID
from mutants.kinds import Mutant, Part
from mutants.registry import MUTANTS

DOCUMENT = Path(__file__).parents[2] / "docs" / "mutants.md"
MOST_NAMED = 6
_INTRODUCTION = """\
# Bugs that the suite finds

A suite that finds nothing proves nothing. So each of these {count} programs is one of ours with one
bug of a kind that real systems have had. CI fails unless the scenario that is named for it fails on
it, by an assertion about its rule, while the sound program passes the same scenario; a program that
makes the harness err does not count as found.

Written by `PYTHONPATH=tests python -m mutants --write`. *Too* are the further rules (and recorded
sessions) that fail on it, as the same command measures with `--measure`, which runs everything on
each; CI runs the named ones. The walls around containers have mutants of their own on real Docker
(`tests/mutants/isolation.py`), and every rule has a breakage of a small backend in plain
dictionaries (`tests/reference/`).

`PYTHONPATH=tests python -m mutants.random --module engines/cre --count 200 --seed 1` makes random
changes of a package besides, and shows those that outlive the rules: with the test of ours that
sees them, or with none.
"""
_HEADINGS = {
    Part.CRE: "`ContainerRuntimeEngine` (`engines/cre`), on simulated containers: `cre:memory`",
    Part.ADAPTER: "`WhaleAPIManager` (`engines/whale`), in front of a sound fake: `whale:fake`",
    Part.FAKE: (
        "The fake (`fake_whale`), untrue to [the wire](whale-wire.md): found by the scenarios on "
        "`whale:fake` where they can, else by a recorded session with the real Whale "
        "(`fake-whale verify`)"
    ),
    Part.FRONT: (
        "`HybridBackend` and its breaker (`engines/hybrid`), on `hybrid` and, where the suite puts "
        "it in front of a backend by itself, on `cre:memory`"
    ),
    Part.ENDPOINTS: "The endpoints (`engines/web`) over a sound engine: `cre:memory`",
}
UNSEEN: dict[str, str] = {
    "Routes of what has ended are never swept (`Rounds._sweep`)": (
        "whoever starts next clears away the routes of that account, so no answer differs: what is "
        "left is rows"
    ),
    "A round gives back the port of a start that is at work": (
        "the engine finds the port taken and takes another one, or says that none is free, as it "
        "would have said to the other start"
    ),
    "CSRF and admin rights of the CTFd plugin's own login (`engines/ctfd/plugin`)": (
        "the suite serves the endpoints with logins of its own; a real CTFd is asked in "
        "`tests/ctfd/test_identity.py`"
    ),
    "Retention that deletes changes before refusals": (
        "no backend has to keep rows for any time; `tests/unit/test_retention.py` looks at ours"
    ),
    "A write to Whale that failed keeps its place in the queue": (
        "others wait some seconds longer, and no longer than a call may take; "
        "`tests/whale/test_write_queue.py` looks at it"
    ),
    "A limit told as `limit_reached` while another start is under way, or as `busy`": (
        "both are true of that moment"
    ),
    "`definite` of a start on Docker whose answer was lost": (
        "the front asks the engine's records besides (`holds`), so nothing is started elsewhere "
        "whatever it says; SWAP-014 looks at what is started"
    ),
}
"""Bugs of these kinds that no rule can see, and why."""


def table(measured: Mapping[str, Sequence[str]]) -> str:
    """The document."""
    lines = [_INTRODUCTION.format(count=len(MUTANTS))]
    for part, heading in _HEADINGS.items():
        mine = [mutant for mutant in MUTANTS if mutant.part is part]
        lines += [f"## {_capital(part.value)}: {len(mine)}", "", f"{heading}.", ""]
        lines += [
            "| mutant | what it does | class of bug | found by | too |",
            "|---|---|---|---|---|",
        ]
        lines += [_row(mutant, measured[mutant.name]) for mutant in mine]
        lines.append("")
    lines += ["## What no rule sees", "", "From outside these differ in nothing:", ""]
    lines += [f"- {bug}: {why}." for bug, why in UNSEEN.items()]
    return "\n".join(lines).rstrip() + "\n"


def _row(mutant: Mutant, measured: Sequence[str]) -> str:
    bug = f"{mutant.bug}; {mutant.source}" if mutant.source else mutant.bug
    others = [each for each in measured if each != mutant.killed_by]
    cells = (
        f"`{mutant.name}`",
        mutant.says,
        bug,
        _killer(mutant),
        ", ".join(_short(others)) or "–",
    )
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _killer(mutant: Mutant) -> str:
    if mutant.by_session:
        return f"session `{mutant.killed_by}`"
    return f"**{mutant.killed_by}** {BY_ID[mutant.killed_by].title}"


def _short(others: Sequence[str]) -> Iterator[str]:
    """Rules by their ids, the first few of them; sessions by their number."""
    rules = [other for other in others if other[0].isupper()]
    yield from rules[:MOST_NAMED]
    if len(rules) > MOST_NAMED:
        yield f"{len(rules) - MOST_NAMED} more rules"
    if sessions := len(others) - len(rules):
        yield "1 session" if sessions == 1 else f"{sessions} sessions"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
