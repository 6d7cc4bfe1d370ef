"""Whale's admin API, teams mode, and settings that show in ``user_access``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from email.utils import parsedate_to_datetime

import pytest
import requests

from fake_whale import FakeWhale, Team, UserMode, VirtualEpochClock, WhaleWorld
from fake_whale.testing import WhalePlayer, said, tokens
from fake_whale.whale.visit import FORBIDDEN

ADMIN = "/api/v1/plugins/ctfd-whale/admin/container"
Players = Callable[[str], WhalePlayer]
Ask = Callable[..., requests.Response]


@pytest.fixture
def ask(player: Players) -> Ask:
    """``ask("GET", "page=1")`` by the admin."""
    return lambda method, query="": player("admin").call(method, path=f"{ADMIN}?{query}")


def listing(answer: requests.Response) -> tuple[int, object]:
    body = answer.json()
    return answer.status_code, body["data"] if "data" in body else body["message"]


def test_the_list_works_only_while_it_is_empty(ask: Ask, player: Players) -> None:
    nothing = {"containers": [], "total": 0, "pages": 0, "page_start": 0}
    assert listing(ask("GET")) == (200, nothing)
    assert listing(ask("GET", "page=abc")) == (200, nothing)
    assert listing(ask("GET", "page=-3")) == (200, {**nothing, "page_start": 40})
    broken = (500, "Internal Server Error")
    assert listing(ask("GET", "page=0")) == broken
    assert listing(ask("GET", "per_page=0")) == broken
    for name in ("alice", "bob", "carol"):
        player(name).post()
    assert listing(ask("GET")) == broken
    past = {"containers": [], "total": 3, "pages": 2, "page_start": 4}
    assert listing(ask("GET", "page=3&per_page=2")) == (200, past)


def test_ctfds_settings_are_for_admins(player: Players, world: WhaleWorld) -> None:
    path = "/api/v1/configs?key=whale:docker_timeout"
    (row,) = player("admin").call("GET", path=path).json()["data"]
    assert (row["key"], row["value"]) == ("whale:docker_timeout", world.config["docker_timeout"])
    every = player("admin").call("GET", path="/api/v1/configs").json()["data"]
    assert {"ctf_version", "whale:docker_max_renew_count"} < {each["key"] for each in every}
    assert said(player("alice").call("GET", path=path)) == (403, FORBIDDEN)


def test_answers_tell_the_time_of_whales_own_clock(player: Players, fake: FakeWhale) -> None:
    fake.clock.advance(90)
    answered = parsedate_to_datetime(player("alice").get().headers["Date"])
    assert answered.timestamp() == fake.clock.time()


def test_renewing_has_no_limit(ask: Ask, player: Players, fake: FakeWhale) -> None:
    player("alice").post()
    assert [ask("PATCH", "user_id=2").status_code for _ in range(8)] == [200] * 8
    assert fake.state()["records"][0]["renew_count"] == 8
    for query in ("", "user_id=1", "user_id=99999"):
        assert said(ask("PATCH", query)) == (403, "No such container")
    for query in ("user_id=abc", "user_id="):
        assert ask("PATCH", query).status_code == 500


def test_destroying_always_says_200(ask: Ask, player: Players, fake: FakeWhale) -> None:
    player("alice").post()
    player("bob").post()
    assert ask("DELETE", "user_id=2").json() == {"success": True, "message": "Container destroyed"}
    nothing = {"success": False, "message": "No such container"}
    for query in ("user_id=2", "", "user_id=abc"):
        answer = ask("DELETE", query)
        assert (answer.status_code, answer.json()) == (200, nothing)
    assert ask("DELETE", "user_id=3x").json()["success"] is True
    assert fake.state()["services"] == []


def test_it_is_for_admins(player: Players) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        assert said(player("alice").call(method, path=ADMIN)) == (403, FORBIDDEN)


def test_post_is_not_found(ask: Ask) -> None:
    answer = ask("POST")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/json")


def test_admins_see_hidden_challenges(player: Players) -> None:
    admin = player("admin")
    assert said(admin.post(3)) == (200, "Container created")
    assert said(admin.delete(3)) == (200, "Container destroyed")
    for named in (999, None):
        assert said(admin.get(named)) == (404, "no such challenge")


def change(admin: WhalePlayer, method: str, path: str, **fields: object) -> requests.Response:
    headers = {"Authorization": f"Token {admin.token}", "Content-Type": "application/json"}
    return requests.request(method, admin.url + path, json=fields, headers=headers, timeout=10)


def test_hidden_while_running(player: Players) -> None:
    alice = player("alice")
    alice.post(1)
    change(player("admin"), "PATCH", "/api/v1/challenges/1", state="hidden")
    for answer in (alice.get(1), alice.patch(1), alice.post(1)):
        assert said(answer) == (403, "challenge not visible")
    assert said(alice.delete(1)) == (200, "Container destroyed")


def test_deleting_a_challenge_removes_its_containers(player: Players, fake: FakeWhale) -> None:
    player("alice").post(1)
    player("bob").post(2)
    assert change(player("admin"), "DELETE", "/api/v1/challenges/1").status_code == 200
    assert [service["user_id"] for service in fake.state()["services"]] == [3]


def test_deleting_a_user_who_has_one_fails(player: Players) -> None:
    player("alice").post(1)
    assert change(player("admin"), "DELETE", "/api/v1/users/2").status_code == 500
    assert change(player("admin"), "DELETE", "/api/v1/users/3").status_code == 200


def test_a_solve_keeps_the_container(player: Players, fake: FakeWhale) -> None:
    alice = player("alice")
    alice.post(1)
    flag = fake.state()["records"][0]["flag"]
    path = "/api/v1/challenges/attempt"
    verdicts = [
        change(who, "POST", path, challenge_id=1, submission=flag).json()["data"]["message"]
        for who in (alice, player("bob"))
    ]
    assert verdicts == ["Correct", "Please solve it during the container is running"]
    assert len(fake.state()["services"]) == 1


def test_team_mates_have_a_container_each(world: WhaleWorld) -> None:
    mates = tuple(
        replace(user, team_id=1) if user.name in ("alice", "bob") else user for user in world.users
    )
    teams = replace(world, users=mates, teams=(Team(1, "whales"),), user_mode=UserMode.TEAMS)
    with FakeWhale(teams, clock=VirtualEpochClock()) as fake, fake.serve() as server:
        alice, bob, loner = (
            WhalePlayer(server.url, tokens(world)[name]) for name in ("alice", "bob", "carol")
        )
        assert [who.post(1).status_code for who in (alice, bob, loner)] == [200] * 3
        flags = [record["flag"] for record in fake.state()["records"]]
        assert len(set(flags)) == 3
        mine = change(
            bob, "POST", "/api/v1/challenges/attempt", challenge_id=1, submission=flags[0]
        )
        assert mine.json()["data"]["message"] == "Incorrect"


@pytest.mark.parametrize(
    ("settings", "challenge", "shown"),
    [
        ({"frp_http_port": "80"}, 1, "http://{uuid}.127.0.0.1.nip.io:80/"),
        ({"frp_http_port": ""}, 1, "http://{uuid}.127.0.0.1.nip.io/"),
        ({"frp_http_domain_suffix": ""}, 1, "http://{uuid}.:8080/"),
        (
            {"template_http_subdomain": "{{ container.user_id }}-{{ container.uuid[:8] }}"},
            1,
            "http://2-{short}.127.0.0.1.nip.io:8080/",
        ),
        ({"frp_direct_ip_address": "pwn.example.org"}, 2, "nc pwn.example.org {port}"),
        (
            {"router_type": "trp", "trp_api_url": "http://trp"},
            2,
            'from pwn import *<br>remote("{uuid}.127.0.0.1.nip.io", 1443, ssl=True).interactive()',
        ),
    ],
)
def test_user_access(
    player: Players, fake: FakeWhale, settings: dict[str, str], challenge: int, shown: str
) -> None:
    fake.patch_config(settings)
    alice = player("alice")
    alice.post(challenge)
    (record,) = fake.state()["records"]
    access = alice.get(challenge).json()["data"]["user_access"]
    names = {"uuid": record["uuid"], "short": record["uuid"][:8], "port": record["port"]}
    wanted = shown.format(**names)
    assert access in (wanted, f'<a target="_blank" href="{wanted}">Link to the Challenge</a>')


@pytest.mark.parametrize(
    ("router", "message"),
    [("trp", "unable to access trp Api"), ("nosuch", "Container creation failed")],
)
def test_a_router_that_is_not_there(
    player: Players, fake: FakeWhale, router: str, message: str
) -> None:
    fake.patch_config({"router_type": router})
    assert said(player("alice").post(1)) == (403, message)
