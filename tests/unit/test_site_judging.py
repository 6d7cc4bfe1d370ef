"""What a submission is compared with; CTFd compares, so its classes are not needed.

Sources: CTFd/CTFd#2756, CTFd/CTFd#1109, ctfer-io/ctfd-chall-manager#211.
"""

from __future__ import annotations

import pytest

from engines.ctfd.held_flags import ALL, CONTAINERS_PART, HeldFlags, containers_part, nothing_runs
from engines.state.given_flags import digest

NOW, LATELY, LONG_AGO = "flag{now}", "flag{lately}", "flag{long-ago}"
GIVEN = frozenset(map(digest, (NOW, LATELY, LONG_AGO)))
NONE = HeldFlags((), frozenset())


def contents(held: HeldFlags, provided: list[str], logic: str) -> list[str]:
    parts = containers_part(held, provided, logic)
    assert {(part.id, part.type) for part in parts} <= {(CONTAINERS_PART, "static")}
    return [part.content for part in parts]


@pytest.mark.parametrize("logic", ["any", "team"])
def test_each_flag_that_counts_is_right_by_itself(logic: str) -> None:
    held = HeldFlags((NOW, LATELY), GIVEN)
    assert contents(held, [LONG_AGO], logic) == [NOW, LATELY]
    assert contents(NONE, [], logic) == []


def test_where_all_are_asked_for_a_part_is_missing_until_it_was_given() -> None:
    [missing] = contents(NONE, ["part-one"], ALL)
    assert missing != contents(NONE, ["part-one"], ALL)[0]  # by chance alone
    assert len(missing) == 64


def test_a_part_once_given_stays_given() -> None:
    """Its container has been restarted, and its grace time is over."""
    assert contents(HeldFlags((NOW,), GIVEN), ["part-one", LONG_AGO], ALL) == [NOW, LONG_AGO]
    assert contents(HeldFlags((), GIVEN), [LONG_AGO], ALL) == [LONG_AGO]


def test_no_flag_is_shown() -> None:
    assert NOW not in repr(HeldFlags((NOW,), GIVEN))


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (600, "while it runs and for 10 minutes after it"),
        (60, "while it runs and for 1 minute after it"),
        (90, "while it runs and for 90 seconds after it"),
        (0, "while it runs;"),
    ],
)
def test_the_player_reads_how_long_a_flag_counts(seconds: int, told: str) -> None:
    assert told in nothing_runs(seconds)
