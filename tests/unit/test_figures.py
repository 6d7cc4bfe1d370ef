"""Figures: what the times of a benchmark come to."""

from __future__ import annotations

import pytest

from benchmarks.figures import Bar, Figure, Times, in_turns, ratio, table


def times(*milliseconds: float) -> Times:
    found = Times()
    for millisecond in milliseconds:
        found.add("x", millisecond)
    return found


def test_the_median_and_the_ninety_ninth() -> None:
    found = times(*range(100, 0, -1))
    assert found.p50("x") == 50.5
    assert found.p99("x") == 99
    assert times(3, 9, 1).p99("x") == 9
    assert times().p50("x") is None
    assert times().p99("x") is None


def test_what_raises_is_not_measured() -> None:
    found = Times()

    def fails() -> None:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - ours, raised above
        found.measure("x", fails)
    assert found.count("x") == 0
    assert found.measure("x", lambda: 5) == 5
    assert found.count("x") == 1


def test_kinds_take_turns() -> None:
    assert "".join(in_turns(2, ("A", "B"))) == "ABBAABBA"


def test_a_ratio_of_what_was_not_measured_is_none() -> None:
    assert ratio(3.0, 2.0) == 1.5
    assert ratio(None, 2.0) is None
    assert ratio(3.0, None) is None


@pytest.mark.parametrize(
    ("value", "bar", "ok"),
    [
        (1.1, Bar(1.1), True),
        (1.11, Bar(1.1), False),
        (10.0, Bar(10, at_least=True), True),
        (9.9, Bar(10, at_least=True), False),
        (0, Bar(0), True),
        (None, Bar(1.1), False),
    ],
)
def test_a_figure_is_ok_when_it_keeps_its_bar(value: float | None, bar: Bar, ok: bool) -> None:
    figure = Figure("start", "", value, bar, {})
    assert figure.ok is ok
    assert figure.as_json()["ok"] is ok
    assert table([figure]).endswith("  ok" if ok else "  NOT OK")
    assert ("not measured" in table([figure])) is (value is None)
