"""What ``whale-ready check`` ends with: the one table, also in its help and in the README."""

from __future__ import annotations

EXIT_CODES: tuple[tuple[int, str], ...] = (
    (0, "every executed scenario passed or is waived, and each backend passed at least 40"),
    (0, "with --baseline: rules are broken, but none that the baseline has not as broken too"),
    (1, "a backend broke a rule, also when something else went wrong beside it"),
    (1, "a backend has a capability that it does not declare"),
    (1, "a waiver has expired, also when the rule is kept"),
    (1, "a waiver excuses nothing: rule kept or not applicable, versions or backend not those"),
    (1, "with --baseline: a rule is worse than there, or is not checked any more"),
    (2, "inconclusive: a backend passed fewer than 40 scenarios (profile core: 30), or --minimum"),
    (2, "inconclusive: nothing applies to a backend"),
    (2, "inconclusive: --select left rules out"),
    (3, "could not run: a bad option, or a backend that does not exist or cannot be loaded"),
    (3, "could not run: --select matches no scenario"),
    (3, "could not run: a file of waivers that is wrong; it says entry, field and fix"),
    (3, "could not run: a baseline of another profile or version, broken off, or unreadable"),
    (3, "could not run: a harness failed, or is missing what it stands on"),
    (130, "interrupted; what was measured is written to --report, but is no verdict"),
)


def for_help() -> str:
    """The table as a help text has it."""
    return "\n".join(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES)
