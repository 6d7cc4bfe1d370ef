"""What others say of a failure is kept short, printable, and free of the instance's secrets."""

from __future__ import annotations

import base64

import pytest

from engines.catalog import ChallengeSpec, Companion
from engines.cre.evidence import HIDDEN, LINE, LINES, OUTPUT, SENTENCE, FailureEvidence, Redactor

SPEC = ChallengeSpec(
    id=1,
    name="A",
    image="a",
    environment={"DB_PASSWORD": "hunter2!", "MODE": "debug", "TOKEN": "x"},
    companions=(Companion(name="db", image="b", environment={"api_key": "abcdef"}),),
)
FLAG = "flag{0f1e2d3c4b5a69788796a5b4c3d2e1f0}"
INNER = FLAG[5:-1]


def base64_of(text: str, before: int) -> str:
    return base64.b64encode(b"=" * before + text.encode() + b" and more").decode()


@pytest.mark.parametrize(
    "printed",
    [
        FLAG,
        FLAG.upper(),
        INNER,
        FLAG[::-1],
        FLAG.encode().hex(),
        FLAG.encode().hex().upper(),
        f"\x1b[31m{FLAG}\x1b[0m",
        f"FLAG={FLAG}; export FLAG",
    ],
)
def test_the_flag_is_hidden_however_a_program_prints_it(printed: str) -> None:
    (line,) = Redactor.of(FLAG, SPEC).lines(f"before {printed} after\n")
    assert HIDDEN in line
    assert line.startswith("before ")
    assert line.endswith(" after")
    for secret in (FLAG, INNER, INNER[:12], INNER[::-1], FLAG.encode().hex()):
        assert secret.lower() not in line.lower()


@pytest.mark.parametrize("before", range(6))
def test_the_flag_is_hidden_in_base64_at_every_offset(before: int) -> None:
    coded = base64_of(FLAG, before)
    (line,) = Redactor.of(FLAG).lines(coded)
    assert HIDDEN in line
    left = line.replace(HIDDEN, "")
    assert all(coded[at : at + 8] not in left for at in range(12, 12 + len(FLAG)))


def test_a_flag_at_the_bound_is_not_cut_before_it_is_hidden() -> None:
    redactor = Redactor.of(FLAG)
    for room in range(len(FLAG) + 1):
        (line,) = redactor.lines("x" * (LINE - room) + FLAG)
        assert INNER[:6] not in line
        assert INNER[:6] not in redactor.sentence("x" * (SENTENCE - room) + FLAG)


def test_passwords_of_the_challenge_are_hidden_and_other_values_are_not() -> None:
    (line,) = Redactor.of(FLAG, SPEC).lines("hunter2! abcdef debug x")
    assert line == f"{HIDDEN} {HIDDEN} debug x"


def test_the_last_lines_are_kept_and_no_more_than_agreed() -> None:
    lines = Redactor().lines("".join(f"line {number}\n" for number in range(500)))
    assert len(lines) == LINES
    assert lines[-1] == "line 499"
    (long,) = Redactor().lines("y" * 100_000)
    assert len(long) == LINE
    many = Redactor().lines("\n".join("z" * LINE for _ in range(LINES)))
    assert sum(map(len, many)) <= OUTPUT
    full = Redactor().lines("\n".join("z" * (OUTPUT // 10) for _ in range(LINES)))
    assert sum(map(len, full)) == OUTPUT
    assert Redactor().lines("") == ()


def test_nothing_of_it_moves_a_terminal() -> None:
    lines = Redactor().lines("a\x1b[2Jb\rc\u202ed\x00\nsecond", "db")
    assert all(line.isprintable() for line in lines)
    assert lines == (r"db: a\x1b[2Jb\rc\u202ed\x00", "db: second")
    assert Redactor().sentence("\x07bell\nsecond line") == r"\x07bell"


def test_an_address_loses_what_may_be_a_secret() -> None:
    told = Redactor().sentence('Get "https://bob:pw@registry.example/v2/?token=abc": no such host')
    assert told == 'Get "https://registry.example/v2/ no such host'


def test_evidence_is_one_line_in_a_log_and_data_in_an_event() -> None:
    found = FailureEvidence("it ended", ("one", "two"))
    assert str(found) == "it ended; printed last: one | two"
    assert found.detail() == {"reason": "it ended", "output": ["one", "two"]}
    assert FailureEvidence().detail() == {}
