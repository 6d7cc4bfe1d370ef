"""The GitHub Action: its steps run by bash, as a runner would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: dict[str, dict[str, Any]] = {step["id"]: step for step in ACTION["runs"]["steps"]}


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    summary: str
    outputs: str
    folder: Path

    @property
    def commands(self) -> list[str]:
        return [line for line in self.out.splitlines() if line.startswith("::")]


def act(folder: Path, step: str = "check", **inputs: str) -> Done:
    """Run a step with these inputs, in an empty folder."""
    given = {name: each["default"] for name, each in ACTION["inputs"].items()} | inputs

    def filled(text: str) -> str:
        text = text.replace("${{ toJSON(inputs) }}", json.dumps(given))
        return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: given[found[1]], text)

    summary, outputs = folder / "summary", folder / "outputs"
    environment = {name: filled(value) for name, value in STEPS[step]["env"].items()}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", STEPS[step]["run"]],
        cwd=folder,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}",
            "GITHUB_STEP_SUMMARY": str(summary),
            "GITHUB_OUTPUT": str(outputs),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return Done(
        done.returncode,
        done.stdout + done.stderr,
        summary.read_text(encoding="utf-8") if summary.exists() else "",
        outputs.read_text(encoding="utf-8") if outputs.exists() else "",
        folder,
    )


def test_a_good_backend_passes_and_is_summed_up(tmp_path: Path) -> None:
    done = act(tmp_path, backends="x=reference.world:harness\n", report="out")

    assert done.code == 0, done.out
    assert done.summary.startswith("# x (simulated): whale-ready ")
    assert "| group | x (simulated) |" in done.summary
    assert done.outputs == "exit-code=0\n"
    assert not [line for line in done.commands if line.startswith(("::error", "::warning"))]
    assert (tmp_path / "out" / "report.json").exists()


def test_a_broken_backend_fails_with_an_annotation(tmp_path: Path) -> None:
    done = act(
        tmp_path,
        backends="x=reference.breakages_harnesses:forgetful_stop",
        arguments="--select\nSTOP-00*\n",
    )

    assert done.code == 1, done.out
    assert "### STOP-002" in done.summary
    assert done.outputs == "exit-code=1\n"
    (error,) = [line for line in done.commands if line.startswith("::error title=FAIL")]
    assert error.startswith(
        "::error title=FAIL STOP-002 on x::A stop removes the container.%0A"
        "the container still runs after the stop"
    )


def test_nothing_a_backend_says_is_a_command(tmp_path: Path) -> None:
    done = act(
        tmp_path,
        backends="x=reference.breakages_harnesses:commanding",
        arguments="--select=START-007",
    )

    lines = done.out.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("::stop-commands::"))
    end = lines.index(f"::{lines[begin].removeprefix('::stop-commands::')}::")
    said = [i for i, line in enumerate(lines) if line.strip().startswith("::set-env")]
    assert done.code == 1, done.out
    assert said, "the log shows what the backend said"
    assert all(begin < i < end for i in said)
    assert any("%0A  ::set-env" in line for line in lines[end:]), "so does the annotation"


def test_a_run_that_could_not_be_says_so(tmp_path: Path) -> None:
    done = act(tmp_path, backends="docker")

    assert done.code == 3
    assert done.outputs == "exit-code=3\n"
    assert "could not run: exit code 3" in done.summary
    assert any(
        line.startswith("::error title=whale-ready::could not run") for line in done.commands
    )


def test_an_input_is_never_a_command(tmp_path: Path) -> None:
    harm = '$(touch harmed)"; touch harmed; `touch harmed`'
    done = act(tmp_path, **dict.fromkeys(ACTION["inputs"], harm))

    assert done.code == 3, done.out
    assert not list(tmp_path.rglob("harmed"))


def test_no_step_has_an_input_in_its_script() -> None:
    for name, step in STEPS.items():
        assert "${{" not in step.get("run", ""), name


def test_the_report_is_uploaded_whatever_happened() -> None:
    upload = STEPS["upload"]

    assert re.fullmatch(r"actions/upload-artifact@v\d+", upload["uses"])
    assert upload["if"].startswith("always()")
    assert upload["with"]["path"] == "${{ inputs.report }}"


def test_every_input_is_used_and_explained() -> None:
    used = set(re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text(encoding="utf-8")))

    assert used == set(ACTION["inputs"])
    assert all(each["description"] for each in ACTION["inputs"].values())


# What others write.


@pytest.mark.parametrize("name", ["backend", "Backend", "waiver", "with space", "a%0A::error::b"])
def test_an_input_that_is_not_known_is_refused_before_anything_runs(
    tmp_path: Path, name: str
) -> None:
    done = act(tmp_path, "known", **{name: "local-process"})

    assert next(iter(STEPS)) == "known", "nothing comes before it"
    assert done.code == 3, done.out
    assert done.outputs == "exit-code=3\n"
    (error,) = done.commands
    shown = name.replace("%", "%25")
    assert error.startswith(
        f'::error title=whale-ready::could not run: there is no input "{shown}"; the inputs are '
    )
    assert "the inputs are backends, profile" in done.summary


def test_the_inputs_there_are_are_let_in(tmp_path: Path) -> None:
    done = act(tmp_path, "known")

    assert (done.code, done.out, done.summary) == (0, "", "")
    for name in ACTION["inputs"]:
        assert act(tmp_path, "known", **{name.upper(): "x"}).code == 0, "GitHub ignores case"


def test_a_run_of_the_defaults_says_so(tmp_path: Path) -> None:
    done = act(tmp_path, arguments="--dry-run", backends="  \n")

    assert "::notice title=whale-ready::no backends are named: the defaults are checked" in (
        done.commands
    )


def snippets() -> Iterator[tuple[str, Any]]:
    """Every YAML of the project: files, and blocks of its documents."""
    skipped = {".venv", ".git", ".tox", "node_modules"}
    for path in sorted(ROOT.rglob("*")):
        where = path.relative_to(ROOT)
        if skipped.intersection(where.parts) or not path.is_file():
            continue
        if path.suffix in (".yml", ".yaml"):
            yield str(where), yaml.safe_load(path.read_text(encoding="utf-8"))
        elif path.suffix == ".md":
            blocks = re.findall(r"```ya?ml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
            yield from ((str(where), yaml.safe_load(block)) for block in blocks)


def steps_with_the_action(content: Any) -> Iterator[dict[str, Any]]:
    if isinstance(content, dict):
        uses = content.get("uses")
        if isinstance(uses, str) and (uses == "./" or "/whale-ready@" in uses):
            yield content
        content = list(content.values())
    if isinstance(content, list):
        for each in content:
            yield from steps_with_the_action(each)


def test_every_workflow_that_uses_the_action_gives_it_inputs_that_it_has() -> None:
    used = [(where, step) for where, all_of_it in snippets() for step in
            steps_with_the_action(all_of_it)]  # fmt: skip

    assert {where for where, _ in used} >= {
        "docs/gating.md",
        "examples/whale-ready-backend-example/.github/workflows/contract.yml",
    }
    for where, step in used:
        unknown = set(step.get("with", {})) - set(ACTION["inputs"])
        assert not unknown, f"{where}: the action has no input {', '.join(unknown)}"
