"""``whale-ready doctor``: what of the set-up keeps instances from starting."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict

import click

from engines import __version__
from engines.doctor import DoctorFinding, FindingState, examine
from engines.errors import EngineError
from engines.printable import json_text
from engines.settings import Settings
from whale_ready.command import INTERRUPTED, Command, could_not_run
from whale_ready.exit_codes import DOCTOR_EXIT_CODES, for_help
from whale_ready.lines import echo_lines

KIND = "whale-ready doctor"
SCHEMA_VERSION = 1


@click.command(
    "doctor",
    cls=Command,
    short_help="Check this machine's set-up and say how to put it right.",
    epilog=f"""\b
Exit codes:
{for_help(DOCTOR_EXIT_CODES)}
""",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def doctor_command(as_json: bool) -> None:
    """Check Docker, firewall, networks, database, worker and packages; nothing is changed.

    Run it as the user and in the environment that CTFd or the worker has: everything comes from
    there (docs/settings.md). docs/doctor.md lists the checks.
    """
    try:
        found = examine(Settings.from_environ())
    except EngineError as error:
        sys.exit(could_not_run(str(error)))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    code = int(any(finding.state is FindingState.NOT_OK for finding in found))
    echo_lines((_json(found) if as_json else _text(found, code)) + "\n")
    sys.exit(code)


def _json(found: Sequence[DoctorFinding]) -> str:
    document = {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        "whale_ready": __version__,
        "findings": [{**asdict(finding), "state": finding.state.value} for finding in found],
        "counts": {state.value: _count(found, state) for state in FindingState},
    }
    return json_text(document)


def _text(found: Sequence[DoctorFinding], code: int) -> str:
    lines = []
    for finding in found:
        lines.append(f"{finding.state.words:<8}{finding.check}: {finding.seen}")
        if finding.fix:
            lines.append(f"{'':<8}-> {finding.fix}")
    counted = ", ".join(f"{_count(found, state)} {state.words}" for state in FindingState)
    return "\n".join([*lines, f"{counted} (exit code {code})"])


def _count(found: Sequence[DoctorFinding], state: FindingState) -> int:
    return sum(finding.state is state for finding in found)
