"""``whale-ready bench`` on a Whale at an address, as a site has one: a fake with a real clock."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from click.testing import CliRunner

from benchmarks.samples import DROPPED, read_samples
from fake_whale import FakeWhale, InstanceOptions, User, WhaleChallenge, WhaleWorld
from whale_ready.cli import main
from whale_ready.readiness.evidence_files import read_bench

PLAYERS = (11, 12, 13)
TOKENS = {user: f"tok-of-{user}-kept-to-itself" for user in PLAYERS}
WHALE = WhaleWorld(
    users=[User(user, f"user{user}", token=token) for user, token in TOKENS.items()],
    challenges=[WhaleChallenge(1, "First"), WhaleChallenge(2, "Second")],
    config={"docker_max_container_count": "100"},
)


def world_file(folder: Path) -> Path:
    players = [f'[[players]]\nuser_id = {u}\ntoken = "{token}"\n' for u, token in TOKENS.items()]
    challenges = "[challenges]\nfirst = 1\nsecond = 2\nunknown = 99999\n"
    path = folder / "world.toml"
    path.write_text("".join(players) + challenges + "[whale]\nprobe = false\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def test_a_live_whale_is_measured_with_the_players_it_has(tmp_path: Path) -> None:
    with FakeWhale(WHALE, instances=InstanceOptions(ready_delay=0)) as fake, fake.serve() as server:
        done = CliRunner().invoke(
            main,
            ["bench", "--backend", "cre:memory", "--backend", f"whale={server.url}",
             "--whale-world", str(world_file(tmp_path)), "--duration", "2", "--turns", "4",
             "--concurrency", "2", "--report", str(tmp_path)],
        )  # fmt: skip
        left = fake.state()["services"]
    assert done.exit_code in (0, 1, 2), done.output
    # three players and two workers: every start finds an account, on both sides
    codes = Counter((e.backend, e.code) for e in read_samples(tmp_path / "samples.jsonl"))
    assert codes["whale", "ok"] >= 10
    assert not [code for code in codes if code[1] == DROPPED]
    # what is read back says which Whale it was, and takes it for a real one
    found = read_bench(tmp_path / "bench.json")
    assert found.backends[1].versions["url"] == server.url
    assert not any("no real containers" in e for e in found.notes if e.startswith("whale:"))
    assert left == []
    written = "".join(e.read_text() for e in tmp_path.iterdir() if e.suffix != ".toml")
    assert json.loads((tmp_path / "bench.json").read_text())["notes"]
    assert [token for token in TOKENS.values() if token in written + done.output] == []


def test_a_live_whale_needs_its_world_file() -> None:
    pair = ("--backend", "cre:memory", "--backend", "whale=https://whale.example.org")
    done = CliRunner().invoke(main, ["bench", *pair])
    assert done.exit_code == 3
    assert "--whale-world FILE" in done.output
