"""Failures that are known, by whom and until when: the file of ``--waivers``, and harnesses.

An excuse is for one broken rule of one backend, in a range of versions and until a day: a *waiver*
is a user's, from a file; a *known deviation* is declared by the harness of the backend itself. Both
hide nothing: such a failure keeps its message and trace and counts as neither pass nor fail. An
excuse that is over, or that excuses nothing, makes the run fail: it must be taken out.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from msgspec import Meta

from conformance.harness import KnownDeviation
from conformance.report.results import BackendInfo, ScenarioResult, Status
from conformance.spec.redaction import Secrets
from conformance.spec.rules import BY_ID
from engines import __version__
from engines.typed_input import Text, Unfit, typed

if TYPE_CHECKING:  # an extra's; a file is read without it until it has a range
    from packaging.specifiers import SpecifierSet

TOOL = "whale-ready"
"""The name of this tool's own version in a waiver's ``versions``."""

Link = Annotated[
    str,
    Meta(
        pattern=r"^https?://\S+\Z", description="the address where this is followed up: https://…"
    ),
]
Ranges = Annotated[
    Mapping[str, Annotated[str, Meta(pattern=r"\S")]],
    Meta(description=f'a version and its range, as {{ {TOOL} = ">=0.1,<0.3" }}'),
]


class WaiversError(ValueError):
    """The file cannot be used; the message names file, entry, field and fix."""


@dataclass(frozen=True)
class Excuse:
    """For one rule that a backend breaks."""

    rule: str
    backend: str
    """Its name, or a pattern that several names fit: ``whale:fake*``."""
    versions: Mapping[str, SpecifierSet]
    """Ranges of versions by name, as the backend reports them; all must hold."""
    reason: str
    link: str
    expires: date
    """The last day on which it holds, in UTC."""

    status: ClassVar[Status]
    """How a failure that it excuses is counted."""

    def applied(self, result: ScenarioResult) -> ScenarioResult:
        """The failure, excused."""
        raise NotImplementedError

    def names(self, backend: str) -> bool:
        """Whether it is for the backend of this name."""
        return fnmatchcase(backend, self.backend)

    def holds(self, info: BackendInfo, today: date) -> bool:
        """Whether it is for this backend, in these versions, on this day."""
        return (
            self.names(info.name) and not self.over(today) and not self.out_of_range(info.versions)
        )

    def over(self, today: date) -> bool:
        return self.expires < today

    def out_of_range(self, reported: Mapping[str, str]) -> str:
        """Which version lies outside of its range, or an empty text."""
        for name, wanted in self.versions.items():
            version = __version__ if name == TOOL else reported.get(name)
            if version is None:
                known = ", ".join([*reported, TOOL])
                return f"{name} has no version here; it may name {known}"
            if not _within(version, wanted):
                return f"{name} is {version}, which is not {wanted}"
        return ""


@dataclass(frozen=True)
class Waiver(Excuse):
    """One entry of the file; all of its fields must be given."""

    owner: str
    number: int
    """Its place in the file, from 1."""

    status = Status.WAIVED

    def __str__(self) -> str:
        return f"entry {self.number} ({self.rule} on {self.backend})"

    def applied(self, result: ScenarioResult) -> ScenarioResult:
        text = f"until {self.expires} by {self.owner}: {self.reason} ({self.link})"
        return replace(result, status=self.status, waiver=Secrets().clean(text))


@dataclass(frozen=True)
class Deviation(Excuse):
    """What the harness of one backend declares, on that backend."""

    status = Status.KNOWN_DEVIATION

    @classmethod
    def of(cls, backend: str, declared: KnownDeviation) -> Deviation:
        """As :func:`wrong_declarations` has found it in order."""
        return cls(
            rule=declared.rule,
            backend=backend,
            versions=_ranges(declared.versions),
            reason=declared.reason,
            link=declared.source,
            expires=declared.expires,
        )

    def __str__(self) -> str:
        return f"{self.backend}: the known deviation {self.rule} of its harness"

    def applied(self, result: ScenarioResult) -> ScenarioResult:
        text = f"until {self.expires}: {self.reason} ({self.link})"
        return replace(result, status=self.status, deviation=Secrets().clean(text))

    def wrong(self, status: Status | None, today: date) -> str:
        """Why the run fails for it, or an empty text: it must be true, and of our day."""
        if status is Status.PASS:
            return "is not needed: the rule is kept; take it out of the harness"
        if status is Status.FAIL and self.over(today):
            return (
                f"expired on {self.expires}; repair the backend, use a newer version of the "
                "harness, or take the failure over with --waivers"
            )
        return ""


@dataclass(frozen=True)
class Waivers:
    """The waivers of a run and the day on which they, and what harnesses declare, are asked."""

    source: str = ""
    """Name of their file."""
    entries: tuple[Waiver, ...] = ()
    today: date | None = None
    """In UTC; None for the day it is."""

    @property
    def day(self) -> date:
        return datetime.now(timezone.utc).date() if self.today is None else self.today

    def applied(
        self, result: ScenarioResult, backends: Sequence[BackendInfo], beside: str = ""
    ) -> ScenarioResult:
        """The result; a failure that is known is :data:`~conformance.report.results.EXCUSED`.

        Args:
            beside: what harness or suite got wrong in the same scenario. Nothing excuses that: it
                is then what is left.
        """
        info = _named(result.backend, backends)
        if result.status is not Status.FAIL or info is None:
            return result
        # What the harness declares comes first: a waiver for the same would not be needed.
        for excuse in (*_declared(info), *self.entries):
            if excuse.rule == result.rule and excuse.holds(info, self.day):
                if beside:
                    words = "is waived" if excuse.status is Status.WAIVED else "is known"
                    message = f"{beside}\nbeside a failure that {words}: {result.message}"
                    return replace(result, status=Status.ERROR, message=message)
                return excuse.applied(result)
        return result

    def problems(
        self,
        results: Collection[ScenarioResult],
        backends: Sequence[BackendInfo],
        rules: Collection[str],
        unopened: Collection[str] = (),
    ) -> Iterator[str]:
        """Why they make the run fail, a sentence each: over, or not matched by any failure.

        Args:
            rules: ids of the rules that the run is about; what is waived of others may be needed
                by another run, and only its day is looked at.
            unopened: names of backends that were to be checked and could not be had; what they
                need is not known.
        """
        found = {(result.rule, result.backend): result.status for result in results}
        for info in backends:
            for deviation in _declared(info):
                if deviation.out_of_range(info.versions):
                    continue  # it is not about this version
                wrong = deviation.wrong(found.get((deviation.rule, info.name)), self.day)
                if wrong:
                    yield Secrets().clean(f"{deviation} {wrong}")
        for waiver in self.entries:
            if any(map(waiver.names, unopened)) and not waiver.over(self.day):
                continue
            for wrong in self._wrong(waiver, found, backends, rules):
                yield Secrets().clean(f"{self.source}: {waiver} {wrong}")

    def _wrong(
        self,
        waiver: Waiver,
        found: Mapping[tuple[str, str], Status],
        backends: Sequence[BackendInfo],
        rules: Collection[str],
    ) -> Iterator[str]:
        if waiver.over(self.day):
            yield f"expired on {waiver.expires}; repair the backend, or agree on another day"
            return
        if waiver.rule not in rules:
            return
        named = [info for info in backends if waiver.names(info.name)]
        if not named:
            yield "is for a backend that was not checked; take the entry out"
        for info in named:
            wrong = _idle(waiver, info, found.get((waiver.rule, info.name)))
            if wrong:
                yield wrong if info.name == waiver.backend else f"{wrong} ({info.name})"


@dataclass(frozen=True, kw_only=True)
class _Written:
    """An excuse as it is written down; each version that it names has a range."""

    rule: Text
    reason: Text
    expires: date
    versions: Ranges

    def ranges(self) -> dict[str, SpecifierSet]:
        if self.rule not in BY_ID:
            raise Unfit(("rule",), f"{self.rule} is no rule; write one exact id, as START-004")
        return _ranges(self.versions)


@dataclass(frozen=True, kw_only=True)
class _Entry(_Written):
    versions: Annotated[Ranges, Meta(min_length=1)]
    backend: Text
    owner: Text
    link: Link


@dataclass(frozen=True, kw_only=True)
class _Declaration(_Written):
    source: Link


def wrong_declarations(declared: Sequence[KnownDeviation]) -> Iterator[str]:
    """A sentence for each of a harness's known deviations that cannot be understood."""
    seen: set[str] = set()
    for deviation in declared:
        what = f"its known deviation {deviation.rule!r}"
        written = dict(vars(deviation))
        if isinstance(written["versions"], Mapping):
            written["versions"] = dict(written["versions"])
        try:
            typed(written, _Declaration).ranges()
        except ValueError as error:
            yield f"{what}: {error}"
        if deviation.rule in seen:
            yield f"{what}: is declared twice; make them one"
        seen.add(deviation.rule)


NO_WAIVERS = Waivers()


def load_waivers(path: Path, today: date) -> Waivers:
    """The waivers of a file.

    Raises:
        WaiversError: it cannot be read, or an entry is not as docs/gating.md says.
    """
    source = path.name
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "is no UTF-8 text"
        raise WaiversError(f"{source}: {said}; name a file of waivers I can read") from None
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WaiversError(f"{source}: {_place(text, str(error))}{error}; correct it") from None
    entries = content.pop("waivers", [])
    if content:
        raise WaiversError(
            f"{source}: {', '.join(content)} means nothing here; write [[waivers]] for each entry"
        )
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise WaiversError(f"{source}: waivers must be tables; write [[waivers]] for each entry")
    made = [_entry(source, number, each) for number, each in enumerate(entries, start=1)]
    _check_unique(source, made)
    return Waivers(source, tuple(made), today)


def _entry(source: str, number: int, content: dict[str, Any]) -> Waiver:
    bare = {name: each.strip() if isinstance(each, str) else each for name, each in content.items()}
    try:
        entry = typed(bare, _Entry)
        return Waiver(**{**vars(entry), "versions": entry.ranges()}, number=number)
    except ValueError as error:
        raise WaiversError(f"{source}: entry {number}: {error}") from None


def _ranges(versions: Mapping[str, str]) -> dict[str, SpecifierSet]:
    if not versions:
        return {}
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    ranges = {}
    for name, text in versions.items():
        try:
            ranges[name] = SpecifierSet(text)
        except InvalidSpecifier:
            said = f'{text!r} is no range; write it as ">=24,<27"'
            raise Unfit(("versions",), said) from None
    return ranges


def _check_unique(source: str, waivers: list[Waiver]) -> None:
    seen: dict[tuple[str, str], Waiver] = {}
    for waiver in waivers:
        first = seen.setdefault((waiver.rule, waiver.backend), waiver)
        if first is not waiver:
            raise WaiversError(
                f"{source}: entry {waiver.number}: rule: {waiver.rule} on {waiver.backend} is "
                f"entry {first.number} already; make them one"
            )


def _place(text: str, said: str) -> str:
    """Entry and field of a line that is no TOML, where they can be told."""
    found = re.search(r"at line (\d+)", said)
    if found is None:
        return ""
    lines = text.splitlines()[: int(found[1])]
    number = sum(line.strip().startswith("[[waivers]]") for line in lines)
    field = re.match(r"\s*(\w+)\s*=", lines[-1]) if lines else None
    return (f"entry {number}: " if number else "") + (f"{field[1]}: " if field else "")


def _declared(info: BackendInfo) -> Iterator[Deviation]:
    return (Deviation.of(info.name, deviation) for deviation in info.known_deviations)


def _named(name: str, backends: Sequence[BackendInfo]) -> BackendInfo | None:
    return next((backend for backend in backends if backend.name == name), None)


def _idle(waiver: Waiver, info: BackendInfo, status: Status | None) -> str:
    """Why a backend does not need a waiver that is for it, or an empty text."""
    outside = waiver.out_of_range(info.versions)
    if outside:
        return f"does not fit: {outside}; take the entry out, or correct its versions"
    if status is Status.PASS:
        return "is not needed: the rule is kept; take the entry out"
    if status is Status.KNOWN_DEVIATION:
        return "is not needed: its harness declares this as known; take the entry out"
    if status is Status.NOT_APPLICABLE:
        return "is not needed: the rule did not apply; take the entry out"
    # No result, or an error: then the run says itself that it is not whole.
    return ""


def _within(version: str, wanted: SpecifierSet) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return wanted.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False
