"""What commands that give a verdict end with: one table each, also in its help and documents."""

from __future__ import annotations

EXIT_CODES: tuple[tuple[int, str], ...] = (
    (
        0,
        "every executed scenario passed, is known or waived, and each backend passed at least 40",
    ),
    (0, "with --baseline: nothing new is broken"),
    (1, "a backend broke a rule, also when something else went wrong beside it"),
    (1, "a backend can do what it does not declare"),
    (1, "a waiver has expired, also when its rule is kept"),
    (
        1,
        "a waiver is no longer needed: its rule is kept or n.a., or backend or version differ",
    ),
    (1, "a known deviation that a harness declares has expired, or its rule is kept"),
    (1, "with --baseline: a rule is worse than there, newly broken, or not checked any more"),
    (2, "inconclusive: a backend passed fewer than 40 (--profile core: 30), or than --minimum"),
    (2, "inconclusive: nothing applies to a backend"),
    (2, "inconclusive: --select left rules out"),
    (3, "could not run: a bad option, or a backend that cannot be found or loaded"),
    (3, "could not run: --select matches no scenario"),
    (3, "could not run: the file of waivers is wrong; entry, field and fix are told"),
    (3, "could not run: the baseline is unreadable, broken off, or of another profile or version"),
    (3, "could not run: a harness failed, or what it stands on is missing"),
    (130, "interrupted; what was measured is written to --report, but is no verdict"),
)
"""Of ``whale-ready check``; the README has it, too."""

READINESS_EXIT_CODES: tuple[tuple[int, str], ...] = (
    (0, "GO: check, bench and preflight are there, fresh, of the same Whale, and green"),
    (1, "NO-GO: something that was measured speaks against the rollout"),
    (2, "NOT ENOUGH EVIDENCE: nothing speaks against it, and not enough speaks for it"),
    (
        3,
        "could not run: a bad option, or a file that is not understood; field and fix are told",
    ),
    (130, "interrupted; there is no answer"),
)
"""Of ``whale-ready readiness``; docs/readiness.md has it, too."""

PREFLIGHT_EXIT_CODES: tuple[tuple[int, str], ...] = (
    (0, "every item is ok"),
    (1, "an item is not ok"),
    (2, "inconclusive: no item is not ok, and some could not be checked"),
    (3, "could not run: a bad option or setting, a catalogue that is wrong, or no place to write"),
    (130, "interrupted; nothing is written, and what a probe started is stopped first"),
)

DOCTOR_EXIT_CODES: tuple[tuple[int, str], ...] = (
    (0, "nothing is wrong; what cannot be seen from here is unknown"),
    (1, "something is wrong; the fix is beside it"),
    (3, "could not run: a bad option or setting"),
    (130, "interrupted"),
)
"""Of ``whale-ready doctor``; docs/doctor.md has it, too."""


def for_help(table: tuple[tuple[int, str], ...] = EXIT_CODES) -> str:
    """A table as a help text has it."""
    return "\n".join(f"  {code:<4} {meaning}" for code, meaning in table)
