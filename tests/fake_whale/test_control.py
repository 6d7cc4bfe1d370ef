"""The control surface under ``/_fake/``, the pytest fixtures, and bad input to the fake itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from fake_whale import (
    FakeServer,
    FakeWhale,
    FakeWhaleError,
    SystemEpochClock,
    VirtualEpochClock,
    WhaleWorld,
)
from fake_whale.testing import WhalePlayer
from fake_whale.web.control import TOKEN_HEADER, ControlRule

EVERYWHERE = "0.0.0.0"  # noqa: S104  # the case in question
Players = Callable[[str], WhalePlayer]
Control = Callable[..., requests.Response]


@pytest.fixture
def control(server: FakeServer) -> Control:
    """``control("POST", "reset")``"""

    def ask(method: str, path: str, body: Any = None) -> requests.Response:
        return requests.request(method, f"{server.url}/_fake/{path}", json=body, timeout=10)

    return ask


def test_health(control: Control) -> None:
    health = control("GET", "health").json()
    assert (health["status"], health["clock"]) == ("ok", "virtual")
    assert (health["dialect"], health["isolation"]) == ("ctfd-whale", "repeatable-read")


def test_the_clock_moves_and_the_cleaner_with_it(control: Control, player: Players) -> None:
    began = control("GET", "health").json()["now"]
    player("alice").post()
    assert control("POST", "clock/advance", {"seconds": 12.5}).json() == {"now": began + 12.5}
    control("POST", "clock/advance", {"seconds": 3600})
    assert control("GET", "state").json()["records"] == []


def test_a_real_clock_cannot_be_moved(world: WhaleWorld) -> None:
    with FakeWhale(world, clock=SystemEpochClock()) as fake, fake.serve() as server:
        answer = requests.post(f"{server.url}/_fake/clock/advance", json={"seconds": 1}, timeout=10)
    assert answer.status_code == 409
    assert "--clock virtual" in answer.json()["error"]


def test_settings_by_their_real_names(control: Control, player: Players) -> None:
    assert control("PATCH", "config", {"docker_timeout": 60}).json()["docker_timeout"] == "60"
    player("alice").post()
    assert player("alice").get().json()["data"]["remaining_time"] == 60


def test_faults_come_and_go(control: Control) -> None:
    placed = control("PUT", "faults", {"faults": [{"kind": "docker_hung", "user": "bob"}]}).json()
    assert placed["faults"][0]["fired"] == 0
    assert control("POST", "faults", {"kind": "html"}).status_code == 201
    assert len(control("GET", "faults").json()["faults"]) == 2
    assert control("DELETE", "faults").json() == {"faults": []}


def test_state_shows_orphans(control: Control, player: Players) -> None:
    player("alice").post()
    control("PUT", "faults", {"faults": [{"kind": "docker_refused"}]})
    player("alice").post()
    state = control("GET", "state").json()
    assert [service["orphan"] for service in state["services"]] == [True]


def test_reset_forgets_everything(control: Control, player: Players) -> None:
    player("alice").post()
    control("PATCH", "config", {"docker_timeout": 60})
    control("POST", "faults", {"kind": "html"})
    assert control("POST", "reset").json() == {"reset": True}
    assert control("GET", "state").json()["records"] == []
    assert control("GET", "faults").json() == {"faults": []}
    assert control("GET", "config").json()["docker_timeout"] == "3600"


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("POST", "clock/advance", {"seconds": "soon"}, "seconds: must be a number"),
        ("POST", "clock/advance", {"seconds": -1}, "seconds: must be between 0"),
        ("PATCH", "config", {"docker_timeuot": 1}, "did you mean 'docker_timeout'"),
        ("PATCH", "config", {"docker_timeout": [1]}, "docker_timeout: must be text"),
        ("PUT", "faults", {}, "faults: must be a list"),
        ("PUT", "faults", {"faults": [{"kind": "x"}]}, r"faults[0].kind: 'x' is not one of"),
    ],
)
def test_bad_control_requests(
    control: Control, method: str, path: str, body: Any, message: str
) -> None:
    answer = control(method, path, body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_only_json_is_taken(server: FakeServer) -> None:
    answer = requests.post(f"{server.url}/_fake/faults", data="kind=html", timeout=10)
    assert answer.status_code == 415


ROUTES = [
    *(("GET", path, None) for path in ("", "health", "state", "config", "journal", "faults")),
    ("GET", "openapi.json", None),
    ("POST", "reset", None),
    ("PATCH", "config", {"docker_timeout": 60}),
    ("POST", "clock/advance", {"seconds": 1}),
    ("POST", "faults", {"kind": "html"}),
    ("PUT", "faults", {"faults": [{"kind": "html"}]}),
    ("DELETE", "faults", None),
]
"""Every route of the surface."""
FOREIGN = {
    "a form of another site": {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    "a browser without Sec-Fetch": {"Origin": "https://evil.example"},
    "a sandboxed page": {"Origin": "null"},
    "another port of this host": {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
    "a picture of another site": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"},
    "a frame of another site": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"},
    "a rebound name": {"Host": "evil.example", "Sec-Fetch-Site": "same-origin"},
    "a rebound name with our port": {"Host": "127.0.0.1.evil.example:80"},
    "no name": {"Host": "[::1"},
}


def test_every_route_is_listed(server: FakeServer, fake: FakeWhale) -> None:
    there = {
        (method, rule.rule.removeprefix("/_fake/"))
        for rule in fake.app.url_map.iter_rules()
        if rule.rule.startswith("/_fake/")
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}
    }
    assert there == {(method, path) for method, path, _ in ROUTES}


@pytest.mark.parametrize("who", FOREIGN)
@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_pages_of_other_sites_change_and_read_nothing(
    fake: FakeWhale, server: FakeServer, method: str, path: str, body: Any, who: str
) -> None:
    before = snapshot(fake)
    url = f"{server.url}/_fake/{path}"
    answer = requests.request(method, url, json=body, headers=FOREIGN[who], timeout=10)
    assert answer.status_code in (400, 403)
    assert snapshot(fake) == before


@pytest.mark.parametrize("who", FOREIGN)
def test_nor_does_an_empty_post_by_a_link_or_form(
    fake: FakeWhale, server: FakeServer, player: Players, who: str
) -> None:
    player("alice").post()
    headers = {**FOREIGN[who], "Content-Type": "application/x-www-form-urlencoded"}
    answer = requests.post(f"{server.url}/_fake/reset", headers=headers, timeout=10)
    assert answer.status_code in (400, 403)
    assert fake.state()["records"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"},
        {"Host": "localhost:1"},
        {"Host": "[::1]"},
    ],
    ids=["curl", "typed", "a link", "localhost", "IPv6"],
)
def test_somebody_on_this_machine_reads(server: FakeServer, headers: dict[str, str]) -> None:
    answer = requests.get(f"{server.url}/_fake/", headers=headers, timeout=10)
    assert answer.status_code == 200


def test_its_own_page_changes_what_it_likes(server: FakeServer) -> None:
    own = {"Origin": server.url, "Sec-Fetch-Site": "same-origin"}
    answer = requests.post(f"{server.url}/_fake/reset", headers=own, timeout=10)
    assert answer.json() == {"reset": True}


def test_a_link_changes_nothing(fake: FakeWhale, server: FakeServer) -> None:
    """No GET has an effect, so that a link may be followed from anywhere."""
    before = snapshot(fake)
    for method, path, _ in ROUTES:
        if method == "GET":
            headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
            requests.get(f"{server.url}/_fake/{path}", headers=headers, timeout=10)
    assert snapshot(fake) == before


def test_with_the_token_any_name_will_do(world: WhaleWorld) -> None:
    with FakeWhale(world) as fake, fake.serve(control_token="s3cret") as server:
        url, named = f"{server.url}/_fake/reset", {"Host": "whale.example"}
        assert requests.post(url, headers=named, timeout=10).status_code == 401
        shown = {**named, TOKEN_HEADER: "s3cret"}
        assert requests.post(url, headers=shown, timeout=10).status_code == 200


def snapshot(fake: FakeWhale) -> str:
    faults, settings = fake.machine.faults.listing(), fake.machine.settings.stored()
    return json.dumps([fake.state(), faults, settings, fake.clock.time()], default=str)


@pytest.mark.parametrize(
    ("host", "token", "enabled"),
    [
        ("127.0.0.1", None, True),
        ("127.8.0.1", None, True),
        ("::1", None, True),
        (EVERYWHERE, None, False),
        ("192.0.2.1", None, False),
        (EVERYWHERE, "s3cret", True),
    ],
)
def test_who_may_control(host: str, token: str | None, enabled: bool) -> None:
    rule = ControlRule.for_host(host, token)
    assert rule.enabled is enabled
    assert "s3cret" not in repr(rule)


def test_control_is_off_beyond_loopback(world: WhaleWorld) -> None:
    with FakeWhale(world, clock=VirtualEpochClock()) as fake, fake.serve(EVERYWHERE) as server:
        url = f"http://127.0.0.1:{server.port}"
        answer = requests.get(f"{url}/_fake/state", timeout=10)
        assert answer.status_code == 403
        assert "--control-token" in answer.json()["error"]
        assert requests.get(f"{url}/healthcheck", timeout=10).status_code == 200


def test_serving_on_loopback_too_does_not_open_it(world: WhaleWorld) -> None:
    with (
        FakeWhale(world, clock=VirtualEpochClock()) as fake,
        fake.serve(EVERYWHERE),
        fake.serve() as inner,
    ):
        assert requests.get(f"{inner.url}/_fake/state", timeout=10).status_code == 403


def test_a_control_token_is_asked_for(world: WhaleWorld) -> None:
    with (
        FakeWhale(world, clock=VirtualEpochClock()) as fake,
        fake.serve(control_token="s3cret") as server,
    ):
        url = f"{server.url}/_fake/state"
        assert requests.get(url, timeout=10).status_code == 401
        right = requests.get(url, headers={TOKEN_HEADER: "s3cret"}, timeout=10)
        assert right.status_code == 200
        assert requests.get(f"{url}?token=s3cret", timeout=10).status_code == 200


WORLD: dict[str, Any] = {
    "users": [{"id": 1, "name": "a"}],
    "challenges": [{"id": 1, "name": "c"}],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"users": [{"name": "a"}]}, r"users\[0\].id: missing"),
        ({"users": [{"id": "1", "name": "a"}]}, r"users\[0\].id: must be `int`, not `str`"),
        ({"users": [{"id": 0, "name": "a"}]}, r"users\[0\].id: must be `int` >= 1"),
        (
            {"users": [{"id": 1, "name": "a", "pasword": ""}]},
            r"users\[0\].pasword: unknown; did you mean 'password'",
        ),
        ({"users": [{"id": 1, "name": "a", "type": "god"}]}, r"type: 'god' must be user or admin"),
        ({"users": WORLD["users"] * 2}, "users: two of them have the same id"),
        ({"users": [{"id": 1, "name": "a", "team_id": 3}]}, "there is no team 3; add it to teams"),
        ({"config": {"docker_timeuot": "1"}}, "did you mean 'docker_timeout'"),
        ({"user_mode": "herds"}, "user_mode: 'herds' is not one of users, teams"),
        ({"images": [1]}, r"images\[0\]: must be `str`, not `int`"),
        ({"imagse": []}, "world.imagse: unknown; did you mean 'images'"),
    ],
)
def test_a_broken_world_names_the_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FakeWhaleError, match=message):
        WhaleWorld.from_dict({**WORLD, **change})


def test_what_a_challenge_leaves_out_has_whales_defaults() -> None:
    world = WhaleWorld.from_dict(
        {**WORLD, "challenges": [{"id": 1, "name": "c", "cpu_limit": None}]}
    )
    (challenge,) = world.challenges
    assert (challenge.redirect_type, challenge.redirect_port) == ("http", 80)
    assert (challenge.memory_limit, challenge.cpu_limit) == ("128m", None)


def test_a_world_may_hold_more_than_the_fake_reads() -> None:
    world = WhaleWorld.from_dict({**WORLD, "remarks": "x", "config": {"ctf_theme": "core"}})
    assert world.config == {"ctf_theme": "core"}


def test_a_world_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FakeWhaleError, match="No such file"):
        WhaleWorld.from_file(tmp_path / "none.json")
    broken = tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    with pytest.raises(FakeWhaleError, match="not JSON"):
        WhaleWorld.from_file(broken)
    broken.write_text(json.dumps([]), encoding="utf-8")
    with pytest.raises(FakeWhaleError, match="world: must be a JSON object"):
        WhaleWorld.from_file(broken)


def test_a_taken_port_is_a_clear_error(fake: FakeWhale, server: FakeServer) -> None:
    with pytest.raises(FakeWhaleError, match="choose another port"):
        fake.serve(port=server.port)
