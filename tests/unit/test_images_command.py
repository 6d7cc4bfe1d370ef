"""What ``whale-ready images`` says of an engine that manages a swarm."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from whale_ready.commands.images import _manages_a_swarm


@pytest.mark.parametrize(
    ("info", "manages"),
    [
        ({"Swarm": {"LocalNodeState": "active", "ControlAvailable": True}}, True),
        ({"Swarm": {"LocalNodeState": "active", "ControlAvailable": False}}, False),
        ({"Swarm": {"LocalNodeState": "inactive", "ControlAvailable": False}}, False),
        ({}, False),
    ],
)
def test_who_manages_a_swarm(info: dict[str, object], manages: bool) -> None:
    assert _manages_a_swarm(SimpleNamespace(info=lambda: info)) is manages
