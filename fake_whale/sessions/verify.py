"""Replays recorded sessions against the fake and says, section by section, how true it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..fake import FakeWhale
from ..whale.cleaner import PERIOD_SECONDS
from ..whale.clock import VirtualEpochClock
from ..whale.world import WhaleWorld
from .actors import Actors
from .limits import CLEANER, TimeLimits
from .recording import Ask, Auth, RecordedAnswer, RecordedSession, RecordedStep

REMAINING_TOLERANCE_SECONDS = 1
BEATS = tuple(range(int(PERIOD_SECONDS)))
"""Moments of the cleaner's period, in seconds, at which a session may have begun."""
MOST_EITHER_WAY = 0.005
"""Share of steps that may be excused for lying on a time limit."""

SECTIONS = (
    "Who is asking",
    "challenge_id",
    "The normal life",
    "Locks and the frequency limit",
    "Limits and expiry",
)
"""Sections of docs/whale-wire.md that recorded sessions can show."""
OTHER_SECTIONS = ("Faults", "Concurrency", "Admin API", "Teams mode")
"""Sections they cannot: one call after the other by players, and nothing broken."""


@dataclass(frozen=True)
class StepDifference:
    """A step that went otherwise; ``limit`` names the time limit that excuses it, if one does."""

    session: str
    step: int
    section: str
    ask: Ask
    wanted: RecordedAnswer
    got: RecordedAnswer
    limit: str | None

    def __str__(self) -> str:
        who = f"{self.ask.actor} ({self.ask.auth.value})"
        excuse = f" [on a time limit: {self.limit}]" if self.limit else ""
        return (
            f"{self.session} step {self.step}, {who} {self.ask.method} "
            f"challenge_id={self.ask.challenge_id}{excuse}\n"
            f"    recorded: {_shown(self.wanted)}\n    fake:     {_shown(self.got)}"
        )


@dataclass
class StepTally:
    """Steps of one section."""

    matched: int = 0
    either_way: int = 0
    differing: int = 0

    @property
    def total(self) -> int:
        """All steps."""
        return self.matched + self.either_way + self.differing


@dataclass
class Fidelity:
    """The result of a verification."""

    sections: dict[str, StepTally] = field(
        default_factory=lambda: {s: StepTally() for s in SECTIONS}
    )
    differences: list[StepDifference] = field(default_factory=list)
    sessions: int = 0

    def note(self, judged: _Judged) -> None:
        """Count one step."""
        tally = self.sections[judged.section]
        if judged.difference is None:
            tally.matched += 1
            return
        if judged.difference.limit is None:
            tally.differing += 1
        else:
            tally.either_way += 1
        self.differences.append(judged.difference)

    @property
    def overall(self) -> StepTally:
        """All sections together."""
        tallies = self.sections.values()
        return StepTally(
            sum(t.matched for t in tallies),
            sum(t.either_way for t in tallies),
            sum(t.differing for t in tallies),
        )

    @property
    def good(self) -> bool:
        """There was something, and all of it matched but for 0.5 % of steps on a time limit."""
        overall = self.overall
        return (
            overall.total > 0
            and overall.differing == 0
            and overall.either_way <= MOST_EITHER_WAY * overall.total
        )

    def as_markdown(self) -> str:
        """The table for docs/whale-wire.md."""
        lines = [
            "| section | matched | total | on a time limit |",
            "|---|---:|---:|---:|",
            *(
                f"| {name} | {tally.matched} | {tally.total} | {tally.either_way} |"
                for name, tally in self.sections.items()
            ),
        ]
        overall = self.overall
        total = f"| **all, {self.sessions} sessions** | {overall.matched} | {overall.total} "
        silent = [f"| {name} | – | – | – |" for name in OTHER_SECTIONS]
        note = "–: recorded sessions do not show it; the project's own tests do."
        return "\n".join([*lines, *silent, f"{total}| {overall.either_way} |", "", note])


def verify(world: WhaleWorld, sessions: Iterable[RecordedSession]) -> Fidelity:
    """Replay ``sessions``, each from an empty ``world``, on a virtual clock.

    Raises :class:`~fake_whale.whale.errors.FakeWhaleError` when a session's actor or setting is
    unknown.
    """
    fidelity = Fidelity()
    fake = FakeWhale(world, clock=VirtualEpochClock())
    with fake.serve() as server:
        for session in sessions:
            fidelity.sessions += 1
            for judged in _most_alike(fake, server.url, session):
                fidelity.note(judged)
    return fidelity


def _most_alike(fake: FakeWhale, url: str, session: RecordedSession) -> list[_Judged]:
    """The session as it goes with the beat of the cleaner that the recording seems to have had.

    A session does not say when, in its ten seconds, the real cleaner beat. It is the same moment
    all through it, so each is tried, until nothing is left that turns on it.
    """
    best: list[_Judged] = []
    for phase in BEATS:
        fake.reset()
        fake.patch_config(session.config)
        fake.clock.advance(phase)
        judged = [_judge(session, n, step) for n, step in enumerate(_replay(fake, url, session))]
        if not best or _differing(judged) < _differing(best):
            best = judged
        if not any(each.difference and each.difference.limit == CLEANER for each in judged):
            break
    return best


def _differing(judged: list[_Judged]) -> int:
    return sum(each.difference is not None for each in judged)


class _Judged(NamedTuple):
    """One step's section, and how it differs, if it does."""

    section: str
    difference: StepDifference | None


class _Replayed(NamedTuple):
    """A step, what the fake answered, the limit it is close to, and what is not known of times.

    A recording tells when a call was asked and when answered, and not when, in between, Whale did
    its work; the fake does it at once. ``began_late``: seconds by which the running container may
    have begun later than the fake's.
    """

    step: RecordedStep
    got: RecordedAnswer
    limit: str | None
    began_late: float


def _replay(fake: FakeWhale, url: str, session: RecordedSession) -> Iterator[_Replayed]:
    cast = Actors(url, fake.world)
    limits = TimeLimits(fake.machine, {user.name: user.id for user in fake.world.users})
    began_late: dict[str, float] = {}
    try:
        for step in session.steps:
            cast.prepare(step.ask)
            fake.clock.advance(step.ask.wait)
            limit = limits.close_to(step.ask)
            asked_at = fake.clock.time()
            got = cast.play(step.ask)
            late = max(0.0, step.answer.took - (fake.clock.time() - asked_at))
            limits.note_answer(step.ask, _message(got), late)
            fake.clock.advance(late)
            if step.ask.method in ("POST", "PATCH"):
                began_late[step.ask.actor] = late
            yield _Replayed(step, got, limit, began_late.get(step.ask.actor, 0.0))
    finally:
        cast.close()


def _judge(session: RecordedSession, index: int, replayed: _Replayed) -> _Judged:
    step, got, limit, began_late = replayed
    section = section_of(step)
    if agree(step.answer, got, began_late):
        return _Judged(section, None)
    difference = StepDifference(session.id, index, section, step.ask, step.answer, got, limit)
    return _Judged(section, difference)


def agree(wanted: RecordedAnswer, got: RecordedAnswer, began_late: float = 0.0) -> bool:
    """Whether two answers are the same but for a second of ``remaining_time``.

    It may be less by what the recorded answer took, as it may have been counted at its end, and
    more by ``began_late``.
    """
    least = -REMAINING_TOLERANCE_SECONDS - wanted.took
    most = REMAINING_TOLERANCE_SECONDS + began_late
    return (
        wanted.status == got.status
        and wanted.content_type == got.content_type
        and wanted.location == got.location
        and _alike(wanted.body, got.body, least, most)
    )


def section_of(step: RecordedStep) -> str:
    """The section of docs/whale-wire.md the recorded answer belongs to."""
    body = step.answer.body if isinstance(step.answer.body, dict) else {}
    message = body.get("message") or ""
    if step.ask.auth is Auth.NONE or step.answer.status in (302, 401) or "success" not in body:
        return "challenge_id" if step.answer.status == 500 else "Who is asking"
    if message in ("challenge not visible", "no such challenge"):
        return "challenge_id"
    if message in ("Request Too Fast!",) or message.startswith("Frequency limit"):
        return "Locks and the frequency limit"
    data = body.get("data") or {}
    limits = ("Max container count exceed.", "Max renewal count exceed.", "Invalid container")
    if message in limits or data.get("remaining_time", 1) <= 0:
        return "Limits and expiry"
    return "The normal life"


def _alike(wanted: Any, got: Any, least: float, most: float) -> bool:
    if isinstance(wanted, dict) and isinstance(got, dict):
        if wanted.keys() != got.keys():
            return False
        return all(
            _close(wanted[key], got[key], least, most)
            if key == "remaining_time"
            else _alike(wanted[key], got[key], least, most)
            for key in wanted
        )
    return bool(wanted == got)


def _close(wanted: Any, got: Any, least: float, most: float) -> bool:
    return isinstance(wanted, int) and isinstance(got, int) and least <= wanted - got <= most


def _message(answer: RecordedAnswer) -> str | None:
    return answer.body.get("message") if isinstance(answer.body, dict) else None


def _shown(answer: RecordedAnswer) -> str:
    return f"{answer.status} {answer.content_type} {answer.location or ''} {answer.body}"
