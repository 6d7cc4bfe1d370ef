"""The interface for harnesses: its document, its hooks, and what is said of one that is wrong."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from reference.backend import CHALLENGES, ReferenceBackend
from reference.world import ReferenceHarness, ReferenceWorld

from conformance.harness import Challenges, Harness, Hook, Options, Player, World
from conformance.registry.backends import Subject, resolve
from conformance.report.results import Verdict
from conformance.run.runner import CheckRequest, check_subjects, planned_scenarios
from conformance.run.selfcheck import self_check
from conformance.spec.hooks import METHODS, OPTIONS
from conformance.spec.rules import BY_ID, GROUPS
from whale_ready.cli import main

DOCUMENT = Path(__file__).parents[2] / "docs" / "harness.md"


# The document


def table_rows() -> list[str]:
    """The table of hooks as it has to stand in docs/harness.md."""
    asked = planned_scenarios(Subject("any", ReferenceHarness()), CheckRequest())
    rows = []
    for hook in Hook:
        groups = {BY_ID[each.id].group for each in asked if hook in each.hooks}
        cells = [
            f"`{hook.name}`",
            ", ".join(f"`{name}`" for name in METHODS.get(hook, ())),
            ", ".join(f"`{name}`" for name in OPTIONS.get(hook, ())),
            ", ".join(group for group in GROUPS if group in groups),
        ]
        rows.append(f"| {' | '.join(cell or '–' for cell in cells)} |")
    return rows


def test_the_documents_table_is_that_of_the_rules() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.findall(r"^\| `[A-Z_]+` \|.*\|$", text, re.MULTILINE)

    wanted = table_rows()
    assert found == wanted, "write into docs/harness.md:\n" + "\n".join(wanted)


def test_every_hook_has_methods_or_options_that_exist() -> None:
    assert {*METHODS, *OPTIONS} == set(Hook)
    for names in METHODS.values():
        assert all(callable(getattr(World, name)) for name in names)
    known = {field.name for field in fields(Options)}
    assert {name for names in OPTIONS.values() for name in names} == known


def test_the_documents_harness_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    code = next(block for block in blocks if "class MyHarness" in block)
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "backend.py").write_text(
        "from conformance.harness import Options\n"
        "from reference.backend import BareReference\n"
        "class MyBackend(BareReference):\n"
        "    known = {1: 'First', 2: 'Second'}\n"
        "    def __init__(self, timeout):\n"
        "        super().__init__(Options(timeout_seconds=timeout))\n"
        "    def remove_everything(self):\n"
        "        self.machine.containers.clear()\n",
        encoding="utf-8",
    )
    (package / "harness.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    result = check("my_package.harness:MyHarness")

    assert result.exit_code == 0, result.output


# The least there can be


class LeastWorld(World):
    challenges = CHALLENGES

    def __init__(self) -> None:
        self.backend: ReferenceBackend = ReferenceBackend(Options())


class Least(Harness):
    kind = "a harness of two lines"

    def __init__(self) -> None:
        self.made: list[LeastWorld] = []

    def world(self, options: Options) -> World:
        self.made.append(LeastWorld())
        return self.made[-1]


def test_the_least_harness_gets_a_verdict_and_leaves_nothing_running() -> None:
    harness = Least()

    report = check_subjects([Subject("least", harness)], CheckRequest())

    assert report.verdict is Verdict.PASSED, report.reasons
    assert not [
        container for world in harness.made for container in world.backend.machine.containers
    ]


# What is refused before the first scenario


def check(target: str) -> Result:
    return CliRunner().invoke(main, ["check", "--backend", f"x={target}"])


class _NoFetch(ReferenceWorld):
    fetch = World.fetch


class _NoFaults(ReferenceWorld):
    faults = frozenset()


class _OneAccountTwice(ReferenceWorld):
    players = (Player(1, 5), Player(2, 5), Player(3))


class _TwoPlayers(ReferenceWorld):
    players = (Player(1), Player(2))


class _MixedMates(ReferenceWorld):
    mates = (Player(11, 5), Player(21, 6), Player(12, 5), Player(22, 6))


class _KnownUnknown(ReferenceWorld):
    challenges: Challenges = replace(CHALLENGES, unknown=CHALLENGES.first)


@pytest.mark.parametrize(
    ("world", "said"),
    [
        (_NoFetch, "it declares Hook.FETCH, but _NoFetch does not override World.fetch"),
        (_NoFaults, "it declares Hook.FAULTS, but _NoFaults.faults is empty"),
        (_OneAccountTwice, "_OneAccountTwice.players must be three or more users"),
        (_TwoPlayers, "_TwoPlayers.players must be three or more users"),
        (_MixedMates, "_MixedMates.mates must be empty, or two users of one team"),
        (_KnownUnknown, "_KnownUnknown.challenges: first, second and unknown must be three"),
    ],
)
def test_a_world_that_lacks_what_it_promises_ends_the_run_at_once(
    world: type[ReferenceWorld], said: str
) -> None:
    class Promising(ReferenceHarness):
        def world(self, options: Options) -> World:
            return world(self.backend(options))

    report = check_subjects([Subject("x", Promising())], CheckRequest())

    assert report.exit_code == 3
    assert not report.results
    assert said in report.reasons[0]


# whale-ready harness check


def harness_check(target: str) -> Result:
    arguments = ["harness", "check", "--backend", f"x={target}"]
    return CliRunner(env={"COLUMNS": "200"}).invoke(main, arguments)


def test_the_self_check_counts_what_a_run_executes() -> None:
    harness = Least()
    found = self_check(Subject("least", harness))
    report = check_subjects([Subject("least", Least())], CheckRequest())

    executed = [result.rule for result in report.results if result.status.value == "pass"]
    assert list(found.run) == executed


def test_the_self_check_shows_hooks_and_what_each_costs() -> None:
    result = harness_check("reference.world:bare")

    assert result.exit_code == 0, result.output
    line = next(line for line in result.output.splitlines() if " STUBBORN " in line)
    assert "no" in line
    assert "EXPIRY-012, EXPIRY-013" in line


def test_the_self_check_tells_of_a_method_without_its_hook() -> None:
    result = harness_check("reference.faulty:Forgotten")

    assert result.exit_code == 0, result.output
    assert "Hook.FETCH is not declared, but the world overrides its method" in result.output


def test_the_self_check_of_a_hook_that_is_not_there_is_3() -> None:
    result = harness_check("reference.faulty:NotThere")

    assert result.exit_code == 3
    assert "declared, not there" in result.output
    assert "does not override World.fetch" in result.output


def test_the_self_check_of_a_harness_that_cannot_be_opened_is_3() -> None:
    result = harness_check("reference.faulty:NoServer")

    assert result.exit_code == 3
    assert "no server answers on port 9" in result.output


@pytest.mark.parametrize(
    "name", ["cre:memory", "whale:fake", "whale:fake:teams", "hybrid", "hybrid:cre", "hybrid:whale"]
)
def test_built_in_harnesses_have_what_they_declare(name: str) -> None:
    """A run of one that had not would end before its first scenario."""
    assert self_check(resolve(name)).problems == ()
