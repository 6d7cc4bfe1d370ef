"""The adapter in front of a Whale whose frp behaves as the measured 0.37.0.

There, seven rules failed with the adapter as it was: its probe took frps' 404 for the instance.
With the fake in the same manners they fail by name again, and the adapter of today passes them.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable

import pytest

from conformance.harness import Options, World
from conformance.harnesses.whale import FakeWhaleHarness, FakeWhaleWorld
from conformance.registry.backends import Subject
from conformance.report.results import Status
from conformance.run.runner import CheckRequest, check_subjects
from engines.probe import GATEWAY_ERRORS, wait_until
from engines.settings import Settings
from engines.whale import starter as starting
from engines.whale.access import Access

SEVEN = (
    *("START-012", "START-014"),
    *("REACH-001", "REACH-003", "REACH-004", "REACH-007", "REACH-008"),
)
HELD_OPEN_SECONDS = 0.15
READY_SECONDS = 5.0
"""Longer than the slowest instance boots, and a dead one is looked at twice."""
SECONDS_PER_SCENARIO = 60.0


class BehindFrp(FakeWhaleHarness):
    """``whale:fake``, with the manners of frp 0.37."""

    frp = "0.37"

    def world(self, options: Options) -> World:
        assert self._whale is not None
        return PatientWorld(self._whale, options, self.database())


class PatientWorld(FakeWhaleWorld):
    """Instances take as long as they do there."""

    ready_seconds = READY_SECONDS


def credulous(access: Access, _uuid: str, settings: Settings) -> bool:
    """The probe as it was: a 404 is frps' where its Server header says so, and a connection that
    is silent for 0.15 s has a server behind it."""

    def by_name(timeout: float) -> bool:
        gateway = (settings.whale_probe_gateway or "").removeprefix("http://")
        connection = http.client.HTTPConnection(gateway, timeout=timeout)
        try:
            connection.request("GET", "/", headers={"Host": f"{access.host}:{access.port}"})
            answer = connection.getresponse()
            frps = (answer.getheader("Server") or "").lower().startswith("frp/")
            return answer.status not in GATEWAY_ERRORS and not (frps and answer.status == 404)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def by_port(timeout: float) -> bool:
        try:
            with socket.create_connection((access.host, access.port), timeout) as connection:
                connection.settimeout(min(HELD_OPEN_SECONDS, timeout))
                try:
                    return connection.recv(1) != b""
                except TimeoutError:
                    return True
        except OSError:
            return False

    looks: Callable[[float], bool] = by_name if access.scheme == "http" else by_port
    return wait_until(looks, settings.whale_ready_seconds)


def statuses(*rules: str) -> dict[str, Status]:
    """What the suite says of these rules, in front of such an frp."""
    request = CheckRequest(select=rules, seconds_per_scenario=SECONDS_PER_SCENARIO)
    report = check_subjects([Subject("whale:frp", BehindFrp())], request)
    return {result.rule: result.status for result in report.results}


def test_the_probe_as_it_was_fails_the_seven_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "instance_answers", credulous)
    assert statuses(*SEVEN) == dict.fromkeys(SEVEN, Status.FAIL)


def test_the_adapter_passes_them() -> None:
    assert statuses(*SEVEN, "REACH-009") == dict.fromkeys((*SEVEN, "REACH-009"), Status.PASS)
