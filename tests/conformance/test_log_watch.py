"""What a backend logs while a scenario runs, and what of it is no secret."""

from __future__ import annotations

import logging

import pytest

from conformance.spec.log_watch import listening
from conformance.spec.redaction import Secrets
from conformance.spec.shape import RuleBroken

TOKEN = "ctfd_" + "0f" * 32


@pytest.mark.parametrize("logger", ["engines.cre.removal", "urllib3.connectionpool", "theirs.pool"])
@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ("gone, its flag was flag{0123456789abcdef}", "FLAG-009"),
        ("gone, its flag was uofctf{0123456789abcdef}", "FLAG-009"),
        ("gone, its flag was any-other-form", "FLAG-009"),
        (f"GET /container {{'Authorization': 'Token {TOKEN}'}}", "ACCOUNT-034"),
    ],
)
def test_a_secret_in_the_log_breaks_a_rule(logger: str, said: str, rule: str) -> None:
    secrets = Secrets()
    secrets.flag("any-other-form")
    with pytest.raises(RuleBroken) as broken, listening(secrets, ["theirs"]):
        logging.getLogger(logger).debug(said)
    assert broken.value.rule == rule
    assert said not in str(broken.value)


@pytest.mark.parametrize(
    "said",
    ["Pool{size=10;idle=2;waiting=0}", "no token: log in again", "the flag of user 7 was taken"],
)
def test_what_only_looks_alike_is_no_alarm(said: str) -> None:
    with listening(Secrets(), ["theirs"]):
        logging.getLogger("theirs").warning(said)


def test_other_programs_logs_are_not_the_backends() -> None:
    with listening(Secrets(), ["theirs"]):
        logging.getLogger("fake_whale").warning("made flag{0123456789abcdef}")


def test_a_secret_in_what_was_raised_counts_too() -> None:
    def fails() -> None:
        try:
            raise ValueError(TOKEN)
        except ValueError:
            logging.getLogger("engines.whale").exception("it failed")

    with pytest.raises(RuleBroken), listening(Secrets(), []):
        fails()


def test_levels_are_as_they_were_afterwards() -> None:
    logger = logging.getLogger("engines")
    before = logger.level, list(logger.handlers)
    with listening(Secrets(), []):
        assert logger.isEnabledFor(logging.DEBUG)
    assert (logger.level, logger.handlers) == before
