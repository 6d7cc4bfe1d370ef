"""``whale-ready preflight`` as it is typed: output, file, exit codes, and no secret in either."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result
from preflight.stage import (
    ALICE,
    EVERY_ID,
    TOKENS,
    Setup,
    Stage,
    staged,
    validate,
)
from support.loopback import free_port

from whale_ready.cli import main
from whale_ready.exit_codes import PREFLIGHT_EXIT_CODES, for_help
from whale_ready.preflight.checks import CHECKS, run
from whale_ready.preflight.items import Item, ItemState
from whale_ready.preflight.report import Preflight, preflight_schema
from whale_ready.preflight.site import OUR_DATABASE, WHALES_DATABASE

DOC = Path(__file__).parents[2] / "docs" / "preflight.md"
PASSWORD = "hunter2-hunter2"


def environment(stage: Stage) -> dict[str, str]:
    """What a shell would have to hold; Whale's address is given on the command line."""
    settings = stage.settings
    return {
        "WHALE_CTFD_DATABASE_URL": str(settings.whale_ctfd_database_url),
        "WHALE_CALL_SECONDS": "2",
        "ROLLOUT_FALLBACK": "false",  # no Docker is looked for
    }


def plain() -> Setup:
    """A site where no watching takes its time: the command waits for real."""
    return Setup(ending=False)


def typed(stage: Stage, *more: str, **environ: str) -> Result:
    settings = stage.settings
    arguments = [
        *("preflight", "--whale", stage.url, "--challenges", str(settings.challenges_file)),
        *("--database", settings.database_url, *more),
    ]
    return CliRunner().invoke(main, arguments, env={**environment(stage), **environ})


def test_output_and_file_agree(tmp_path: Path) -> None:
    path = tmp_path / "preflight.json"
    with staged(plain(), tmp_path) as stage:
        result = typed(stage, "--expected-players", "3", "--admin", "1", "--report", str(path))
    assert result.exit_code == 1, result.output  # ROLLOUT_FALLBACK is false
    document = json.loads(path.read_text(encoding="utf-8"))
    validate(document)
    assert [item["id"] for item in document["items"]] == [check.id for check in CHECKS]
    assert [item["id"] for item in document["items"] if not item["needed"]] == [
        "frpc-restart",
        "admin-list",
    ]
    assert (document["kind"], document["schema_version"]) == ("whale-ready preflight", 1)
    assert document["whale"] == {"url": stage.url, "dialect": "ctfd-whale", "version": "3.8.7"}
    assert document["environment"]["expected_players"] == "3"
    assert sum(document["counts"].values()) == len(CHECKS)
    assert (
        datetime.fromisoformat(document["made_at"]).utcoffset()
        == datetime.now(timezone.utc).utcoffset()
    )
    said = " ".join(result.stdout.split())
    for item in document["items"]:
        assert item["id"] in said
        if item["state"] != "ok":
            words = item["state"].replace("_", " ")
            assert f"{words}: {item['id']}: {item['fix']}" in result.stdout
    assert f"checking {len(CHECKS)} of {len(CHECKS)}: " in result.stderr
    assert "(exit code 1)" in result.stdout


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ([ItemState.OK, ItemState.OK], 0),
        ([ItemState.OK, ItemState.NOT_CHECKABLE], 2),
        ([ItemState.NOT_CHECKABLE, ItemState.NOT_OK], 1),
    ],
)
def test_the_exit_code_of_items(states: list[ItemState], code: int) -> None:
    items = tuple(
        Item(
            f"item-{'ab'[number]}", "Title", state, "seen", "" if state is ItemState.OK else "do it"
        )
        for number, state in enumerate(states)
    )
    found = Preflight(datetime.now(timezone.utc), "http://x", None, None, {}, items)
    assert found.exit_code == code
    validate(json.loads(found.as_json()))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--whale", "ctf.example.org"], "WHALE_API_URL: write an address such as https://"),
        (["--whale", "http://ann:pass@ctf.example.org"], "leave user and password out"),
        (["--expected-players", "0"], "--expected-players"),
        (["--challenges", "no-such-file.toml"], "no-such-file.toml: cannot be read"),
        (["--report", "no/such/folder/x.json"], "make it first"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_what_cannot_run_is_3(tmp_path: Path, arguments: list[str], said: str) -> None:
    with staged(plain(), tmp_path) as stage:
        result = typed(stage, *arguments)
    assert result.exit_code == 3, result.output
    assert said in result.stderr
    assert "pass@" not in result.output


def test_without_an_address_it_cannot_run() -> None:
    result = CliRunner().invoke(main, ["preflight"], env={"WHALE_API_URL": ""})
    assert (result.exit_code, "--whale" in result.stderr) == (3, True)


def test_a_whale_that_is_not_there_is_1(tmp_path: Path) -> None:
    with staged(plain(), tmp_path) as stage:
        result = typed(stage, "--whale", f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == 1
    assert "not ok: reachable: " in result.stdout


def test_a_signal_ends_it_with_130(tmp_path: Path) -> None:
    path = tmp_path / "preflight.json"
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and never answers
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "whale_ready", "preflight", "--report", str(path)),
                *("--whale", f"http://127.0.0.1:{silent.getsockname()[1]}"),
            ],
            env={**os.environ, "WHALE_CALL_SECONDS": "60"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        assert process.stderr.readline().startswith("checking 1 of ")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "interrupted; nothing is written" in errors
    assert "Traceback" not in errors
    assert not path.exists()


def test_no_secret_in_output_file_or_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    path = tmp_path / "preflight.json"
    credentials = tmp_path / "credentials.toml"
    lines = [f'"{user}" = "{token}"' for user, token in TOKENS.items() if user != ALICE]
    credentials.write_text(
        "[tokens]\n" + "\n".join(lines) + f'\n[logins]\n"{ALICE}" = {{ name = "user{ALICE}", '
        f'password = "{PASSWORD}" }}\n',
        encoding="utf-8",
    )
    credentials.chmod(0o600)
    seen = []
    flags: set[str] = set()
    with staged(plain(), tmp_path) as stage:
        for faults in ([], [{"kind": "redis_down", "method": "PATCH"}], [{"kind": "html"}]):
            stage.fake.lift_faults()
            for fault in faults:
                stage.fake.inject(fault)
            result = typed(
                stage,
                *("--admin", "1", "--report", str(path)),
                WHALE_CTFD_DATABASE_URL="",
                WHALE_TOKENS_FILE=str(credentials),
            )
            seen += [result.output, path.read_text(encoding="utf-8")]
            flags.update(service["flag"] for service in stage.fake.state()["services"])
        site = stage.site(whale_tokens_file=credentials, whale_ctfd_database_url=None)
        items = run(site)
        seen += [repr(items), repr(vars(site)), json.dumps([asdict(item) for item in items])]
        site.close()
    seen.append(caplog.text)
    for text in seen:
        assert PASSWORD not in text
        assert "ctfd_0" not in text
        assert not [flag for flag in flags if flag in text]
        assert re.search(r"\b[0-9a-f]{64}\b", text) is None


def test_a_database_url_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "preflight.json"
    with staged(plain(), tmp_path) as stage:
        result = typed(
            stage,
            *("--report", str(path), "--database"),
            f"postgresql+psycopg2://ann:{PASSWORD}@127.0.0.1:{free_port()}/x",
            WHALE_CTFD_DATABASE_URL=f"mysql+pymysql://ann:{PASSWORD}@127.0.0.1:{free_port()}/x",
        )
    assert result.exit_code == 1
    written = path.read_text(encoding="utf-8")
    assert PASSWORD not in result.output + written
    evidence = {item["id"]: item["evidence"] for item in json.loads(written)["items"]}
    for item, setting in (("audit", OUR_DATABASE), ("credentials", WHALES_DATABASE)):
        assert evidence[item].startswith(f"{setting}: the database cannot be asked (")


Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("counts"),
        lambda document: document.update(more=1),
        lambda document: document.update(kind="whale-ready report"),
        lambda document: document.update(made_at="yesterday"),
        lambda document: document["whale"].pop("dialect"),
        lambda document: document["items"][0].update(state="fine"),
        lambda document: document["items"][0].update(fix="an ok needs none"),
        lambda document: document["items"][1].update(fix=""),
    ],
)
def test_the_schema_notices_what_is_wrong(change: Change) -> None:
    items = (
        Item("one", "One", ItemState.OK, "seen", ""),
        Item("two", "Two", ItemState.NOT_OK, "seen", "do it"),
    )
    found = Preflight(datetime.now(timezone.utc), "http://x", None, None, {}, items)
    document = json.loads(found.as_json())
    validate(document)
    change(document)
    with pytest.raises(jsonschema.ValidationError):
        validate(document)


def test_the_page_lists_the_items() -> None:
    rows = [
        [cell.strip() for cell in line.strip("| ").split(" | ")]
        for line in DOC.read_text(encoding="utf-8").splitlines()
        if re.match(r"\| `[a-z-]+` \|", line)
    ]
    rows = [row for row in rows if len(row) == 4]  # the other table is of the file's fields
    assert rows == [[f"`{check.id}`", check.title, check.rests_on, check.fix] for check in CHECKS]
    assert len(EVERY_ID) == len(CHECKS)


def test_help_and_page_have_the_exit_codes() -> None:
    shown = CliRunner().invoke(main, ["preflight", "--help"]).output
    assert " ".join(for_help(PREFLIGHT_EXIT_CODES).split()) in " ".join(shown.split())
    page = DOC.read_text(encoding="utf-8")
    for code, meaning in PREFLIGHT_EXIT_CODES:
        assert f"| {code} | {meaning} |" in page
    assert [name for name in preflight_schema()["properties"] if f"`{name}`" not in page] == []


ODD = "3.8\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\n not ok"
"""What no terminal may get, as a CTFd's version and its settings."""


def test_what_a_hostile_ctfd_says_reaches_no_terminal_or_file(tmp_path: Path) -> None:
    """Its version and the settings of its Whale were printed as they came."""
    odd = {"ctf_version": ODD, "docker_max_container_count": ODD, "docker_timeout": ODD}
    path = tmp_path / "preflight.json"
    setup = plain().with_config(**odd)
    with staged(setup, tmp_path) as stage:
        result = typed(stage, "--expected-players", "3", "--report", str(path))
    assert "owned" in result.output
    for text in (result.output, path.read_text(encoding="utf-8")):
        assert {ascii(each) for each in text if not each.isprintable() and each != "\n"} == set()
    assert " not ok" not in [line.rstrip() for line in result.output.splitlines()]


def test_whatever_whale_answers_a_preflight_ends_by_its_codes(tmp_path: Path) -> None:
    setup = replace(plain(), faults=[{"kind": "fuzzed"}])
    with staged(setup, tmp_path) as stage:
        for _ in range(3):
            result = typed(stage, "--expected-players", "3", "--admin", "1")
            assert isinstance(result.exception, SystemExit), result.exception
            assert result.exit_code in (1, 2)
