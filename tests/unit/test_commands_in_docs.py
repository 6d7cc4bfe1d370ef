"""Every command of ours that a page tells people to type exists, with its options and values."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from support.shown_commands import PAGES, commands, mentioned, words_of

from fake_whale.cli import main as fake_whale
from whale_ready.cli import main

ROOT = Path(__file__).parents[2]


def problem(line: str) -> str | None:
    """What of a command does not exist; None when all of it does."""
    program, *words = words_of(line)
    command: click.Command = {"whale-ready": main, "fake-whale": fake_whale}[program]
    context = click.Context(command)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            if command.invoke_without_command:
                break
            return f"no such command: {words[0]}"
        command, words = found, words[1:]
    parameters = command.get_params(context)
    known = {
        name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts)
    }
    unknown = [
        word for word in words if word.startswith("--") and word.partition("=")[0] not in known
    ]
    if unknown:
        return f"no such option: {', '.join(unknown)}"
    asking = [
        parameter
        for parameter in parameters
        if isinstance(parameter, click.Option) and parameter.prompt
    ]
    words += [each.opts[0] for each in asking]  # who types it is asked, and says yes
    try:
        # Past our own class, which ends the process at a wrong option.
        with click.Context.scope(context):
            click.Command.make_context(command, "it", words, parent=context)
    except click.UsageError as error:
        return error.format_message()
    except click.exceptions.Exit:
        pass  # --help and the like
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_says_can_be_typed(page: Path) -> None:
    wrong = {line: said for line in commands(page) if (said := problem(line))}
    assert not wrong, "\n".join(f"{line}\n    {said}" for line, said in wrong.items())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_sentence_names_exists(page: Path) -> None:
    """A sentence may leave out what a command needs."""
    wrong = {line: said for line in mentioned(page) if (said := problem(line))}
    left_out = re.compile(r"Missing .*|.* requires an argument\.|Usage: .*", re.DOTALL)
    assert not {line: said for line, said in wrong.items() if not left_out.fullmatch(said)}


def test_the_way_to_whale_is_told_in_commands() -> None:
    told = commands(ROOT / "docs" / "migrate.md")
    assert len(told) >= 12
    for part in ("preflight", "check", "bench", "readiness", "rollout set 100%", "rollout back"):
        assert any(line.startswith(f"whale-ready {part}") for line in told), part


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("whale-ready rollout set 10%  # a tenth", None),
        ("whale-ready metrics | grep whale", None),
        ("whale-ready bench compare before/ after/", None),
        ("fake-whale serve --fly", "no such option: --fly"),
        ("whale-ready fly", "no such command: fly"),
        ("whale-ready rollout fly", "no such command: fly"),
        ("whale-ready rollout set 10% --speed 3", "no such option: --speed"),
        ("whale-ready rollout set", "Missing argument 'SHARE'."),
        ("whale-ready rollout challenge 5 maybe", "'maybe' is not one of"),
        ("whale-ready rollout set 101%", "write a share from 0% to 100%"),
    ],
)
def test_what_does_not_exist_is_found(line: str, said: str | None) -> None:
    found = problem(line)
    assert found == said if said is None else said in (found or "")
