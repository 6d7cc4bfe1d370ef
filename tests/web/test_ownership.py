"""Whose instance it is comes from the login: nothing that is sent changes it, on any backend."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.web_site import ADMIN, ALICE, BOB, Site

from conformance.harness import World

NAMES = (
    "user_id",
    "team_id",
    "account",
    "account_id",
    "userId",
    "user",
    "uid",
    "owner",
    "is_admin",
)
CLAIMS: tuple[Any, ...] = (
    BOB.user_id,
    str(BOB.user_id),
    float(BOB.user_id),
    [BOB.user_id],
    {"id": BOB.user_id},
    True,
    None,
    ADMIN.user_id,
    f"user:{BOB.user_id}",
)
CLAIM_HEADERS = (
    *("X-User-Id", "X-Forwarded-User", "Remote-User", "X-Remote-User", "X-Original-Url", "From"),
    *("X-Rewrite-Url", "X-Http-Method-Override", "X-Team-Id"),
)


def live(world: World, user_id: int) -> str | None:
    status = world.backend.get_instance_status(user_id, 1)
    return None if status is None else status["container_id"]


@pytest.mark.parametrize("claim", CLAIMS, ids=repr)
def test_a_player_acts_on_nobody_elses_instance(
    any_site: Site, any_world: World, claim: Any
) -> None:
    # Given an instance of Bob's
    assert any_site.post("bob", "start", {"challenge_id": 1}).status == 201
    before = any_world.backend.get_instance_status(BOB.user_id, 1)
    body = {"challenge_id": 1, **dict.fromkeys(NAMES, claim)}
    query = "&".join(f"{name}={claim}" for name in NAMES).replace(" ", "%20")
    headers = {name: str(claim) for name in CLAIM_HEADERS}

    # When Alice claims to be Bob in every way there is
    stopped = any_site.post("alice", f"stop?{query}", body, headers)
    extended = any_site.post("alice", f"extend?{query}", body, headers)
    seen = any_site.get("alice", f"status?challenge_id=1&{query}", **headers)
    started = any_site.post("alice", f"start?{query}", body, headers)

    # Then she is answered for herself, and Bob's is as it was
    assert (stopped.status, extended.status) == (404, 404)
    assert seen.body["data"] is None
    assert started.status == 201
    assert started.body["data"]["container_id"] == live(any_world, ALICE.user_id)
    assert any_world.backend.get_instance_status(BOB.user_id, 1) == before


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # no example changes anything
)
@given(
    members=st.dictionaries(
        st.sampled_from([*NAMES, "id", "chal_id", "challenge_id", "x"]),
        st.one_of(st.integers(1, 30), st.text(max_size=5), st.booleans(), st.none()),
    ),
    action=st.sampled_from(["stop", "extend", "admin/stop", "admin/extend"]),
)
def test_whatever_is_sent_a_stranger_changes_nothing(
    site: Site, members: dict[str, Any], action: str
) -> None:
    site.post("bob", "start", {"challenge_id": 1})
    before = site.get("bob", "status?challenge_id=1").body["data"]

    reply = site.post("alice", action, members)

    assert reply.status in (400, 403, 404)
    assert site.get("bob", "status?challenge_id=1").body["data"] == before


def test_mates_share_and_leave_together(any_site: Site) -> None:
    assert any_site.post("mate", "start", {"challenge_id": 1}).status == 201
    shared = any_site.get("mate2", "status?challenge_id=1").body["data"]
    assert shared == any_site.get("mate", "status?challenge_id=1").body["data"]
    assert any_site.post("mate2", "stop", {"challenge_id": 1}).status == 200
    assert any_site.get("mate", "status?challenge_id=1").body["data"] is None
