"""The command line, as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from fake_whale import WhaleWorld
from fake_whale.cli import main
from fake_whale.testing import WhalePlayer, said, tokens

WORLD = Path(__file__).parent / "data" / "whale-world.json"


@contextmanager
def serving(*options: str) -> Iterator[dict[str, object]]:
    """``fake-whale serve`` with these options; its first line."""
    command = [sys.executable, "-m", "fake_whale", "serve", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0


def test_serve_and_record(world: WhaleWorld, tmp_path: Path) -> None:
    with serving("--world", str(WORLD), "--clock", "virtual", "--seed", "3") as line:
        url = str(line["url"])
        assert (line["clock"], line["control"]) == ("virtual", True)
        assert said(WhalePlayer(url, tokens(world)["alice"]).post()) == (200, "Container created")
        output = tmp_path / "new.jsonl"
        common = ["--world", str(WORLD), "--sessions"]
        made = CliRunner().invoke(
            main, ["record", "--base-url", url, *common, "2", "-o", str(output)]
        )
        assert made.exit_code == 0, made.output
    judged = CliRunner().invoke(main, ["verify", *common, str(output)])
    assert judged.exit_code == 0, judged.output


def test_serve_shows_the_public_url_and_the_demo_world() -> None:
    with serving("--public-url", "http://whale.example", "--no-instances") as line:
        assert line["url"] == "http://whale.example"
        assert line["instances"] is None
        answer = WhalePlayer(str(line["listening"]), "ctfd_demo_alice").get()
        assert answer.json() == {"success": True, "data": {}}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["serve", "--world", "/nonexistent.json"], "No such file"),
        (["verify", "--sessions", "/nonexistent.jsonl", "--world", str(WORLD)], "No such file"),
        (["verify", "--sessions", str(WORLD), "--world", str(WORLD)], "not JSON"),
        (
            ["record", "--base-url", "http://127.0.0.1:9", "--world", str(WORLD)],
            "cannot be reached",
        ),
    ],
)
def test_what_cannot_be_run_exits_3(command: list[str], message: str) -> None:
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 3
    assert message in result.output


def test_recording_with_a_wrong_world_is_refused(tmp_path: Path) -> None:
    """The world file's users are not those of the Whale: a session step says so."""
    with serving("--clock", "virtual") as line:
        world = tmp_path / "world.json"
        users = [
            {"id": number, "name": f"stranger{number}", "password": "x", "token": f"t{number}"}
            for number in (1, 2)
        ]
        world.write_text(json.dumps({"users": users, "challenges": []}), encoding="utf-8")
        result = CliRunner().invoke(
            main, ["record", "--base-url", str(line["url"]), "--world", str(world)]
        )
    assert result.exit_code == 3
    assert "cannot log in" in result.output


def test_healthcheck_of_the_served_fake() -> None:
    with serving("--clock", "real") as line:
        assert requests.get(f"{line['url']}/healthcheck", timeout=10).text == "OK"
