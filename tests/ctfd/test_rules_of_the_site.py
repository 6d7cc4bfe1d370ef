"""What CTFd lets its players do holds for containers too; asked over HTTP as scripts do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from ctfd.site import Site, Visitor
from engines.settings import Settings

START = "/api/v1/container/start"
LIMIT = Settings().calls_per_minute


@pytest.fixture
def player(teams_site: Site) -> Iterator[Visitor]:
    """A player with a team."""
    name = f"p{time.time_ns()}"
    teams_site.team(f"t{name}", teams_site.player(name))
    yield teams_site.visitor(name)
    teams_site.config(start="", end="", paused=False, verify_emails=False, view_after_ctf=False)


@pytest.fixture
def challenge(teams_site: Site) -> Callable[..., int]:
    def made(**more: object) -> int:
        return teams_site.challenge(f"c{time.time_ns()}", container_image="simulated", **more)

    return made


def history(site: Site) -> list[dict[str, object]]:
    answer = site.admin.json("GET", "/api/v1/container/admin/history?limit=200")
    return list(answer["data"]["events"])


def code(visitor: Visitor, challenge_id: int, path: str = START) -> str:
    return str(visitor.json("POST", path, {"challenge_id": challenge_id})["code"])


@pytest.mark.parametrize("state", ["hidden", "locked"])
def test_what_is_not_shown_is_not_there(
    player: Visitor, challenge: Callable[..., int], state: str
) -> None:
    assert code(player, challenge(state=state)) == "challenge_unavailable"


@pytest.mark.parametrize("what", ["start", "extend", "stop", "status"])
def test_ids_a_player_sees_no_challenge_of_leave_nothing(
    teams_site: Site, player: Visitor, challenge: Callable[..., int], what: str
) -> None:
    before = history(teams_site)
    for number in (challenge(state="hidden"), 10**9, 10**9 + 1, 2**63 - 1):
        if what == "status":
            answer = player.json("GET", f"/api/v1/container/status?challenge_id={number}")
        else:
            answer = player.json("POST", f"/api/v1/container/{what}", {"challenge_id": number})
        assert answer["code"] == "challenge_unavailable"
    assert history(teams_site) == before


def test_what_runs_is_seen_and_stopped_also_when_it_is_hidden_meanwhile(
    teams_site: Site, player: Visitor, challenge: Callable[..., int]
) -> None:
    number = challenge()
    assert code(player, number) == "ok"
    teams_site.change(number, state="hidden")
    assert player.json("GET", f"/api/v1/container/status?id={number}")["data"]["active"]
    assert code(player, number, "/api/v1/container/stop") == "ok"
    assert code(player, number, "/api/v1/container/stop") == "challenge_unavailable"


def test_who_calls_too_often_has_to_wait(
    teams_site: Site, player: Visitor, challenge: Callable[..., int]
) -> None:
    number, before = challenge(), history(teams_site)
    stop = {"challenge_id": number}
    answers = [player.ask("POST", "/api/v1/container/stop", stop) for _ in range(LIMIT + 5)]
    assert [answer.status_code for answer in answers] == [404] * LIMIT + [429] * 5
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert answers[-1].json()["code"] == "rate_limited"
    assert [row["times"] for row in history(teams_site)[: -len(before) or None]] == [LIMIT]


def test_other_types_are_not_there(teams_site: Site, player: Visitor) -> None:
    answer = teams_site.admin.json(
        "POST",
        "/api/v1/challenges",
        {"name": "plain", "category": "x", "value": 1, "state": "visible", "type": "standard"},
    )
    assert code(player, answer["data"]["id"]) == "challenge_unavailable"


def test_the_contests_hours(
    teams_site: Site, player: Visitor, challenge: Callable[..., int]
) -> None:
    number, now = challenge(), int(time.time())
    assert code(player, number) == "ok"
    for closed in ({"start": now + 3600}, {"start": "", "paused": True}):
        teams_site.config(**closed)
        assert code(player, number, "/api/v1/container/extend") == "contest_closed"
    teams_site.config(paused=False, end=now - 60)
    assert code(player, number) == "contest_closed"
    # What runs is still seen and stopped.
    assert player.json("GET", f"/api/v1/container/status?id={number}")["data"]["active"]
    assert code(player, number, "/api/v1/container/stop") == "ok"
    teams_site.config(view_after_ctf=True)
    assert code(player, number) == "ok"
    assert code(player, number, "/api/v1/container/stop") == "ok"


def test_nothing_lives_beyond_the_contest(
    teams_site: Site, player: Visitor, challenge: Callable[..., int]
) -> None:
    number = challenge()
    teams_site.config(end=int(time.time()) + 120)
    answer = player.json("POST", START, {"challenge_id": number})
    assert answer["data"]["remaining_seconds"] <= 120
    assert code(player, number, "/api/v1/container/stop") == "ok"


@pytest.mark.parametrize(
    ("anonymize", "expected"), [(None, "challenge_unavailable"), (True, "forbidden")]
)
def test_prerequisites(
    teams_site: Site,
    player: Visitor,
    challenge: Callable[..., int],
    anonymize: bool | None,
    expected: str,
) -> None:
    first, second = challenge(), challenge()
    needs = {"prerequisites": [first], "anonymize": anonymize}
    teams_site.change(second, requirements=needs)
    assert code(player, second) == expected
    teams_site.admin.json(
        "POST", "/api/v1/flags", {"challenge_id": first, "content": "yes", "type": "static"}
    )
    solved = player.json(
        "POST", "/api/v1/challenges/attempt", {"challenge_id": first, "submission": "yes"}
    )
    assert solved["data"]["status"] == "correct"
    assert code(player, second) == "ok"
    assert code(player, second, "/api/v1/container/stop") == "ok"


def test_an_unconfirmed_address(teams_site: Site, challenge: Callable[..., int]) -> None:
    name = f"u{time.time_ns()}"
    teams_site.team(f"t{name}", teams_site.player(name, verified=False))
    visitor, number = teams_site.visitor(name), challenge()
    teams_site.config(verify_emails=True)
    try:
        assert code(visitor, number) == "forbidden"
    finally:
        teams_site.config(verify_emails=False)


def test_a_nonce_is_asked_for_and_a_token_needs_none(
    player: Visitor, challenge: Callable[..., int]
) -> None:
    number = challenge()
    body = {"challenge_id": number}
    answer = player.ask("POST", START, body, **{"CSRF-Token": "wrong"})
    assert (answer.status_code, answer.json()["success"]) == (403, False)
    made = player.json("POST", "/api/v1/tokens", {"description": "script"})
    script = Visitor(player.url)
    token = {"Authorization": f"Token {made['data']['value']}"}
    assert script.json("POST", START, body, **token)["code"] == "ok"
    forged = player.ask("POST", START, body, **{"CSRF-Token": "", "Authorization": "Token x"})
    assert forged.status_code == 401
    assert code(player, number, "/api/v1/container/stop") == "ok"


def test_a_banned_player_with_a_token(teams_site: Site, challenge: Callable[..., int]) -> None:
    name = f"b{time.time_ns()}"
    user = teams_site.player(name)
    teams_site.team(f"t{name}", user)
    made = teams_site.visitor(name).json("POST", "/api/v1/tokens", {"description": "script"})
    teams_site.admin.json("PATCH", f"/api/v1/users/{user}", {"banned": True})
    token = {"Authorization": f"Token {made['data']['value']}"}
    answer = Visitor(teams_site.url).json("POST", START, {"challenge_id": challenge()}, **token)
    assert answer["code"] == "forbidden"


def test_pages_and_lists_are_for_admins(player: Visitor) -> None:
    for page in ("instances", "history", "settings", "rollout"):
        assert "/login" in player.get(f"/plugins/whale_ready/admin/{page}").url
    answer = player.ask("GET", "/api/v1/container/admin/instances")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_an_admins_form_needs_the_nonce(teams_site: Site) -> None:
    answer = teams_site.admin.session.post(
        f"{teams_site.url}/plugins/whale_ready/admin/rollout", data={"action": "pause"}, timeout=60
    )
    assert answer.status_code == 403


def test_deleting_a_challenge_stops_what_runs_of_it(
    teams_site: Site, player: Visitor, challenge: Callable[..., int]
) -> None:
    number = challenge()
    assert code(player, number) == "ok"
    assert teams_site.admin.json("DELETE", f"/api/v1/challenges/{number}") == {"success": True}
    live = teams_site.admin.json("GET", "/api/v1/container/admin/instances")["data"]["instances"]
    assert number not in [each["challenge_id"] for each in live]


def test_no_player_is_shown_the_image(player: Visitor, challenge: Callable[..., int]) -> None:
    shown = player.get(f"/api/v1/challenges/{challenge()}").text
    assert "simulated" not in shown


def test_nobody_is_told_to_log_in(teams_site: Site, challenge: Callable[..., int]) -> None:
    stranger = Visitor(teams_site.url)
    answer = stranger.ask("GET", f"/api/v1/container/status?challenge_id={challenge()}")
    assert (answer.status_code, answer.json()["code"]) == (401, "login_required")


def test_names_of_other_plugins_are_theirs(users_site: Site) -> None:
    types = users_site.admin.json("GET", "/api/v1/challenges/types")["data"]
    assert {"container", "docker", "whale_ready"} <= set(types)
    assert users_site.admin.json("GET", "/api/v1/container")["data"] == "theirs"
