"""Document, list of rules and scenarios say the same."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections import Counter
from pathlib import Path

from support.contract_page import with_rules

import conformance
from conformance import scenarios
from conformance.harness import Hook
from conformance.spec.rules import BY_ID, GROUPS, RULES
from conformance.spec.scenario import Scenario, scenario_of

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "contract.md"
RULE_LINE = re.compile(r"^- \*\*([A-Z]+-\d{3})\*\* (.+)$", re.MULTILINE)


def documented() -> list[tuple[str, str]]:
    return RULE_LINE.findall(DOCUMENT.read_text(encoding="utf-8"))


def all_scenarios() -> dict[str, list[Scenario]]:
    """The scenarios by the module they stand in."""
    found: dict[str, list[Scenario]] = {}
    for info in pkgutil.iter_modules(scenarios.__path__):
        module = importlib.import_module(f"{scenarios.__name__}.{info.name}")
        functions = [member for _, member in inspect.getmembers(module, inspect.isfunction)]
        marked = [each for each in map(scenario_of, functions) if each is not None]
        found[info.name] = marked
    return found


def test_ids_are_unique() -> None:
    doubled = [rule for rule, times in Counter(r.id for r in RULES).items() if times > 1]
    assert not doubled


def test_titles_are_unique_sentences() -> None:
    assert len({rule.title for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.title.endswith("."), rule
        assert rule.title[0].isupper(), rule


def test_the_document_holds_exactly_the_rules() -> None:
    listed = [(rule.id, rule.title) for rule in RULES]
    assert documented() == listed
    assert with_rules(DOCUMENT.read_text(encoding="utf-8")) == DOCUMENT.read_text(encoding="utf-8")


def test_the_document_is_put_right() -> None:
    page = DOCUMENT.read_text(encoding="utf-8")
    first = RULE_LINE.search(page)
    assert first is not None
    lines = page.splitlines()
    lines.remove(first[0])
    last = next(line for line in reversed(lines) if RULE_LINE.match(line))
    lines[lines.index(last)] = last.replace(".", " as it was.")
    lines.insert(lines.index("## Stop (STOP)") + 1, "- **STOP-999** A rule that is no more.")

    assert with_rules("\n".join(lines) + "\n") == page


def test_no_id_stands_in_the_document_that_is_no_rule() -> None:
    cited = set(re.findall(r"\b[A-Z]{4,}-\d{3}\b", DOCUMENT.read_text(encoding="utf-8")))
    assert cited == set(BY_ID)


def test_every_rule_has_exactly_one_scenario() -> None:
    cited = Counter(each.id for marked in all_scenarios().values() for each in marked)
    assert cited == Counter(BY_ID.keys())


def test_a_file_holds_the_scenarios_of_one_group() -> None:
    for module, marked in all_scenarios().items():
        groups = {BY_ID[each.id].group for each in marked}
        assert {group.lower() for group in groups} == {module.removeprefix("test_")}


def test_every_test_function_of_the_scenarios_is_marked() -> None:
    for info in pkgutil.iter_modules(scenarios.__path__):
        module = importlib.import_module(f"{scenarios.__name__}.{info.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("test_"):
                assert scenario_of(function) is not None, f"{info.name}.{name} cites no rule"


def test_rules_cited_in_code_exist() -> None:
    folder = Path(conformance.__file__).parent
    for path in folder.rglob("*.py"):
        for cited in re.findall(r"\"([A-Z]{4,}-\d{3})\"", path.read_text(encoding="utf-8")):
            assert cited in BY_ID, f"{path.name} cites {cited}, which is no rule"


def test_every_hook_is_asked_for_by_a_scenario() -> None:
    asked = {hook for marked in all_scenarios().values() for each in marked for hook in each.hooks}
    assert asked == set(Hook) - {Hook.OPTIONS}, "extension limits use what the backend declares"


def test_there_are_enough_rules_in_every_group() -> None:
    assert len(RULES) >= 60
    assert list(GROUPS) == list(dict.fromkeys(rule.group for rule in RULES))
