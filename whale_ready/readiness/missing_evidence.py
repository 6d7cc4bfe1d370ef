"""What makes good news not enough, what weighs most first: what is missing, old or not real."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from conformance.report.results import MINIMUM_EXECUTED, BackendInfo, Status
from conformance.report.results import Verdict as Ended
from conformance.spec.rules import RULES as CONTRACT
from whale_ready.preflight.items import ItemState
from whale_ready.readiness import commands
from whale_ready.readiness.decision import Policy, Question, ReadinessVerdict, RuleFinding
from whale_ready.readiness.evidence import BackendRole, BenchFile, Evidence, part_of, same_place
from whale_ready.readiness.verdict_rules import VerdictRules, judged, margins, runs

SKEW = timedelta(minutes=5)
"""How far ahead the clock may go of a machine that made evidence."""
_NO_VERSION = frozenset({"url", "database"})
"""Of what backends report: the address is another rule's. A check may keep its state in the site's
own database (--database), which a bench cannot."""
_CUT_SHORT = {Ended.INTERRUPTED: "was interrupted", Ended.COULD_NOT_RUN: "could not be finished"}
_BOOK = VerdictRules(ReadinessVerdict.NOT_ENOUGH)


@_BOOK.rule(
    "missing",
    Question.SURE,
    "check, bench or preflight was not given",
)
def _missing(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    made_by = {
        "check": ("nothing shows that Whale keeps the contract", commands.check_again),
        "bench": ("nothing shows that Whale is fast enough", commands.bench_again),
        "preflight": ("nothing shows that this deployment is ready", commands.preflight_again),
    }
    for name, (what, command) in made_by.items():
        if name not in evidence.sources:
            how = f"Make one, then give it with --{name}"
            yield RuleFinding(
                f"There is no {name}: {what}",
                how,
                command(evidence),
                file=name,
            )


@_BOOK.rule(
    "wrong-subject",
    Question.SURE,
    "Whale is not in the check, or CRE is not while starts fall back to it; or the bench does not "
    "hold Whale (B) against CRE (A)",
)
def _wrong_subject(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    check, bench = evidence.check, evidence.bench
    if check is not None:
        needed = [BackendRole.WHALE, *([BackendRole.CRE] if policy.fallback else [])]
        there = {_played(backend) for backend in check.backends}
        for part in needed:
            if part not in there:
                yield RuleFinding(
                    f"The check is not of {part.value}, but of {_names(check.backends)}",
                    f"Check {part.value} too",
                    commands.check_again(evidence),
                    file="check",
                )
    if bench is not None:
        a, b = bench.backends[:2]
        if (_played(a), _played(b)) != (BackendRole.CRE, BackendRole.WHALE):
            yield RuleFinding(
                f"The bench holds {b.name} against {a.name}, not Whale against CRE",
                "Measure these two, CRE first",
                commands.bench_again(evidence),
                file="bench",
            )


@_BOOK.rule(
    "fake-whale",
    Question.SURE,
    "Whale was a fake: that shows the adapter, and nothing of the Whale here",
)
def _fake_whale(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    for name, run, command in runs(evidence):
        parts = {part_of(backend): backend for backend in run.backends}
        if BackendRole.FAKE_WHALE in parts and BackendRole.WHALE not in parts:
            yield RuleFinding(
                f"The {name} is of {parts[BackendRole.FAKE_WHALE].name}, a fake Whale: it says "
                f"nothing of "
                "the Whale here",
                "Measure the real one",
                command(evidence),
                file=name,
            )


@_BOOK.rule(
    "simulated",
    Question.SURE,
    "Whale, or CRE where it counts, ran on simulated containers",
)
def _simulated(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    for name, run, command in runs(evidence):
        counts = {BackendRole.WHALE}
        if policy.fallback or isinstance(run, BenchFile):
            counts.add(BackendRole.CRE)
        for part in BackendRole:
            mine = [backend for backend in run.backends if part_of(backend) is part]
            if part in counts and mine and all(backend.simulated for backend in mine):
                yield RuleFinding(
                    f"In the {name}, {_names(mine)} ran on simulated containers",
                    "Measure it on real ones",
                    command(evidence),
                    file=name,
                )


@_BOOK.rule(
    "cut-short",
    Question.SURE,
    "check or bench was interrupted, or could not be finished",
)
def _cut_short(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    check, bench = evidence.check, evidence.bench
    if check is not None and check.report.verdict in _CUT_SHORT:
        yield RuleFinding(
            f"The check {_CUT_SHORT[check.report.verdict]}",
            "Let it run to its end",
            commands.check_again(evidence),
            check.report.reasons,
            file="check",
        )
    if bench is not None and bench.interrupted:
        how = "Let it run to its end"
        yield RuleFinding(
            "The bench was interrupted",
            how,
            commands.bench_again(evidence),
            file="bench",
        )


@_BOOK.rule(
    "others-failed",
    Question.CONTRACT,
    "the check failed on a backend that does not count, which hides what else went wrong",
)
def _others_failed(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    check = evidence.check
    if check is None or check.report.verdict is not Ended.FAILED:
        return
    failed = {result.backend for result in check.report.results if result.status is Status.FAIL}
    ours = {
        BackendRole.WHALE,
        BackendRole.FAKE_WHALE,
        BackendRole.ROUTING,
        *([BackendRole.CRE] if policy.fallback else []),
    }
    if failed and not any(part_of(e) in ours for e in check.backends if e.name in failed):
        yield RuleFinding(
            f"The check failed on {', '.join(sorted(failed))}, which does not count here, and that "
            "hides what else may have gone wrong",
            "Check without it",
            commands.check_again(evidence),
            check.report.reasons,
            file="check",
        )


@_BOOK.rule(
    "part-of-rules",
    Question.CONTRACT,
    "rules of the contract were left out, by --select, --profile, --spec or --stop-at-first",
)
def _part_of_rules(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    for backend, ids, _passed in judged(evidence, policy):
        left_out = [rule.id for rule in CONTRACT if rule.id not in ids]
        if left_out:
            yield RuleFinding(
                f"{len(left_out)} of {len(CONTRACT)} rules were left out on {backend.name}",
                "Check all of them",
                commands.check_again(evidence),
                (f"{', '.join(left_out[:5])}{' …' if len(left_out) > 5 else ''}",),
                file="check",
            )


@_BOOK.rule(
    "too-few",
    Question.CONTRACT,
    "fewer scenarios passed than a verdict needs: the profile's number, or --minimum",
)
def _too_few(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    if evidence.check is None:
        return
    report = evidence.check.report
    least = MINIMUM_EXECUTED[report.profile]
    details = report.reasons if report.verdict is Ended.INCONCLUSIVE else ()
    few = [
        f"{backend.name}: {passed} scenarios passed, {least} are needed"
        for backend, _ids, passed in judged(evidence, policy)
        if passed < least
    ]
    if few or report.verdict is Ended.INCONCLUSIVE:
        yield RuleFinding(
            "The check executed too little for a verdict",
            "See why so much did not apply, then check again",
            commands.check_again(evidence),
            tuple(dict.fromkeys((*few, *details))),
            file="check",
        )


@_BOOK.rule(
    "no-margin",
    Question.SPEED,
    "no margin was agreed for the time of a start, or none for errors",
)
def _no_margin(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    if evidence.bench is None:
        return
    held = [ratio for ratio in evidence.bench.ratios if ratio.margin is not None]
    times = any(figure.call in ("start", "ready") and figure.figure != "errors" for figure in held)
    lacking = [] if times else ["the time of a start (p95=1.2)"]
    lacking += [] if any(e.figure == "errors" for e in held) else ["errors (errors=0.05)"]
    if lacking:
        yield RuleFinding(
            f"No margin was agreed beforehand for {' and '.join(lacking)}",
            "Agree on it, then measure",
            f"{commands.bench_again(evidence)} --margin start.p95=1.2 --margin errors=0.05",
            file="bench",
        )


@_BOOK.rule(
    "bench-inconclusive",
    Question.SPEED,
    "a margin lies inside its interval, or n is too small for one",
)
def _bench_inconclusive(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    yield from margins(
        evidence,
        "inconclusive",
        "This bench cannot tell whether {b} is within what was agreed",
        "Measure longer, once",
        960,
    )


@_BOOK.rule(
    "not-checkable",
    Question.DEPLOYMENT,
    "an item of the preflight could not be checked, and is not accepted (--accept)",
)
def _not_checkable(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    for item in evidence.preflight.items if evidence.preflight else ():
        if item.state is ItemState.NOT_CHECKABLE and item.id not in policy.accepted:
            yield RuleFinding(
                f"{item.title} ({item.id}): could not be checked",
                f"{item.fix or 'Look at it by hand'}; or accept it, with the reason",
                commands.accept(item.id),
                (item.evidence,) if item.evidence else (),
                file="preflight",
            )


@_BOOK.rule(
    "other-whale",
    Question.SURE,
    "the files are not of one Whale, or one does not say of which",
)
def _other_whale(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    places: dict[str, str] = {}
    if evidence.preflight is not None:
        places["preflight"] = evidence.preflight.url
    for name, run, command in runs(evidence):
        for backend in run.backends:
            if part_of(backend) is not BackendRole.WHALE:
                continue
            if _place(backend.versions.get("url", "")):
                places[f"{name} ({backend.name})"] = backend.versions["url"]
            else:
                yield RuleFinding(
                    f"The {name} does not say at which address {backend.name} is",
                    "Measure it by its address",
                    command(evidence),
                    file=name,
                )
    if len({_place(place) for place in places.values()}) > 1:
        yield RuleFinding(
            "The files are of different Whales",
            "Make all of them of the one that the rollout goes to",
            commands.preflight_again(evidence),
            tuple(f"{name}: {url}" for name, url in places.items()),
        )


@_BOOK.rule(
    "versions-differ",
    Question.SURE,
    "the files are of different versions of whale-ready, of Whale's dialect, or of a backend",
)
def _versions_differ(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    said = _versions(evidence)
    differing = tuple(
        f"{what}: {', '.join(f'{version} in the {name}' for name, version in by.items())}"
        for what, by in said.items()
        if len(set(by.values())) > 1
    )
    if differing:
        yield RuleFinding(
            "The files are not of the same versions",
            "Make those of the older ones anew",
            commands.check_again(evidence),
            differing,
        )


@_BOOK.rule(
    "stale",
    Question.SURE,
    "a file is older than --max-age (7 days), or from the future",
)
def _stale(evidence: Evidence, policy: Policy, now: datetime) -> Iterator[RuleFinding]:
    again = {
        "check": commands.check_again,
        "bench": commands.bench_again,
        "preflight": commands.preflight_again,
    }
    for name, source in evidence.sources.items():
        age = now - source.made_at
        if age > policy.max_age:
            days = age / timedelta(days=1)
            most = policy.max_age / timedelta(days=1)
            yield RuleFinding(
                f"The {name} is {days:.1f} days old; at most {most:g} are allowed",
                "Make it anew",
                again[name](evidence),
                file=name,
            )
        elif age < -SKEW:
            yield RuleFinding(
                f"The {name} is from the future, {source.made_at:%Y-%m-%d %H:%M} UTC",
                "Set the clocks right, then make it anew",
                again[name](evidence),
                file=name,
            )


GAPS = tuple(_BOOK.rules)


def _versions(evidence: Evidence) -> dict[str, dict[str, str]]:
    """What each file says of each version, of the first CRE and the first Whale in it."""
    said: dict[str, dict[str, str]] = {}
    for name, source in evidence.sources.items():
        said.setdefault("whale-ready", {})[name] = source.whale_ready
    for name, run, _command in runs(evidence):
        for backend in run.backends:
            part = part_of(backend)
            for what, version in backend.versions.items():
                if part in (BackendRole.CRE, BackendRole.WHALE) and what not in _NO_VERSION:
                    said.setdefault(f"{part.value}: {what}", {}).setdefault(name, version)
    if evidence.preflight is not None:
        for what in ("dialect", "version"):
            if version := getattr(evidence.preflight, what):
                said.setdefault(f"Whale: {what}", {})["preflight"] = version
    return said


def _played(backend: BackendInfo) -> BackendRole:
    """A fake Whale plays Whale's part; that it is a fake is another rule."""
    part = part_of(backend)
    return BackendRole.WHALE if part is BackendRole.FAKE_WHALE else part


def _names(backends: Iterable[BackendInfo]) -> str:
    return ", ".join(backend.name for backend in backends) or "nothing"


def _place(url: str) -> str:
    try:
        return same_place(url)
    except (ValueError, KeyError):
        return ""
