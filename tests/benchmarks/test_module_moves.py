"""A call's way through the engine gets no longer than it is."""

from __future__ import annotations

import pytest

from benchmarks.module_moves import measured

# More than these is a step back: change a figure only to lower it, or say why in the commit.
MOST = {"POST start": (104, 30, 4), "GET status": (31, 18, 1)}
"""Moves, modules, transactions."""


@pytest.mark.parametrize("request_name", MOST)
def test_the_way_is_no_longer(request_name: str) -> None:
    way = measured()[request_name]

    assert way.moves
    moves, modules, transactions = MOST[request_name]
    assert sum(way.moves.values()) <= moves
    assert len(way.modules()) <= modules
    assert way.transactions <= transactions
