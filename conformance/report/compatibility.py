"""Whether a backend can stand in for another one, row by row, as measured.

The rows are those of the plan for the migration. Each is a named set of rules; nothing here is
asserted by hand: a cell is what the run's results say of its rules, and where they say nothing the
cell says so. Which rules are asked of a backend at all follows from what it declares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from conformance.report.results import BackendInfo, Report, ScenarioResult, Status
from conformance.spec.rules import RULES

Declared = Mapping[str, Any]
"""A backend's capabilities as they stand in a report."""


class CompatibilityFinding(Enum):
    """What is known of one row on one backend."""

    KEPT = "kept"
    """Every rule that is asked of the backend was measured, and kept."""
    BROKEN = "broken"
    """At least one rule was measured and broken, excused or not."""
    PARTLY = "partly measured"
    """What was measured was kept, and not all was measured."""
    NOT_MEASURED = "declared, not measured"
    """The backend declares it, and nothing was measured."""
    NOT_OFFERED = "not offered"
    """The backend does not declare it."""


def _always(_: Declared) -> bool:
    return True


@dataclass(frozen=True)
class PromiseRow:
    """One promise to a call site, and the rules that show it."""

    key: str
    title: str
    asks: str
    """What the rules ask, in a sentence."""
    rules: tuple[str, ...]
    offered: Callable[[Declared], bool] = _always


@dataclass(frozen=True)
class CompatibilityCell:
    """One row on one backend: ids of the rules by how they ended, and what to make of it."""

    finding: CompatibilityFinding
    kept: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    """Known deviations."""
    waived: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()
    note: str = ""

    @property
    def evidence(self) -> str:
        """How many rules say so: ``15 of 17 rules kept``."""
        parted = (self.kept, self.broken, self.known, self.waived, self.unmeasured)
        asked = sum(map(len, parted))
        if self.finding is CompatibilityFinding.NOT_OFFERED:
            return ""
        parts = [f"{len(self.kept)} of {_rules(asked)} kept"]
        parts += [f"{len(self.broken)} broken"] if self.broken else []
        parts += [f"{len(self.known)} known to be broken"] if self.known else []
        parts += [f"{len(self.waived)} broken and waived"] if self.waived else []
        parts += [f"{len(self.unmeasured)} not measured"] if self.unmeasured else []
        return ", ".join(parts)


def _group(group: str, *, but: Iterable[str] = ()) -> tuple[str, ...]:
    left_out = {f"{group}-{number}" for number in but}
    return tuple(rule.id for rule in RULES if rule.group == group and rule.id not in left_out)


def _some(group: str, *numbers: str) -> tuple[str, ...]:
    return tuple(f"{group}-{number}" for number in numbers)


def _limits_extensions(declared: Declared) -> bool:
    return bool(declared.get("max_extensions", 1))


def _multi_node(declared: Declared) -> bool:
    return bool(declared.get("multi_node"))


_LIMITS = ("006", "007", "008", "015")
_CLEANUP = ("008", "009", "010", "011")

ROWS: tuple[PromiseRow, ...] = (
    PromiseRow(
        "start",
        "Start",
        "A player gets one instance, once, and it answers at its address.",
        (*_group("START"), *_some("REACH", "001", "004", "007")),
    ),
    PromiseRow(
        "extend",
        "Extend",
        "An extend gives time and never takes any, on the same container and address.",
        (*_group("EXTEND", but=_LIMITS), *_some("REACH", "005")),
        offered=_limits_extensions,
    ),
    PromiseRow(
        "stop",
        "Stop",
        "A stop ends the instance it was meant for, and nothing of it stays.",
        (*_group("STOP", but=(*_CLEANUP, "016")), *_some("REACH", "003", "006")),
    ),
    PromiseRow(
        "auto-cleanup",
        "Auto-cleanup",
        "What has expired is over at its time, is removed by itself, and once.",
        (*_some("STOP", *_CLEANUP), *_group("EXPIRY")),
    ),
    PromiseRow("audit", "Audit", "Every call leaves one true event.", _group("AUDIT")),
    PromiseRow(
        "multi-node",
        "Multi-node",
        "Instances on several machines behave as those on one.",
        _group("NODE"),
        offered=_multi_node,
    ),
    PromiseRow(
        "subdomain",
        "Subdomain",
        "A challenge under a host name of its own answers there.",
        _some("REACH", "008"),
        offered=lambda declared: "subdomain" in declared.get("addressing", ()),
    ),
    PromiseRow(
        "extension-limits",
        "Extension limits",
        "As many extends as declared, no more, and anew for each instance.",
        (*_some("EXTEND", *_LIMITS), *_some("STATUS", "009")),
        offered=_limits_extensions,
    ),
    PromiseRow(
        "flags",
        "Flags",
        "Every instance has its own flag, the recorded one, and nobody gives it away.",
        (*_group("FLAG", but=("012", "013")), *_some("REACH", "007")),
    ),
)


def _one_at_a_time(declared: Declared) -> bool:
    return bool(declared.get("account_limit", 1) == 1)


def _per_challenge(declared: Declared) -> bool:
    return str(declared.get("scope", "per_challenge")) == "per_challenge"


def _few_extensions(declared: Declared) -> bool:
    return 1 <= int(declared.get("max_extensions", 1)) <= 20


def _teams(declared: Declared) -> bool:
    return bool(declared.get("teams", True))


def _flag_grace(declared: Declared) -> bool:
    return bool(declared.get("flag_grace_seconds"))


ASKED_IF: dict[str, Callable[[Declared], bool]] = {
    **dict.fromkeys(_some("START", "006", "007", "008", "022"), _one_at_a_time),
    "EXPIRY-006": _one_at_a_time,
    "START-017": _per_challenge,
    "STOP-014": _per_challenge,
    "EXTEND-002": lambda declared: declared.get("extend", "additive") == "additive",
    "EXTEND-003": lambda declared: declared.get("extend", "reset") == "reset",
    **dict.fromkeys(_some("EXTEND", "001", "004", "005", "011", "013", "014"), _limits_extensions),
    **dict.fromkeys(_some("EXTEND", "015", "016"), _limits_extensions),
    **dict.fromkeys(_some("EXTEND", "006", "007", "008"), _few_extensions),
    **dict.fromkeys(_some("EXPIRY", "010", "011"), _limits_extensions),
    "AUDIT-002": _limits_extensions,
    "FLAG-004": _limits_extensions,
    "REACH-005": _limits_extensions,
    "AUDIT-014": _teams,
    "AUDIT-022": lambda declared: _teams(declared) and _limits_extensions(declared),
    "AUDIT-019": lambda declared: bool(declared.get("detects_loss")),
    **dict.fromkeys(_some("FLAG", "006", "018"), _teams),
    **dict.fromkeys(_some("FLAG", "010", "014", "015", "016", "021"), _flag_grace),
    "FLAG-011": lambda declared: _flag_grace(declared) and bool(declared.get("detects_loss")),
    **dict.fromkeys(_group("NODE"), _multi_node),
    "REACH-001": lambda declared: bool(declared.get("ready_on_start", True)),
    "REACH-008": lambda declared: "subdomain" in declared.get("addressing", ("subdomain",)),
}
"""Rules that are asked only of a backend that declares what they are about; any other rule of a
row that was not measured is a gap."""


def cell(
    row: PromiseRow, backend: BackendInfo, results: Iterable[ScenarioResult]
) -> CompatibilityCell:
    """What the results of one backend say of a row."""
    declared = backend.capabilities
    if not row.offered(declared):
        return CompatibilityCell(CompatibilityFinding.NOT_OFFERED)
    asked = [rule for rule in row.rules if ASKED_IF.get(rule, _always)(declared)]
    ended = {result.rule: result.status for result in results}
    by_status = {
        status: tuple(rule for rule in asked if ended.get(rule) is status) for status in Status
    }
    kept, broken = by_status[Status.PASS], by_status[Status.FAIL]
    known, waived = by_status[Status.KNOWN_DEVIATION], by_status[Status.WAIVED]
    measured = {*kept, *broken, *known, *waived}
    unmeasured = tuple(rule for rule in asked if rule not in measured)
    finding = _finding(bool(kept), bool(broken or known or waived), bool(unmeasured))
    return CompatibilityCell(finding, kept, broken, known, waived, unmeasured)


def compatibility(report: Report) -> list[tuple[PromiseRow, tuple[CompatibilityCell, ...]]]:
    """Every row with a cell for each backend of the report, in its order."""
    by_backend = {backend.name: report.of(backend.name) for backend in report.backends}
    return [
        (row, tuple(cell(row, info, by_backend[info.name]) for info in report.backends))
        for row in ROWS
    ]


def _finding(kept: bool, broken: bool, gaps: bool) -> CompatibilityFinding:
    if broken:
        return CompatibilityFinding.BROKEN
    if not kept:
        return CompatibilityFinding.NOT_MEASURED
    return CompatibilityFinding.PARTLY if gaps else CompatibilityFinding.KEPT


def _rules(number: int) -> str:
    return f"{number} rule" if number == 1 else f"{number} rules"
