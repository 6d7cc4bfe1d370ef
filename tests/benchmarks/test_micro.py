"""``pytest benchmarks/micro``: ratios, saved runs, and subjects that do not do their work."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from support.servers import MariaDB, PostgreSQL

from benchmarks.micro.pairs import Turns, Variant, ratio_of

ROOT = Path(__file__).parents[2]
MICRO = str(ROOT / "benchmarks" / "micro")
FIND = (f"{MICRO}/bench_store.py", "-k", "find and 10-sqlite", "--rounds", "30")
RATIO = re.compile(r"^(bench_\w+\.py::\S+) +\d+\.\d+ +\d+\.\d+ +(\d+\.\d+) ", re.MULTILINE)


def micro(storage: Path, *options: str) -> subprocess.CompletedProcess[str]:
    # Not this run's own: a worker of pytest-xdist does not measure.
    environment = {key: value for key, value in os.environ.items() if "PYTEST" not in key}
    environment |= {"PYTHONPATH": str(ROOT / "tests"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "pytest_benchmark.plugin", "-p", "pytest_timeout",
         "--benchmark-only", f"--benchmark-storage={storage}", *options],
        cwd=storage,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )  # fmt: skip


def saved(storage: Path) -> dict[str, Any]:
    """The one saved run."""
    (path,) = storage.glob("*/*.json")
    run: dict[str, Any] = json.loads(path.read_text())
    return run


def test_every_module_gives_ratios_and_a_saved_run_holds_them(
    docker_engine: str, tmp_path: Path
) -> None:
    done = micro(tmp_path, MICRO, "--rounds", "1", "-k", "not 000", "--benchmark-save=first")
    assert done.returncode == 0, done.stdout + done.stderr
    shown = dict(RATIO.findall(done.stdout))
    modules = {name.partition("::")[0] for name in shown}
    assert modules == {f"bench_{each}.py" for each in ("adapter", "cre", "fake", "store")}
    assert all(float(ratio) > 0 for ratio in shown.values())
    assert "n too small" in done.stdout
    # what is on the screen is what is saved, under the same names
    run = saved(tmp_path)
    kept = {
        benchmark["fullname"].rpartition("/")[2]: benchmark["extra_info"]
        for benchmark in run["benchmarks"]
    }
    assert {name: f"{each['ratio']:.3f}" for name, each in kept.items()} == shown
    assert kept["bench_adapter.py::test_stop"]["requests"] == "1×DELETE 1×GET"
    assert {each["n"] for each in kept.values()} == {1}
    # what was left out says what would run it, and nothing names the machine
    assert "PYTHONPATH=tests python -m support.servers" in done.stdout
    assert "node" not in run["machine_info"]


def test_a_saved_run_is_compared_by_ratio(tmp_path: Path) -> None:
    # given a saved run, of another machine, whose ratio was another
    assert micro(tmp_path, *FIND, "--benchmark-save=before").returncode == 0
    run = saved(tmp_path)
    run["machine_info"]["release"] = "another"
    run["benchmarks"][0]["extra_info"].update(ratio=50.0, low=40.0, high=60.0)
    (path,) = tmp_path.glob("*/*.json")
    path.write_text(json.dumps(run))
    done = micro(tmp_path, *FIND, "--benchmark-compare=0001")
    # then the ratios stand side by side, and so do pytest-benchmark's own times
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"test_find\[10-sqlite\] .* 30 +50\.000 +differs", done.stdout)
    assert "(NOW)" in done.stdout


def test_a_subject_that_does_not_do_its_work_fails_and_has_no_ratio(
    docker_engine: str, tmp_path: Path
) -> None:
    chosen = "(extend or find) and 10-sqlite or throughput or status or bench_adapter and start"
    done = micro(tmp_path, MICRO, "-p", "support.broken_subjects", "--rounds", "1", "-k", chosen,
                 "--benchmark-save=broken")  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    # of six, one is not broken
    assert set(dict(RATIO.findall(done.stdout))) == {"bench_store.py::test_find[10-sqlite]"}
    assert len(saved(tmp_path)["benchmarks"]) == 1
    assert len(re.findall("^FAILED", done.stdout, re.MULTILINE)) == 5


def test_the_store_is_measured_on_servers_whose_passwords_are_told_nowhere(
    mariadb: MariaDB, postgresql: PostgreSQL, tmp_path: Path
) -> None:
    # given a server that lets anybody in, whatever the password
    trusting = sa.engine.make_url(postgresql.create()).set(password="secret-of-the-server")
    url = trusting.render_as_string(hide_password=False)
    chosen = (f"{MICRO}/bench_store.py", "-k", "find and (10-m or 10-p)", "--rounds", "2")
    given = ("--database", mariadb.create(), "--database", url)
    done = micro(tmp_path, *chosen, *given, "--benchmark-save=one")
    assert done.returncode == 0, done.stdout + done.stderr
    kinds = {name.rpartition("-")[2] for name in dict(RATIO.findall(done.stdout))}
    assert kinds == {"mariadb]", "postgresql]"}
    # and the database is empty again
    engine = sa.create_engine(trusting)
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()
    # one that cannot be used is a failure
    wrong = url.replace(str(trusting.database), "nowhere")
    failed = micro(tmp_path, *chosen, "--database", wrong)
    assert failed.returncode == 1, failed.stdout
    assert "it must exist" in failed.stdout
    written = done.stdout + failed.stdout + json.dumps(saved(tmp_path))
    assert "secret-of-the-server" not in written


@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 5])
def test_calls_are_timed_in_turns_and_what_surrounds_them_is_not(rounds: int) -> None:
    done: list[str] = []

    def way(name: str) -> Variant:
        return Variant(
            *(partial(done.append, f"{step}{name}") for step in ("", "before ", "after "))
        )

    turns = Turns(way("A"), way("B"))
    for _ in range(rounds):
        turns.between()
        done.append("A")
    turns.end()
    # as pytest-benchmark has it: B A, A B, B A …
    calls = "".join(each for each in done if len(each) == 1)
    assert calls == ("BAAB" * rounds)[: 2 * rounds]
    assert len(turns.baseline_seconds) == rounds
    for number in range(0, len(done), 3):
        name = done[number + 1]
        assert done[number : number + 3] == [f"before {name}", name, f"after {name}"]


def test_a_ratio_differs_when_its_interval_lies_beside_the_other() -> None:
    found = ratio_of([2.0 + n % 3 / 10 for n in range(60)], [1.0] * 60)
    assert found.ratio == pytest.approx(2.1)
    assert found.low is not None
    assert found.high is not None
    assert 1.9 < found.low <= found.ratio <= found.high < 2.3
    assert found.differs({"ratio": 1.0, "low": 0.9, "high": 1.1})
    assert not found.differs({"ratio": 1.0, "low": 0.9, "high": found.low})
    assert not found.differs({"ratio": 1.0, "low": None, "high": None})
    assert ratio_of([1.0] * 29, [1.0] * 29).low is None
