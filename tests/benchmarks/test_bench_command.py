"""``whale-ready bench`` and ``bench compare``, run as users run them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from benchmarks.bench_file import bench_schema
from benchmarks.decisions import MarginDecision, MarginError, judged, level_for, margin_of, together
from benchmarks.samples import RunPart, read_samples
from benchmarks.statistics import LEVEL, MINIMUM_TURNS, Interval
from whale_ready.cli import main

PAIR = ("--backend", "cre:memory", "--backend", "whale:fake")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "whale_ready", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def compared(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code and the last line of a comparison, in this process."""
    with pytest.raises(SystemExit) as ended:
        main.main(["bench", "compare", *arguments])
    return int(ended.value.code or 0), capsys.readouterr().out.splitlines()[-1]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """A short run of two simulated systems."""
    folder = tmp_path_factory.mktemp("bench") / "out"
    done = bench(*PAIR, "--duration", "6", "--turns", "6", "--concurrency", "2", "--rate", "60",
                 "--margin", "status.p50=1.2", "--margin", "errors=0.5",
                 "--report", str(folder))  # fmt: skip
    assert done.returncode in (0, 1, 2), done.stderr
    data = json.loads((folder / "bench.json").read_text())
    assert done.returncode == data["exit_code"]
    return folder, data, done.stdout


def test_a_run_writes_samples_figures_and_a_page(
    report: tuple[Path, dict[str, Any], str],
) -> None:
    folder, data, shown = report
    jsonschema.Draft202012Validator(bench_schema()).validate(data)
    samples = read_samples(folder / "samples.jsonl")
    assert {sample.backend for sample in samples} == {"cre:memory", "whale:fake"}
    assert {sample.part for sample in samples} == {RunPart.MAIN}
    assert {sample.block for sample in samples} <= set(range(6))
    # every cell is made of the samples that are there, with intervals or the number it lacks
    for cell in data["cells"]:
        call = "start" if cell["call"] == "ready" else cell["call"]
        mine = [e for e in samples if (e.backend, e.call) == (cell["backend"], call)]
        assert cell["n"] + cell["failed"]["count"] - cell["dropped"] == len(mine)
        for found in cell["quantiles"].values():
            if "n_too_small" in found:
                assert cell["n"] < found["n_too_small"]
            elif None not in found.values():
                assert found["low"] <= found["value"] <= found["high"]
    calls = list(dict.fromkeys(cell["call"] for cell in data["cells"]))
    assert calls == ["start", "ready", "status", "extend", "stop"]
    assert [backend["role"] for backend in data["backends"]] == ["A", "B"]
    assert data["margins"] == ["status.p50=1.2", "errors=0.5"]
    assert data["loop"].startswith("open loop, 60 a second")
    assert data["environment"]["processors"] == os.cpu_count()
    assert data["verdict"].upper() in shown
    page = (folder / "bench.md").read_text()
    assert page.startswith(f"# whale:fake against cre:memory: {data['verdict']}")
    assert "no real containers" in page


def test_nothing_of_a_flag_token_or_machine_is_written(
    report: tuple[Path, dict[str, Any], str],
) -> None:
    folder, _, shown = report
    written = "".join(path.read_text() for path in folder.iterdir()) + shown
    assert not re.search(r"flag\{|ctfd_[0-9a-f]{16}", written)
    assert os.uname().nodename not in written


def test_a_run_compared_with_itself_is_no_worse(
    report: tuple[Path, dict[str, Any], str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(report[0])
    found = compared(capsys, folder, folder, "--margin", "status.errors=0.9")
    assert found == (0, "PASS")


def test_a_run_that_got_much_slower_is_told(
    report: tuple[Path, dict[str, Any], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # given the run's calls, each as long as the one before or up to a tenth longer, and the same
    # thirty times as long: what this machine was busy with meanwhile is no part of it
    folder, _, _ = report
    lines = (folder / "samples.jsonl").read_text().splitlines()
    for name, times in (("usual", 1), ("slow", 30)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "bench.json").write_text((folder / "bench.json").read_text())
        rows = []
        for number, line in enumerate(lines):
            row = json.loads(line)
            if row["answered"] is not None:  # not dropped
                row["answered"] = row["intended"] + times * (0.01 + 0.0001 * (number % 11))
            rows.append(json.dumps(row))
        (tmp_path / name / "samples.jsonl").write_text("\n".join(rows))
    usual, slow = str(tmp_path / "usual"), str(tmp_path / "slow")
    margin = ("--margin", "status.p50=1.2")
    assert compared(capsys, usual, slow, *margin) == (1, "FAIL")
    # and the other way round it passes
    assert compared(capsys, slow, usual, *margin) == (0, "PASS")


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    # given a run of a minute
    command = [sys.executable, "-u", "-m", "whale_ready", "bench", *PAIR, "--duration", "60",
               "--turns", "60", "--report", str(tmp_path)]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        # when Ctrl-C is pressed in one of its blocks
        for line in running.stdout:
            if line.startswith("block 8 of"):
                break
        running.send_signal(signal.SIGINT)
        rest = running.stdout.read()
    assert running.returncode == 130
    # then the samples until then are written, and no verdict is a pass
    data = json.loads((tmp_path / "bench.json").read_text())
    jsonschema.Draft202012Validator(bench_schema()).validate(data)
    assert data["interrupted"]
    assert data["verdict"] != "pass"
    assert "INTERRUPTED" in rest
    blocks = {(sample.backend, sample.block) for sample in read_samples(tmp_path / "samples.jsonl")}
    assert len(blocks) >= 5


def test_on_a_terminal_a_bar_shows_how_far_it_is() -> None:
    command = [sys.executable, "-m", "whale_ready", "bench", *PAIR, "--duration", "60",
               "--turns", "60"]  # fmt: skip
    ours, terminal = os.openpty()
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal) as running:
        os.close(terminal)
        shown = read_until(ours, rb"whale:fake \S* *3/\d+")
        running.send_signal(signal.SIGINT)
        shown += read_until(ours, None)
    os.close(ours)
    assert running.returncode == 130
    assert "block 3 of" not in shown
    assert "INTERRUPTED" in shown


def read_until(terminal: int, pattern: bytes | None) -> str:
    """What a terminal shows, without its control sequences; None: until the program has ended."""
    shown = b""
    while pattern is None or not re.search(pattern, shown):
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # Linux's word for the end of a terminal
            assert pattern is None, shown
            break
        shown = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown)
    return shown.decode()


def test_without_docker_the_usual_two_are_simulated_and_it_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given an engine that nobody reaches: port 9 of loopback has no listener
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    done = bench("--duration", "0.5", "--turns", "1", "--concurrency", "1")
    assert done.returncode == 2, done.stderr
    assert "cre cannot run here, cre:memory stands in for it" in done.stdout
    assert "whale:fake over cre:memory" in done.stdout
    assert "raw docker" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--backend", "cre:memory"), "name two"),
        (("--backend", "nowhere", "--backend", "cre:memory"), "there is no such backend"),
        ((*PAIR, "--margin", "p97=2"), "write p95=1.2"),
        ((*PAIR, "--margin", "p95=0.9"), "write 1 or more"),
        ((*PAIR, "--margin", "errors=5"), "a rate of errors is below 1"),
        ((*PAIR, "--scenario", "party"), "party"),
        ((*PAIR, "--duration", "0"), "duration"),
        (("compare", "nowhere", "nowhere"), "name a folder that whale-ready bench --report"),
    ],
)
def test_what_cannot_be_run_ends_with_three_and_says_why(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["bench", *arguments])
    assert ended.value.code == 3
    assert said in capsys.readouterr().err


def test_margins_are_read_as_they_are_written() -> None:
    for text in ("p95=1.2", "start.p95=1.5", "errors=0.05", "ready.p50=1"):
        assert str(margin_of(text)) == text
    with pytest.raises(MarginError):
        margin_of("p95=")


@pytest.mark.parametrize(
    ("low", "high", "decision"),
    [
        (0.9, 1.2, MarginDecision.PASS),
        (0.9, 1.21, MarginDecision.INCONCLUSIVE),
        (1.2, 1.3, MarginDecision.INCONCLUSIVE),
        (1.21, 1.3, MarginDecision.FAIL),
    ],
)
def test_a_margin_is_decided_by_both_ends_of_the_interval(
    low: float, high: float, decision: MarginDecision
) -> None:
    agreed = margin_of("p95=1.2")
    found = Interval(1.1, low, high)
    assert judged(agreed, found, MINIMUM_TURNS).decision is decision
    assert judged(agreed, found, MINIMUM_TURNS - 1).decision is MarginDecision.INCONCLUSIVE
    assert judged(agreed, None, MINIMUM_TURNS).decision is MarginDecision.INCONCLUSIVE


def test_one_fail_fails_and_of_nothing_nothing_is_said() -> None:
    passed, failed, unsure = MarginDecision.PASS, MarginDecision.FAIL, MarginDecision.INCONCLUSIVE
    assert together([passed, MarginDecision.NOTHING]) is passed
    assert together([passed, unsure]) is unsure
    assert together([passed, unsure, failed]) is failed
    assert together([]) is unsure
    assert [each.exit_code for each in (passed, failed, unsure)] == [0, 1, 2]


def test_many_decisions_are_right_together() -> None:
    assert level_for(1) == pytest.approx(LEVEL)
    assert level_for(10) == pytest.approx(0.995)
