"""The commands that make each kind of evidence anew, for the Whale that the files are of."""

from __future__ import annotations

import shlex

from whale_ready.readiness.evidence import BackendRole, Evidence, part_of

YOUR_WHALE = "https://YOUR-WHALE"
"""Stands in commands where no file names a Whale: no address that could be taken for one."""


def whale_url(evidence: Evidence) -> str | None:
    """Where the Whale is that this is about; None where no file says it."""
    if evidence.preflight is not None:
        return evidence.preflight.url
    for each in (evidence.check, evidence.bench):
        for backend in each.backends if each is not None else ():
            if part_of(backend) is BackendRole.WHALE and "url" in backend.versions:
                return backend.versions["url"]
    return None


def check_again(evidence: Evidence) -> str:
    """All rules on CRE and on that Whale."""
    return f"whale-ready check {_both(evidence)} --report check/"


def bench_again(evidence: Evidence, seconds: int = 240) -> str:
    """The same load on both, in the open loop, against the margins that were agreed; with no more
    workers than a world file has players for."""
    margins = evidence.bench.margins if evidence.bench is not None else ()
    agreed = "".join(f" --margin {shlex.quote(margin)}" for margin in margins)
    return (
        f"whale-ready bench {_both(evidence)} --rate 5 --concurrency 2 --duration {seconds}{agreed}"
        " --report bench/"
    )


def preflight_again(evidence: Evidence) -> str:
    """The checklist on that Whale."""
    return f"whale-ready preflight --whale {_whale(evidence)} --report preflight.json"


def accept(item_id: str) -> str:
    """The option that lets an item that cannot be checked be."""
    return f"whale-ready readiness … --accept {shlex.quote(item_id)}='why it does not matter here'"


def _both(evidence: Evidence) -> str:
    return f"--backend cre --backend whale={_whale(evidence)} --whale-world world.toml"


def _whale(evidence: Evidence) -> str:
    return _quoted(whale_url(evidence) or YOUR_WHALE)


def _quoted(text: str) -> str:
    """One word of a shell on one line, whatever a file holds."""
    return shlex.quote(" ".join(text.split()))
