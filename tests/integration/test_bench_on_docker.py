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
    roles = {backend["name"]: backend["role"] for backend in data["backends"]}
    assert roles == {"cre": "A", "whale:fake:docker": "B", "raw docker": "baseline"}
    assert not any(backend["simulated"] for backend in data["backends"])
    # each has starts that answered, and addresses that did
    for call in ("start", "ready"):
        assert {each["backend"] for each in data["cells"] if each["call"] == call} == set(roles)
    # of so few calls no quantile is told, and nothing is decided
    told = [found for cell in data["cells"] for found in cell["quantiles"].values()]
    assert all("n_too_small" in found for found in told)
    assert {ratio["decision"] for ratio in data["ratios"] if ratio["margin"]} <= {"inconclusive"}
    # a block ends at the most visits it may have
    samples = read_samples(tmp_path / "samples.jsonl")
    blocks = {(sample.backend, sample.block) for sample in samples}
    assert len(blocks) == 6
    for name, block in blocks:
        assert sum((sample.backend, sample.block) == (name, block) for sample in samples) <= 5
    # and Docker tells what an instance of each costs
    assert {resource["backend"] for resource in data["resources"]} == set(roles)
    for resource in data["resources"]:
        assert resource["instances"] == 3, resource
        assert resource["memory_mib"] > 0
        assert resource["cpu_seconds"] > 0
