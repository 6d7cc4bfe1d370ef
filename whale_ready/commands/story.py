"""``whale-ready story``: invented stories told to a backend beside the model, or to two of them."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import click

from conformance.harness import CannotRun, Harness, Options
from conformance.model import differential, runs
from conformance.model.model_runner import Telling
from conformance.model.runs import Count, StoryFinding, StoryPlan
from conformance.model.stories import Story, StoryError, read, written
from conformance.registry.backends import BackendSpecError, Subject, resolve
from conformance.spec.redaction import Secrets
from conformance.spec.trace import HarnessFault
from whale_ready.command import INTERRUPTED, Command, could_not_run
from whale_ready.console import Console

FOUND = 1
"""Exit code when something was found."""
TOLD_EVERY = 10
"""After how many stories progress is told."""


@click.command(
    "story",
    cls=Command,
    short_help="Tell a backend invented stories and compare it with a model of the contract.",
    epilog="""\b
Exit codes:
  0    every story went as the model says; two backends differ as they declare at most
  1    a story went otherwise: the shortest one that does is printed
  3    could not run: a bad option, no backend, an error of a harness
  130  interrupted

\b
Examples:
  whale-ready story --backend cre:memory
  whale-ready story --backend cre:memory --against whale:fake
  whale-ready story --backend cre --tell 'start alice first; expiry 5; status alice first'
""",
)
@click.option("--backend", "spec", metavar="SPEC", required=True, help="As in whale-ready check.")
@click.option("--against", metavar="SPEC", help="A second backend that is told the same stories.")
@click.option("--stories", type=click.IntRange(1), default=50, show_default=True)
@click.option("--steps", type=click.IntRange(1), default=25, show_default=True, help="Per story.")
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same stories.")
@click.option("--only", metavar="NUMBER", type=click.IntRange(1), help="Tell this story alone.")
@click.option("--tell", "text", metavar="STORY", help="Tell this written story and print it whole.")
@click.option(
    "--limit",
    metavar="NUMBER",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Live instances per account, with --tell.",
)
def story_command(
    spec: str,
    against: str | None,
    stories: int,
    steps: int,
    seed: int,
    only: int | None,
    text: str | None,
    limit: int,
) -> None:
    """Tell a backend invented stories and compare it, step by step, with a model of the contract.

    Where it does otherwise the shortest story that shows it is printed, with how to tell it again.
    With --against two backends are told the same stories, and it is shown where they part.
    """
    console = Console()
    logging.getLogger("engines").addHandler(logging.NullHandler())  # every outage is a warning
    plan = StoryPlan(seed=seed, stories=stories, steps=steps, only=only)
    try:
        story = None if text is None else read(text)
        subjects = [resolve(each) for each in (spec, against) if each is not None]
        with _opened(subjects, console):
            teller = StoryCommand(console, subjects, plan)
            options = Options(account_limit=limit, max_extensions=2)
            sys.exit(teller.search() if story is None else teller.replay(story, options))
    except (BackendSpecError, StoryError, CannotRun, HarnessFault) as error:
        sys.exit(could_not_run(str(error)))
    except KeyboardInterrupt:
        console.print("interrupted", style="bold")
        sys.exit(INTERRUPTED)


class StoryCommand:
    """Tells stories and prints what came of them; its methods return the exit code."""

    def __init__(self, console: Console, subjects: list[Subject], plan: StoryPlan) -> None:
        self._console = console
        self._subjects = subjects
        self._plan = plan

    def search(self) -> int:
        plan = self._plan
        many = f"story {plan.only}" if plan.only else f"{plan.stories} stories"
        self._say(f"{many} of {plan.steps} steps, seed {plan.seed}", "bold")
        return self._search_one() if len(self._subjects) == 1 else self._search_both()

    def replay(self, story: Story, options: Options) -> int:
        harnesses = [subject.harness for subject in self._subjects]
        if len(harnesses) == 2:
            comparison = differential.compared(harnesses[0], harnesses[1], story, options)
            self._print_comparison(comparison)
            return FOUND if comparison.broken else 0
        telling = runs.told(harnesses[0], story, options)
        self._print_telling(telling)
        return 0 if telling.parted is None else FOUND

    def _search_one(self) -> int:
        (subject,) = self._subjects
        count = Count()
        found = runs.search(subject.harness, self._plan, self._progress, count)
        if found is None:
            self._say(f"{subject.name}: {_summed(count)}; all as the model says", "bold green")
            return 0
        self._print_finding(subject, found)
        return FOUND

    def _search_both(self) -> int:
        one, other = (subject.harness for subject in self._subjects)
        names = " and ".join(subject.name for subject in self._subjects)
        seen: Counter[tuple[str, str]] = Counter()
        stories = 0
        for comparison in differential.search(one, other, self._plan, self._progress):
            stories += 1
            if comparison.broken is not None:
                self._say(f"{names} differ beyond what they declare:", "bold red")
                self._print_comparison(comparison)
                self._how_to_replay(comparison.story)
                return FOUND
            seen.update(
                (difference.why.value, difference.about) for difference in comparison.differences
            )
        for (why, about), times in sorted(seen.items()):
            word = "declared difference" if why == "declared" else "left open by the contract"
            self._say(f"{word}: {about} ({times} answers)", "dim")
        self._say(f"{names}: {stories} stories, no other difference", "bold green")
        return 0

    # What is printed.

    def _print_finding(self, subject: Subject, found: StoryFinding) -> None:
        self._say(
            f"{subject.name} parts from the model in story {found.number}, "
            f"made {len(found.story)} steps long of {found.original}:",
            "bold red",
        )
        self._print_telling(found.telling)
        self._how_to_replay(found.story, found.options)
        self._say(
            f"or the whole story: --seed {self._plan.seed} --only {found.number} "
            f"--steps {self._plan.steps}",
            "dim",
        )

    def _print_telling(self, telling: Telling) -> None:
        for number, told in enumerate(telling.steps, start=1):
            self._say(f"  {number}. {told.sentence}: {told.short}")
            for line in told.trace:
                self._say(f"       {line}", "dim")
        if telling.parted is not None:
            self._say(f"  expected  {telling.parted.expected}", "bold")
            self._say(f"  got       {telling.parted.got}", "bold red")

    def _print_comparison(self, comparison: differential.StoryComparison) -> None:
        names = [subject.name for subject in self._subjects]
        different = {
            answer_difference.at: answer_difference for answer_difference in comparison.differences
        }
        for at, (one, other) in enumerate(comparison.steps):
            self._say(f"  {at + 1}. {one.sentence}")
            difference = different.get(at)
            if difference is None and one.short == other.short:
                self._say(f"       both: {one.short}")
                continue
            for name, told in zip(names, (one, other), strict=True):
                self._say(f"       {name}: {told.short}")
            if difference is not None:
                style = (
                    "bold red"
                    if difference.why is differential.DifferenceCause.BROKEN
                    else "yellow"
                )
                self._say(f"       {difference.why.value}: {difference.about}", style)

    def _how_to_replay(self, story: Story, options: Options | None = None) -> None:
        specs = f"--backend {self._subjects[0].name}"
        if len(self._subjects) == 2:
            specs += f" --against {self._subjects[1].name}"
        limit = options.account_limit if options is not None else 1
        more = f" --limit {limit}" if limit > 1 else ""
        self._say(f"again: whale-ready story {specs}{more} --tell '{written(story)}'", "dim")

    def _progress(self, number: int) -> None:
        if number % TOLD_EVERY == 0 and number < self._plan.stories:
            self._say(f"{number} stories told", "dim")

    def _say(self, text: str, style: str = "") -> None:
        self._console.say(Secrets().clean(text), style)


def _summed(count: Count) -> str:
    return f"{count.stories} stories, {sum(count.steps.values())} steps"


@contextmanager
def _opened(subjects: list[Subject], console: Console) -> Iterator[None]:
    opened: list[Harness] = []
    try:
        for subject in subjects:
            console.say(f"preparing {subject.name}: {subject.harness.kind}")
            opened.append(subject.harness)
            subject.harness.open()
        yield
    finally:
        for harness in reversed(opened):
            harness.close()
