"""Reports made for tests of how they are shown: as a run of every rule would leave them."""

from __future__ import annotations

from datetime import datetime, timezone

from conformance.report.results import (
    BackendInfo,
    ContainerLedger,
    Report,
    ScenarioResult,
    Status,
    Verdict,
)
from conformance.spec.rules import RULES, Profile, Rule

HOSTILE = (
    "<script>document.title = 'taken'</script><img src=x onerror=alert(1)> ]]> &amp; \"'` | `` "
    "</pre></textarea></style></script> {{ 7 * 7 }} {% raw %} \u202egnp.exe\u202c \x00\x1b[31m"
)
LONG = "x" * 100_000
NA = "the harness offers no stubborn, no kill_behind and nothing else that would help here"
STARTED = (
    "start_instance(1, 7, None) -> (True, 'Container started', {'active': True, 'container_id': "
    "'0f7c1f5ad2b14a6e9d50f0e14f7f1a39c2d0f5a7', 'host': 'i1.ctf.example.com', 'ports': ['20001'], "
    "'started_at': '2026-01-01T00:00:00+00:00', 'remaining_seconds': 3600}) code=ok"
)
TRACE = (
    STARTED,
    "· the clock moves on by 1800 s",
    "stop_instance(1, 7, None) -> (True, 'Container stopped') code=ok",
    "· really running: ['0f7c1f5ad2b14a6e9d50f0e14f7f1a39c2d0f5a7']",
    "  wire: DELETE /api/v1/plugins/ctfd-whale/container?challenge_id=7 -> 200 application/json",
)
CAPABILITIES = {
    "scope": "per_challenge",
    "extend": "additive",
    "addressing": ["host_port", "subdomain"],
    "ready_on_start": True,
    "detects_loss": True,
    "teams": True,
    "multi_node": True,
    "account_limit": 1,
    "max_extensions": 5,
    "timeout_seconds": 3600,
    "extension_seconds": 1800,
    "isolation": [],
}


def backend(name: str = "cre:memory", *, simulated: bool = False, nodes: int = 1) -> BackendInfo:
    versions = {"docker": "20.10.24", "swarm-nodes": str(nodes)}
    kind = "ContainerRuntimeEngine on Docker containers"
    return BackendInfo(name, kind, simulated, CAPABILITIES, versions)


def passed(rule: Rule, name: str) -> ScenarioResult:
    story = f"what {rule.id} tells"
    return ScenarioResult(rule.id, rule.id, name, Status.PASS, 0.02, trace=TRACE, story=story)


def failed(
    rule: Rule, name: str, message: str, status: Status = Status.FAIL, waiver: str = ""
) -> ScenarioResult:
    story = "a stop removes the container"
    return ScenarioResult(
        rule.id, rule.id, name, status, 0.1, message, (*TRACE, message[:200]), story, waiver
    )


def not_applicable(rule: Rule, name: str) -> ScenarioResult:
    return ScenarioResult(rule.id, rule.id, name, Status.NOT_APPLICABLE, 0.0, NA)


def made_report(failures: int = 0, *, waived: int = 0, hostile: bool = False) -> Report:
    """A run of all rules on two backends; failures are on the second, waived ones after them.

    Args:
        hostile: messages, names and notes are what a backend may send to do harm.
    """
    message = "the container still runs after the stop"
    messages = [HOSTILE, LONG] if hostile else [message]
    first, second = backend(), backend("whale:fake", simulated=True)
    results = [passed(rule, first.name) for rule in RULES]
    for place, rule in enumerate(RULES):
        if place < failures:
            results.append(failed(rule, second.name, messages[place % len(messages)]))
        elif place < failures + waived:
            waiver = "known at their tracker, until 2026-03-01; owner ops"
            results.append(failed(rule, second.name, message, Status.WAIVED, waiver))
        elif place % 7 == 6:
            results.append(not_applicable(rule, second.name))
        else:
            results.append(passed(rule, second.name))
    return Report(
        tool_version="0.1.0",
        started_at=datetime(2026, 1, 1, 12, 30, tzinfo=timezone.utc),
        duration_s=42.0,
        profile=Profile.FULL,
        environment={"python": "3.11.2", "system": "Linux x86_64", "SQLAlchemy": "2.0.36"},
        backends=(first, second),
        results=tuple(results),
        verdict=Verdict.FAILED if failures else Verdict.PASSED,
        reasons=(f"{failures} rules broken",) if failures else (),
        notes=(HOSTILE,) if hostile else (),
        ledgers=(
            ContainerLedger(first.name, 210, 180, 30, 2, ()),
            ContainerLedger(second.name, 190, None, None, None, None),
        ),
    )
