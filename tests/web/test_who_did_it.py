"""What an admin does to a player's instance stands in the audit log under the admin's id."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from support.web_site import ADMIN, BY_NAME, Site, site_app, site_of

from conformance.harness import Options
from conformance.harnesses.cre import MemoryHarness
from conformance.harnesses.hybrid import HybridHarness
from conformance.harnesses.whale import FakeWhaleHarness
from engines.contract import ActionResult
from engines.front import AuditedBackend
from engines.web import DatabaseOverview

MATE = BY_NAME["mate"]
TIMEOUT_SECONDS = 30
BACKENDS = {"cre": MemoryHarness, "whale": FakeWhaleHarness, "hybrid": HybridHarness}
BY_ADA = {"actor": ADMIN.user_id, "actor_name": ADMIN.name}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[AuditedBackend]:
    """Each backend; the hybrid one has challenge 1 on Whale and challenge 2 on the engine."""
    harness = BACKENDS[request.param]()
    harness.open()
    world = harness.world(Options())
    assert isinstance(world.backend, AuditedBackend)
    yield world.backend
    world.close()
    harness.close()


@pytest.fixture
def site(backend: AuditedBackend) -> Iterator[Site]:
    overview = DatabaseOverview(backend.audit._database, backend.clock)
    with site_of(site_app(lambda: backend, overview=overview)) as served:
        yield served


def history(site: Site) -> list[tuple[str, dict[str, Any]]]:
    """What was done and by whom, oldest first, as the endpoint for admins shows it."""
    events = site.get("admin", "admin/history").body["data"]["events"]
    assert {event["user_id"] for event in events} == {MATE.user_id}, "whose instance it was"
    return [(event["action"], actor(event["metadata"])) for event in reversed(events)]


def actor(metadata: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if key.startswith("actor")}


@pytest.mark.parametrize("challenge", [1, 2])
def test_the_history_says_which_admin_it_was(site: Site, challenge: int) -> None:
    own = {"challenge_id": challenge}
    order = {**own, "user_id": MATE.user_id, "team_id": MATE.team_id}

    site.post("mate", "start", own)
    site.post("mate", "extend", own)
    site.post("admin", "admin/extend", order)
    site.post("nameless", "admin/stop", order)
    site.post("admin", "admin/stop", order)
    site.post("mate", "stop", own)

    assert history(site) == [
        ("started", {}),
        ("extended", {}),
        ("extended", BY_ADA),
        ("stopped", {"actor": 14}),
        ("stop_failed", BY_ADA),
        ("stop_failed", {}),
    ]


def test_calls_at_the_same_time_are_told_apart(
    backend: AuditedBackend, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, together = backend.stop_instance, Barrier(3, timeout=TIMEOUT_SECONDS)

    def stop(user_id: int, challenge_id: int, team_id: int | None = None) -> ActionResult:
        together.wait()  # all three are inside their calls
        result = real(user_id, challenge_id, team_id)
        together.wait()
        return result

    monkeypatch.setattr(backend, "stop_instance", stop)
    with ThreadPoolExecutor(3) as pool:
        asked = [
            pool.submit(site.post, "bob", "stop", {"challenge_id": 1}),
            pool.submit(site.post, "admin", "admin/stop", {"challenge_id": 1, "user_id": 11}),
            pool.submit(site.post, "nameless", "admin/stop", {"challenge_id": 1, "user_id": 22}),
        ]
        assert [each.result().status for each in asked] == [404, 404, 404]

    told = {event.user_id: actor(dict(event.metadata)) for event in backend.audit.events()}
    assert told == {12: {}, 11: BY_ADA, 22: {"actor": 14}}
