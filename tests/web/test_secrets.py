"""No flag, token, cookie or nonce in any answer, whoever asks, and none in the logs."""

from __future__ import annotations

import pytest
from support.web_site import NONCE, Site, site_app, site_of

from conformance.harness import Options
from conformance.harnesses.cre import MemoryWorld
from conformance.harnesses.whale import TOKENS, FakeWhaleHarness, FakeWhaleWorld
from engines.web import DatabaseOverview


def everything(site: Site) -> str:
    """All that the endpoints say in a player's life, to the player and to an admin."""
    order = {"challenge_id": 1, "user_id": 11}
    replies = [
        site.post("alice", "start", {"challenge_id": 1}),
        site.post("alice", "start", {"challenge_id": 1}),
        site.post("alice", "start", {"challenge_id": 2}),
        site.post("alice", "extend", {"challenge_id": 1}),
        site.get("alice", "status?challenge_id=1"),
        site.get("bob", "status?challenge_id=1"),
        site.get("admin", "admin/instances"),
        site.post("admin", "admin/extend", order),
        site.get("admin", "admin/history"),
        site.post("alice", "start", {"challenge_id": NONCE}),
        site.ask("POST", "start", "alice", NONCE, {"Content-Type": "text/plain"}),
        site.get("alice", f"status?challenge_id={NONCE}"),
        site.get("alice", f"{NONCE}"),
    ]
    return "\n".join(f"{reply.headers} {reply.text}" for reply in replies)


def test_the_engines_flags_stay_where_they_are(
    site: Site, cre_world: MemoryWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    said = everything(site)

    flag = cre_world.engine.recorded_flag(11, 1)
    assert flag is not None
    for secret in (flag, NONCE):
        assert secret not in said
        assert secret not in caplog.text


def test_whales_tokens_stay_where_they_are(
    whale: FakeWhaleHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    world = whale.world(Options())
    assert isinstance(world, FakeWhaleWorld)
    overview = DatabaseOverview(world.database, world.manager.clock)
    with site_of(site_app(lambda: world.backend, overview=overview)) as site:
        said = everything(site)
    secrets = {*TOKENS.values(), *world.flags(), NONCE}
    world.close()

    assert len(secrets) > len(TOKENS) + 1, "no flag was made"
    for secret in secrets:
        assert secret not in said
        assert secret not in caplog.text
