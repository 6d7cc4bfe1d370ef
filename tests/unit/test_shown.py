"""What others have said reaches no terminal, log or report as it came.

Planted wherever a stranger's text can stand: sequences for terminals (ESC, C1, BEL), NUL, marks
that turn text around, and ends of lines.
"""

from __future__ import annotations

import ast
import io
import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from support.made_evidence import bench, check, item, made_now, preflight, written
from support.made_report import made_report
from whale.test_readiness import listening

from conformance.report.html import to_html
from conformance.report.junit import to_junit
from conformance.report.markdown import to_markdown
from conformance.report.results import Report
from conformance.report.writers import to_json
from engines.cre.image_pull import reason as pull_reason
from engines.errors import BackendUnavailable
from engines.printable import json_text, printable
from engines.reasons import reason
from whale_ready.cli import main
from whale_ready.console import Console
from whale_ready.lines import Formatter, echo
from whale_ready.summary import print_report

ROOT = Path(__file__).parents[2]
NASTY = "a\x1b]0;owned\x07\x1b[2Jb\x9b31mc\x00d\u202eexe.gpj\u2066e\x85f\u2028g\rh\ni"
FORGED = f"{NASTY}\nPASSED: all is well"


def raw(text: str) -> list[str]:
    """What a terminal would act upon, but for ends of lines."""
    return sorted({ascii(each) for each in text if not each.isprintable() and each != "\n"})


def hostile_report() -> Report:
    """A run with a stranger's text in every place that one can fill."""
    report = made_report(2, waived=1, hostile=True)
    backend = replace(report.backends[0], kind=NASTY, versions={"docker": NASTY})
    results = tuple(
        replace(result, message=NASTY, trace=(NASTY,), waiver=result.waiver and NASTY)
        for result in report.results
    )
    return replace(
        report,
        backends=(backend, *report.backends[1:]),
        results=results,
        reasons=(FORGED,),
        notes=(FORGED,),
    )


def test_printable_escapes_what_is_not_itself() -> None:
    assert printable("a\x1b\x9b\u202e\nü") == "a\\x1b\\x9b\\u202e\\nü"
    assert printable("a\nb\x07", keep="\n") == "a\nb\\x07"


def test_json_is_the_same_and_shows_nothing() -> None:
    document = {NASTY: [NASTY, "ü", "\ud800", "\U000e0001"]}
    text = json_text(document)
    assert raw(text) == []
    assert json.loads(text) == document
    assert "ü" in text


@pytest.mark.parametrize("write", [to_json, to_junit, to_markdown, to_html])
def test_a_report_shows_none_of_it(write: object) -> None:
    text = write(hostile_report())  # type: ignore[operator] # one of the four
    assert raw(text) == []


def console(**options: object) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file, width=120, **options), file


def test_a_console_escapes_whatever_it_is_given() -> None:
    shown, file = console()
    table = Table(NASTY, title=NASTY)
    table.add_row(NASTY)
    shown.print(table)
    shown.print(Text(NASTY), style="bold")
    shown.print(NASTY, markup=False)
    shown.say(FORGED)
    assert raw(file.getvalue()) == []
    assert "PASSED: all is well" not in file.getvalue().splitlines()


def test_a_terminals_own_sequences_are_kept() -> None:
    shown, file = console(force_terminal=True)
    shown.say(NASTY, "bold red")
    assert "\x1b[1;31m" in file.getvalue()
    assert "\x1b]0" not in file.getvalue()
    assert "\x9b" not in file.getvalue()
    with Progress(console=shown, transient=True) as bar:
        bar.add_task(NASTY, total=1)
    assert "\x1b]0" not in file.getvalue()


def test_the_summary_shows_none_of_it() -> None:
    shown, file = console()
    print_report(hostile_report(), shown)
    assert raw(file.getvalue()) == []
    assert "PASSED: all is well" not in file.getvalue().splitlines()


def test_a_line_stays_one(capsys: pytest.CaptureFixture[str]) -> None:
    echo(FORGED)
    assert capsys.readouterr().out == printable(FORGED) + "\n"


def test_a_log_shows_none_of_it() -> None:
    record = logging.LogRecord("engines", logging.WARNING, "", 1, "said %s", (FORGED,), None)
    assert raw(Formatter().format(record)) == []


def test_what_is_logged_of_others_errors_shows_none_of_it() -> None:
    """Also where somebody else's logging writes it, as CTFd's does."""
    assert raw(reason(BackendUnavailable(NASTY))) == []
    assert "\n" not in reason(BackendUnavailable(NASTY))
    assert raw(pull_reason(NASTY)) == []


def nasty_evidence(folder: Path) -> list[str]:
    checked = check(reasons=(FORGED,))
    checked["notes"] = [NASTY]
    asked = preflight(item("tls", "not_ok", NASTY, FORGED), item("dialect", "ok", FORGED))
    measured = bench()
    measured["reasons"] = [FORGED]
    return written(folder, **made_now(check=checked, preflight=asked, bench=measured))


def typed(*arguments: str, **environ: str) -> Result:
    return CliRunner(env={"COLUMNS": "400", **environ}).invoke(main, list(arguments))


def test_readiness_shows_none_of_it(tmp_path: Path) -> None:
    result = typed("readiness", *nasty_evidence(tmp_path), "--out", str(tmp_path / "out"))
    assert result.exit_code in (0, 1, 2), result.output
    assert raw(result.output) == []
    assert "owned" in result.output
    for path in (tmp_path / "out").iterdir():
        assert raw(path.read_text(encoding="utf-8")) == [], path.name


def test_compare_shows_none_of_it(tmp_path: Path) -> None:
    before, after = tmp_path / "a.json", tmp_path / "b.json"
    before.write_text(to_json(made_report(1)), encoding="utf-8")
    after.write_text(to_json(hostile_report()), encoding="utf-8")
    result = typed("compare", str(before), str(after))
    assert raw(result.output) == []


CATALOGUE = f"""
[[challenge]]
id = 1
name = {json.dumps(NASTY)}
image = "chal:1"
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("doctor",),
        ("doctor", "--json"),
        ("rollout", "status"),
        ("images", "list"),
        ("worker", "--once"),
        ("metrics",),
        ("database", "status"),
        ("preflight",),
        ("check", "--backend", "whale=http://127.0.0.1:9", "--whale-world", "{world}"),
    ],
    ids=" ".join,
)
def test_no_command_shows_any_of_a_catalogue_or_an_environment(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "challenges.toml").write_text(CATALOGUE, encoding="utf-8")
    world = tmp_path / "world.toml"
    world.write_text(f"{json.dumps(NASTY)} = {json.dumps(NASTY)}", encoding="utf-8")
    environ = {
        "CONTAINER_CHALLENGES_FILE": str(tmp_path / "challenges.toml"),
        "CONTAINER_DATABASE_URL": f"sqlite:///{tmp_path / 'state.db'}",
        "CONTAINER_RUNTIME": "memory",
        "WHALE_API_URL": "http://127.0.0.1:9",
        "WHALE_DIALECT": "ctfd-whale",
        "DOCKER_HOST": f"tcp://127.0.0.1:9/{NASTY.replace(chr(0), '')}",
        "SERVER_SOFTWARE": NASTY.replace("\x00", ""),
    }
    result = typed(*(argument.format(world=world) for argument in arguments), **environ)
    assert raw(result.output) == []
    assert "Traceback" not in result.output
    assert "Usage:" not in result.output, "a command that there is"
    assert result.exception is None or isinstance(result.exception, SystemExit)


WORLD = """
[challenges]
first = 1
second = 2
unknown = 999
""" + "".join(
    f"""
[[players]]
user_id = {user}
token = "ctfd_{user:064x}"
"""
    for user in (11, 12, 13)
)


@contextmanager
def hostile_whale() -> Iterator[str]:
    """A server that says the same nasty thing to everything, in JSON and in headers."""
    said = {"success": False, "message": NASTY, "version": NASTY, NASTY: NASTY}
    body = json.dumps(said, ensure_ascii=False).encode()
    seen = "Server: x\x1b[2J\x9b31m\r\nContent-Type: application/json\r\n"
    head = f"HTTP/1.1 403 \x1b[2J\r\n{seen}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.recv(65_536)
            connection.sendall(head.encode("latin-1") + body)

    with listening(serve) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    "arguments",
    [
        ("preflight", "--whale", "{url}", "--admin", "11", "--report", "{folder}/out.json"),
        ("check", "--backend", "whale={url}", "--whale-world", "{folder}/world.toml"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_hostile_whale_reaches_no_terminal(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """``preflight`` printed its ESC sequences."""
    for name, text in (("world.toml", WORLD), ("challenges.toml", CATALOGUE)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[tokens]\n"11" = "ctfd_11"\n', encoding="utf-8")
    for path in (tmp_path / "world.toml", tokens):
        path.chmod(0o600)
    environ = {
        "CONTAINER_CHALLENGES_FILE": str(tmp_path / "challenges.toml"),
        "CONTAINER_DATABASE_URL": f"sqlite:///{tmp_path / 'state.db'}",
        "CONTAINER_RUNTIME": "memory",
        "WHALE_TOKENS_FILE": str(tokens),
        "WHALE_DIALECT": "ctfd-whale",
    }
    with hostile_whale() as url:
        given = [argument.format(url=url, folder=tmp_path) for argument in arguments]
        result = typed(*given, **environ)
    assert raw(result.output) == []
    assert "Traceback" not in result.output
    assert "Usage:" not in result.output
    assert isinstance(result.exception, SystemExit), result.exception
    for written_file in tmp_path.glob("*.json"):
        assert raw(written_file.read_text(encoding="utf-8")) == []


def test_nothing_else_prints() -> None:
    """A command that made a console of its own, or called click.echo, would show all of it."""
    for path in (ROOT / "whale_ready").rglob("*.py"):
        if path.name in ("console.py", "lines.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "rich.console":
                names = {name.name for name in node.names}
                assert "Console" not in names, f"{path.name}:{node.lineno}"
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("click.echo", "click.secho", "print"), f"{path.name}"
