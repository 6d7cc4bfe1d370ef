"""The command that makes random mutants: what it changes, and whether a rule's failure is seen."""

from __future__ import annotations

import ast
import json
import logging
import os
import signal
import subprocess
import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path

import pytest
from support.cluster import eventually

from conformance.registry.backends import Subject
from conformance.run.runner import CheckRequest, planned_scenarios
from engines.cre import ContainerRuntimeEngine
from mutants import random
from mutants.sampling import places

ENGINE = "engines/cre/engine.py"


def test_every_change_is_python_and_changes_something() -> None:
    found = places("engines/breaker.py")

    assert len(found) > 20
    for each in found:
        before, after = ast.parse(each.source()), ast.parse(each.changed())
        assert ast.dump(before) != ast.dump(after), each.diff()


def test_changes_have_ids_of_their_own() -> None:
    repeated = [name for name, times in Counter(p.id for p in places(ENGINE)).items() if times > 1]

    assert not repeated


def test_a_change_of_the_program_leaves_the_rest_of_the_sample() -> None:
    found = places(ENGINE)
    sample = random.sampled(found, 20, seed=1)
    gone = sample[3]

    again = random.sampled([each for each in found if each != gone], 20, seed=1)

    assert again[:-1] == [each for each in sample if each != gone]
    assert random.sampled(found, 20, seed=2) != sample


def test_what_is_known_to_change_nothing_is_there() -> None:
    listed = json.loads(random.EQUIVALENT.read_text(encoding="utf-8"))
    paths = {entry["path"] for entry in listed.values()}
    known = {place.id for path in paths for place in places(path)}

    assert set(listed) <= known, "the function has changed: look at the mutant again"
    assert all(of["reason"].strip() for of in listed.values())


@pytest.mark.parametrize(
    ("rule", "killed"), [("EXTEND-007", True), ("START-001", False)], ids=["killed", "survives"]
)
def test_a_rule_that_fails_is_told(
    rule: str, killed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    more = "(row.extension_count > maximum)"
    place = next(each for each in places(ENGINE) if each.instead == more)
    target = random.TARGETS["engines/cre"]
    planned_scenarios(Subject("cre:memory", target.backends["cre:memory"]()), CheckRequest())
    calls = {"cre:memory": {rule: [f"{ENGINE}:{place.function}"]}}
    before = ContainerRuntimeEngine._extend.__code__

    said = random._forked(lambda: random._tried(place, target, calls)).wait()

    assert said == (f"{rule} on cre:memory" if killed else "")
    assert ContainerRuntimeEngine._extend.__code__ is before, "the mutant has left its fork"


@pytest.mark.parametrize(("least", "said"), [(1, "test_it.py::test_least"), (2, "")])
def test_what_outlives_the_suite_is_tried_on_the_tests_that_call_it(
    tmp_path: Path, least: int, said: str
) -> None:
    path = "engines/web/answers.py"
    place = next(each for each in places(path) if "max(2, " in each.diff())
    tests = (
        "from engines.contract import Code",
        "from engines.web import answers",
        "def test_another(): pass",
        f"def test_least(): assert answers._wait(Code.BUSY, {least}.0) == {least}",
    )
    file = tmp_path / "test_it.py"
    file.write_text("\n".join(tests))
    calls = {random.TESTS: {f"{file}::test_least": [f"{path}:{place.function}"]}}
    target = random.Target({}, (f"{file}::test_another",))

    tried = random._forked(lambda: random._unit_tested(place, target, calls)).wait()

    assert tried.endswith(said)
    assert bool(tried) is bool(said)


@pytest.mark.parametrize(("times", "said"), [(1, ""), (2, "test_it.py::test_it")])
def test_a_failure_by_chance_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int, said: str
) -> None:
    monkeypatch.setattr(random, "ROOT", tmp_path)
    file, failures = tmp_path / "test_it.py", tmp_path / "failures"
    file.write_text(
        f"from pathlib import Path\nseen = Path({str(failures)!r})\n"
        "def test_it():\n"
        "    before = seen.read_text() if seen.exists() else ''\n"
        "    seen.write_text(before + '.')\n"
        f"    assert len(before) >= {times}\n"
    )

    assert random._forked(lambda: random._failing_twice((file.name,))).wait() == said
    assert len(failures.read_text()) == 2


def test_where_there_is_no_test_none_fails() -> None:
    one = "tests/mutants/test_random.py::test_changes_have_ids_of_their_own"
    assert random._forked(lambda: random._own_tests((one, f"--deselect={one}"))).wait() == ""


@pytest.mark.parametrize(
    ("by_tests", "fate"), [(False, random.Fate.KILLED), (True, random.Fate.SURVIVED)]
)
def test_tests_that_take_too_long_decide_nothing(by_tests: bool, fate: random.Fate) -> None:
    place = places(ENGINE)[0]
    options = Namespace(no_tests=False)
    found = random._result(place, random.TIME_OUT, by_tests, 0.0, options)
    assert found["fate"] == fate.value


def test_a_fork_that_takes_too_long_is_ended() -> None:
    def work() -> str:
        while True:
            pass

    assert random._forked(work, seconds=0.0).wait() == random.TIME_OUT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_what_it_has_started(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-u", "-m", "mutants.random", "--module", "engines/cre"]
    with subprocess.Popen(
        [*command, "--state", str(tmp_path / "state.jsonl")],
        env={**os.environ, "PYTHONPATH": str(random.ROOT / "tests"), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
        eventually(lambda: bool(children.read_text().split()), "the rules are traced")
        (fork,) = children.read_text().split()
        run.send_signal(number)
        _, said = run.communicate(timeout=60)

    assert run.returncode == 130
    assert said.endswith("interrupted; the same command goes on from here\n")
    assert not Path(f"/proc/{fork}").exists()
