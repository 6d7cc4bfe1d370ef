"""How often the firewall's rules are looked at; the rules themselves: test_firewall.py."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from engines.cre import guard as module
from engines.cre.firewall import Firewall
from engines.cre.guard import LOOK_SECONDS, FirewallGuard


class Counting(Firewall):
    """Rules that somebody may flush."""

    def __init__(self) -> None:
        super().__init__()
        self.there = False
        self.looks = 0

    def applied(self) -> bool:
        self.looks += 1
        return self.there

    def apply(self) -> None:
        self.there = True


def test_a_start_puts_back_what_was_flushed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "sees_bridged", lambda: True)
    monkeypatch.setattr(module, "INTERFACES", tmp_path)
    (tmp_path / "wrc-0").mkdir()
    rules = Counting()
    guard = FirewallGuard("engine", firewall=rules)
    for _ in range(3):
        guard.ensure("wrc-0")
    assert (rules.there, rules.looks) == (True, 1)
    rules.there = False
    now[0] += LOOK_SECONDS
    guard.ensure("wrc-0")
    assert (rules.there, rules.looks) == (True, 2)


@pytest.mark.parametrize(
    ("mode", "docker_host", "interface", "looks"),
    [
        ("engine", "", "wrc-0", 1),
        ("engine", "", "eth0", 0),
        ("engine", "ssh://root@elsewhere", "wrc-0", 0),
        ("operator", "", "wrc-0", 0),
        ("none", "", "wrc-0", 0),
    ],
)
def test_a_round_puts_back_what_was_flushed_where_that_is_ours_to_do(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    mode: str,
    docker_host: str,
    interface: str,
    looks: int,
) -> None:
    monkeypatch.setattr(module, "sees_bridged", lambda: True)
    monkeypatch.setattr(module, "INTERFACES", tmp_path)
    (tmp_path / interface).mkdir()
    rules = Counting()
    guard = FirewallGuard(mode, docker_host, rules)
    guard.refresh()
    assert (rules.there, rules.looks) == (bool(looks), looks)
    assert guard.keeps is (mode != "none")


def test_that_nobody_keeps_instances_in_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    guard = FirewallGuard("none")
    for _ in range(3):
        guard.ensure("wrc-0")
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("CRE_FIREWALL=none:")
