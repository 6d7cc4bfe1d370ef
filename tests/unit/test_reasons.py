"""What the log says of an error: enough to find the cause, and no secret."""

from __future__ import annotations

import logging
import re
import socket
import subprocess

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from engines.child import run
from engines.cleanup_worker import CleanupWorker
from engines.errors import BackendUnavailable
from engines.reasons import reason

SECRET = "hunter2"


def of_docker() -> None:
    raise BackendUnavailable("the Docker engine cannot be reached") from ValueError(SECRET)


def of_a_program() -> None:
    run([SECRET], seconds=1)


def of_another_module() -> None:
    subprocess.run(["true"], input=SECRET, stdin=subprocess.DEVNULL, check=False)


def of_an_address() -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"/nowhere/{SECRET}")


def of_a_database() -> None:
    engine = sa.create_engine("sqlite://", future=True)
    with engine.connect() as connection:
        connection.execute(sa.select(sa.text("1")).select_from(sa.table(SECRET)))


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        (of_docker, r"the Docker engine cannot be reached, from ValueError"),
        (of_a_program, r"FileNotFoundError at child\.py:\d+ in __init__"),
        (of_another_module, r"ValueError at subprocess\.py:\d+ in run"),
        (of_an_address, r"FileNotFoundError \(2\) at test_reasons\.py:\d+ in of_an_address"),
        (of_a_database, r"OperationalError \(SQLITE_ERROR\) at .*, from OperationalError at .*"),
    ],
)
def test_type_place_and_cause_are_told_and_no_secret(fails: object, said: str) -> None:
    assert callable(fails)
    with pytest.raises((OSError, ValueError, SQLAlchemyError, BackendUnavailable)) as failure:
        fails()
    found = reason(failure.value)
    assert SECRET not in found
    assert "\n" not in found
    assert re.fullmatch(said, found), found


class Failing:
    """A backend whose rounds fail as the firewall's did under gevent."""

    name = "cre"

    def expire_due(self) -> int:
        raise ValueError(f"stdin and input may not both be used {SECRET}")

    def forget_old(self) -> int:
        return 0


def test_a_round_that_failed_says_why(caplog: pytest.LogCaptureFixture) -> None:
    worker = CleanupWorker(Failing(), 60)  # type: ignore[arg-type]
    worker.start()
    worker.stop()
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    said = record.getMessage()
    assert re.fullmatch(
        r"cleanup round failed: ValueError at test_reasons\.py:\d+ in expire_due, "
        r"called at cleanup_worker\.py:\d+ in run_once",
        said,
    ), said
    assert SECRET not in caplog.text
