"""``whale-ready bench`` as it is run most often: CRE, a fake Whale and raw Docker on one engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.samples import read_samples


def test_the_usual_pair_is_measured_on_docker_with_the_baseline_and_costs(
    docker_engine: str, tmp_path: Path
) -> None:
    # given no --backend; it ends with 3 when something is left behind
    command = [sys.executable, "-m", "whale_ready", "bench", "--rate", "6", "--duration", "6",
               "--turns", "2", "--concurrency", "2", "--visits", "5",
               "--report", str(tmp_path)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    data = json.loads((tmp_path / "bench.json").read_text())
    roles = {each["name"]: each["role"] for each in data["backends"]}
    assert roles == {"cre": "A", "whale:fake:docker": "B", "raw docker": "baseline"}
    assert not any(each["simulated"] for each in data["backends"])
    # each has starts that answered, and addresses that did
    for call in ("start", "ready"):
        assert {each["backend"] for each in data["cells"] if each["call"] == call} == set(roles)
    # of so few calls no quantile is told, and nothing is decided
    told = [found for cell in data["cells"] for found in cell["quantiles"].values()]
    assert all("n_too_small" in found for found in told)
    assert {each["decision"] for each in data["ratios"] if each["margin"]} <= {"inconclusive"}
    # a block ends at the most visits it may have
    samples = read_samples(tmp_path / "samples.jsonl")
    blocks = {(each.backend, each.block) for each in samples}
    assert len(blocks) == 6
    for name, block in blocks:
        assert sum((each.backend, each.block) == (name, block) for each in samples) <= 5
    # and Docker tells what an instance of each costs
    assert {each["backend"] for each in data["resources"]} == set(roles)
    for each in data["resources"]:
        assert each["instances"] == 3, each
        assert each["memory_mib"] > 0
        assert each["cpu_seconds"] > 0
