"""``whale-ready readiness``: one answer out of a check, a bench and a preflight."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from conformance.spec.redaction import Secrets
from whale_ready.command import INTERRUPTED, Command, could_not_run
from whale_ready.console import Console
from whale_ready.exit_codes import READINESS_EXIT_CODES, for_help
from whale_ready.readiness.decision import Policy, PolicyError, ReadinessVerdict
from whale_ready.readiness.evidence import Evidence
from whale_ready.readiness.evidence_files import (
    EvidenceError,
    read_bench,
    read_check,
    read_preflight,
)
from whale_ready.readiness.files import FILES, write_files
from whale_ready.readiness.result import ReadinessReport, readiness

_STYLES = {
    ReadinessVerdict.GO: "bold green",
    ReadinessVerdict.NO_GO: "bold red",
    ReadinessVerdict.NOT_ENOUGH: "bold yellow",
}


def _file(name: str, text: str) -> Callable[[Any], Any]:
    path = click.Path(dir_okay=False, path_type=Path)
    return click.option(f"--{name}", f"{name}_file", metavar="FILE", type=path, help=text)


@click.command(
    "readiness",
    cls=Command,
    short_help="May the rollout begin? GO, NO-GO or not enough evidence.",
    epilog=f"""\b
Exit codes:
{for_help(READINESS_EXIT_CODES)}

\b
Example:
  whale-ready check --backend cre --backend whale=https://ctf.example.org \\
      --whale-world world.toml --report check/
  whale-ready bench --backend cre --backend whale=https://ctf.example.org \\
      --whale-world world.toml --rate 5 --concurrency 2 --report bench/
  whale-ready preflight --whale https://ctf.example.org --report preflight.json
  whale-ready readiness --check check/report.json --bench bench/bench.json \\
      --preflight preflight.json --out readiness/
""",
)
@_file("check", "report.json of whale-ready check.")
@_file("bench", "bench.json of whale-ready bench.")
@_file("preflight", "preflight.json of whale-ready preflight.")
@click.option(
    "--max-age",
    metavar="DAYS",
    type=click.FloatRange(min=0, min_open=True, max=3650),
    default=7.0,
    show_default=True,
    help="A file that is older is no evidence any more.",
)
@click.option(
    "--accept",
    "accepted",
    metavar="ID=REASON",
    multiple=True,
    help="An item of the preflight that could not be checked, or that nothing of ours rests on, "
    "and why it does not stand in the way; it stays on the page. Repeat for several.",
)
@click.option(
    "--fallback/--no-fallback",
    default=True,
    show_default=True,
    help="Whether starts fall back to CRE when Whale is down (ROLLOUT_FALLBACK): CRE counts then.",
)
@click.option(
    "--out",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Write {', '.join(FILES)} into DIR.",
)
def readiness_command(
    check_file: Path | None,
    bench_file: Path | None,
    preflight_file: Path | None,
    max_age: float,
    accepted: tuple[str, ...],
    fallback: bool,
    folder: Path | None,
) -> None:
    """Decide, of the files of three commands, whether the rollout from CRE to Whale may begin.

    GO needs all three, fresh, whole, of real backends and of the same Whale. Each reason against
    it says what would change the answer. docs/readiness.md has the rules.
    """
    console = Console()
    try:
        policy = Policy(timedelta(days=max_age), fallback, _accepted(accepted))
        evidence = Evidence(
            check=None if check_file is None else read_check(check_file),
            bench=None if bench_file is None else read_bench(bench_file),
            preflight=None if preflight_file is None else read_preflight(preflight_file),
        )
        result = readiness(evidence, policy, datetime.now(timezone.utc))
        _print(result, console)
        if folder is not None:
            write_files(result, folder)
            console.print(Text(f"Written: {', '.join(FILES)} in {folder}", style="dim"))
    except EvidenceError as error:
        sys.exit(could_not_run(str(error)))
    except PolicyError as error:
        sys.exit(could_not_run(f"--accept {error}"))
    except OSError as error:
        sys.exit(could_not_run(f"--out {folder}: {error.strerror}; name a folder I can write to"))
    except KeyboardInterrupt:
        console.print("interrupted", style="bold")
        sys.exit(INTERRUPTED)
    sys.exit(result.decision.verdict.exit_code)


def _accepted(options: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for option in options:
        name, _, why = option.partition("=")
        if not name.strip() or not why.strip():
            raise PolicyError(f"{option}: write ID=REASON, as in clock='NTP runs on both'")
        if name in found:
            raise PolicyError(f"{name}: is accepted twice")
        found[name] = Secrets().clean(why.strip())
    return found


def _print(result: ReadinessReport, console: Console) -> None:
    decision = result.decision
    for answer in result.answers:
        console.say(f"{answer.symbol} {answer.question} {answer.word}. {answer.basis}")
    for number, reason in enumerate(decision.reasons, start=1):
        console.print()
        style = _STYLES[reason.rule.verdict]
        console.say(f"{number}. {reason.rule.verdict.words}: {reason.found.text}", style)
        for line in reason.found.details:
            console.say(f"   {line}")
        console.say(f"   what would change it: {reason.found.change}")
        if reason.found.command:
            console.say(f"   $ {reason.found.command}")
    for known in decision.known:
        text = f"known deviation: {known.rule} on {known.backend}, {known.deviation}"
        console.say(text, "yellow")
    for waived in decision.waived:
        console.say(f"waived: {waived.rule} on {waived.backend}, {waived.waiver}", "yellow")
    for item, why in decision.accepted:
        console.say(f"accepted: {item.title} ({item.id}), {item.state.words}: {why}", "yellow")
    for caution in result.cautions:
        console.say(f"Note: {caution}", "yellow")
    console.print()
    words = f"{decision.verdict.words}: {result.words} (exit code {decision.verdict.exit_code})"
    console.say(words, _STYLES[decision.verdict])
