"""``whale-ready readiness`` as its users run it: exit codes, files, and real evidence."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.made_evidence import (
    CRE,
    FAKE_VERSIONS,
    WHALE_URL,
    bench,
    check,
    item,
    made_now,
    preflight,
    results,
    written,
)

from conformance.report.results import BackendInfo, ScenarioResult, Status, Verdict
from whale_ready.cli import main
from whale_ready.exit_codes import READINESS_EXIT_CODES
from whale_ready.readiness.files import FILES

ROOT = Path(__file__).parents[2]
FAKE = BackendInfo("whale:fake", "WhaleAPIManager to a fake Whale", False, {}, FAKE_VERSIONS)
NAMELESS = BackendInfo("whale", "somebody's adapter", False, {}, {"dialect": "ctfd-whale"})


def whale_ready(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(main, list(arguments))


def ask(folder: Path, *arguments: str, **files: dict[str, Any]) -> Result:
    return whale_ready("readiness", *written(folder, **made_now(**files)), *arguments)


def test_all_green_is_0_and_says_go(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = ask(tmp_path, "--out", str(out), check=check(), bench=bench(), preflight=preflight())
    assert result.exit_code == 0, result.output
    assert "GO: The rollout may begin, step by step. (exit code 0)" in result.output
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    answer = json.loads((out / "readiness.json").read_text())
    assert (answer["verdict"], answer["exit_code"], answer["reasons"]) == ("go", 0, [])
    assert (out / "readiness.md").read_text().startswith("# GO: from CRE to Whale")


def test_bad_news_is_1_with_the_command_that_would_change_it(tmp_path: Path) -> None:
    result = ask(tmp_path, preflight=preflight(item("tls", "not_ok", "expired", "renew it")))
    assert result.exit_code == 1
    assert "1. NO-GO: Whale: tls (tls): not ok" in result.output
    assert "what would change it: renew it" in result.output
    assert f"$ whale-ready preflight --whale {WHALE_URL}" in result.output


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "none was looked at"),
        ({"check": check((CRE, FAKE)), "bench": bench((CRE, FAKE))}, "none was looked at"),
        ({"check": check((CRE, NAMELESS))}, "not named by any of these files"),
    ],
    ids=["nothing", "a fake", "without its address"],
)
def test_no_whale_is_named_that_was_not_looked_at(
    tmp_path: Path, files: dict[str, dict[str, Any]], said: str
) -> None:
    out = tmp_path / "out"
    result = ask(tmp_path, "--out", str(out), **files)

    assert result.exit_code in (1, 2), result.output
    assert json.loads((out / "readiness.json").read_text())["whale"] is None
    assert f"Whale: {said}." in (out / "readiness.md").read_text()
    assert f"<dt>Whale</dt><dd>{said}</dd>" in (out / "readiness.html").read_text()
    for each in (result.output, *(path.read_text() for path in out.iterdir())):
        assert "example.org" not in each, "an example may be taken for what was measured"


def test_known_deviations_are_listed_beside_a_go(tmp_path: Path) -> None:
    known = ScenarioResult(
        *("CONC-019", "CONC-019", "whale", Status.KNOWN_DEVIATION, 0.1, "too many"),
        deviation="until 2030-12-31: known (https://example.org/1)",
    )
    found = [*results("cre"), *(e for e in results("whale") if e.rule != "CONC-019"), known]
    out = tmp_path / "out"
    evidence = {"check": check(found=found), "bench": bench(), "preflight": preflight()}
    result = ask(tmp_path, "--out", str(out), **evidence)

    said = "CONC-019 on whale, until 2030-12-31: known (https://example.org/1)"
    assert result.exit_code == 0, result.output
    assert f"known deviation: {said}" in result.output
    assert f"- known deviation: {said}" in (out / "readiness.md").read_text()
    assert f"≠ known deviation</span> {said}" in (out / "readiness.html").read_text()
    answer = json.loads((out / "readiness.json").read_text())
    assert [deviation["rule"] for deviation in answer["known_deviations"]] == ["CONC-019"]
    assert answer["waived"] == []


def test_nothing_is_2_and_says_what_to_make() -> None:
    result = whale_ready("readiness")
    assert result.exit_code == 2
    assert "There is no bench: nothing shows that Whale is fast enough" in result.output
    assert "$ whale-ready check --backend cre --backend whale=https://" in result.output
    assert "NOT ENOUGH EVIDENCE" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--check", "nowhere.json"), "nowhere.json: No such file or directory; name a file"),
        (("--max-age", "0"), "--max-age"),
        (("--accept", "tls"), "--accept tls: write ID=REASON"),
        (("--accept", "tls= "), "write ID=REASON"),
        (("--accept", "tls=a", "--accept", "tls=b"), "tls: is accepted twice"),
        (("--accept", "tls=because"), "tls: is not there"),
        (("--out", "/proc/nope"), "--out /proc/nope: "),
        (("--preflight", str(ROOT / "pyproject.toml")), "pyproject.toml: is no JSON object"),
        (("--nope",), "No such option"),
    ],
)
def test_what_cannot_be_run_is_3_and_says_why(arguments: tuple[str, ...], said: str) -> None:
    result = whale_ready("readiness", *arguments)
    assert result.exit_code == 3
    assert said in result.output
    assert "Traceback" not in result.output


def test_ctrl_c_is_130(tmp_path: Path) -> None:
    # given a file that cannot be read to its end: a pipe that nobody closes
    pipe = tmp_path / "report.json"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "whale_ready", "readiness", "--check", str(pipe)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        with pipe.open("w"):  # it is there now, and reads
            run.send_signal(signal.SIGINT)
            run.wait(timeout=60)
        output, errors = run.communicate()
    assert (run.returncode, output, errors) == (130, "interrupted\n", "")


def test_help_and_document_have_the_table_of_exit_codes() -> None:
    text = whale_ready("readiness", "--help").output
    section = text.partition("Exit codes:")[2].partition("Example:")[0]
    rows = [(int(code), said) for code, said in re.findall(r"^ +(\d+) +(.+)$", section, re.M)]
    assert rows == list(READINESS_EXIT_CODES)
    document = (ROOT / "docs" / "readiness.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| (\d+) \| (.+) \|$", document, re.MULTILINE)
    assert [(int(code), said) for code, said in shown] == list(READINESS_EXIT_CODES)


def test_the_document_explains_every_key_of_the_answer(tmp_path: Path) -> None:
    ask(tmp_path, "--out", str(tmp_path), check=check())
    answer = json.loads((tmp_path / "readiness.json").read_text())
    document = (ROOT / "docs" / "readiness.md").read_text(encoding="utf-8")
    assert [key for key in answer if f"`{key}`" not in document] == []


# Secrets and evil texts, in every artefact.

SECRETS = {
    "flag{somebody-solved-this}": "somebody-solved-this",
    "ctfd_0123456789abcdef0123": "0123456789abcdef0123",
    "Authorization: Token abcdef-of-an-admin": "abcdef-of-an-admin",
    "nonce=9f8e7d6c5b": "9f8e7d6c5b",
    "https://admin:hunter22@db.example.org/": "hunter22",
    "Set-Cookie: session=s3ss10n-of-somebody": "s3ss10n-of-somebody",
}


def test_no_secret_of_a_file_or_option_is_in_any_artefact(tmp_path: Path) -> None:
    everything = "\n".join(SECRETS)
    failed = (Status.FAIL, everything, "")
    waived = (Status.WAIVED, everything, everything)
    found = [*results("cre"), *results("whale", START_001=failed, STOP_001=waived)]
    report = check(found=found, verdict=Verdict.FAILED, reasons=tuple(SECRETS))
    report["notes"] = list(SECRETS)
    report["environment"]["kernel"] = everything
    report["backends"]["whale"].update(kind=everything)
    report["backends"]["whale"]["versions"]["build"] = everything
    load = bench()
    load.update(notes=list(SECRETS), loop=everything)
    load["backends"][1].update(kind=everything)
    load["ratios"][2].update(decision="inconclusive", why=everything)
    site = preflight(
        item("tls", "not_ok", everything, everything), item("frp", "not_checkable", everything)
    )
    site["whale"].update(version=everything)
    accepted = "frp=" + everything
    result = ask(tmp_path, "--out", str(tmp_path / "out"), "--accept", accepted,
                 check=report, bench=load, preflight=site)  # fmt: skip
    assert result.exit_code == 1, result.output
    shown = result.output + "".join(path.read_text() for path in (tmp_path / "out").iterdir())
    assert "‹secret›" in shown
    assert [secret for secret in SECRETS.values() if secret in shown] == []


def test_an_error_gives_no_secret_away(tmp_path: Path) -> None:
    site = preflight()
    site["whale"]["url"] = "https://admin:hunter22@whale.example.org"
    result = ask(tmp_path, preflight=site)
    assert result.exit_code == 3
    assert "leave user and password out of the address" in result.output
    assert "hunter22" not in result.output


# Real evidence.


def test_real_runs_of_simulated_backends_are_not_enough_and_say_why(tmp_path: Path) -> None:
    pair = ("--backend", "cre:memory", "--backend", "whale:fake")
    checked = whale_ready("check", *pair, "--select", "START-00[12]", "--report", str(tmp_path))
    assert checked.exit_code == 2, checked.output
    # margins that nothing passes: n is too small for the one, the other is no failure of a run
    measured = whale_ready(
        *("bench", *pair, "--duration", "1.5", "--turns", "6", "--concurrency", "2"),
        *("--margin", "p95=1000", "--margin", "errors=0.9", "--report", str(tmp_path)),
    )
    assert measured.exit_code in (0, 2), measured.output
    (_, site) = written(tmp_path, **made_now(preflight=preflight()))

    result = whale_ready(
        *("readiness", "--check", str(tmp_path / "report.json")),
        *("--bench", str(tmp_path / "bench.json"), "--preflight", site, "--out", str(tmp_path)),
    )

    assert result.exit_code == 2, result.output
    answer = json.loads((tmp_path / "readiness.json").read_text())
    assert answer["verdict"] == "not_enough_evidence"
    found = [reason["rule"] for reason in answer["reasons"]]
    assert found.count("fake-whale") == 2
    assert found.count("simulated") == 2
    assert {"part-of-rules", "too-few"} <= set(found)
    assert "The check is of whale:fake, a fake Whale: it says nothing of the Whale here" in (
        result.output
    )
    page = (tmp_path / "readiness.html").read_text()
    assert "NOT ENOUGH EVIDENCE" in page
    assert "The rollout plan, once the answer is GO" in page
