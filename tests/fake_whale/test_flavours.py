"""Each generation and fork of ctfd-whale answers in its own words (docs/whale-wire.md, "Forks …").

What is expected is written out here, from the documents and the forks' sources, and not read off
the flavours' own data.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from fake_whale import (
    FLAVOURS,
    FakeDialect,
    FakeWhale,
    FakeWhaleError,
    Flavour,
    SystemEpochClock,
    Team,
    TransactionIsolation,
    User,
    UserMode,
    VirtualEpochClock,
    WhaleChallenge,
    WhaleWorld,
)
from fake_whale.cli import main
from fake_whale.sessions.actors import Browser
from fake_whale.testing import PATH, WhalePlayer, said, tokens
from fake_whale.whale import cleaner

WORLD = WhaleWorld(
    users=(
        User(1, "root", "root", "t-root", type="admin"),
        User(2, "ann", "ann", "t-ann", team_id=1),
        User(3, "ben", "ben", "t-ben", team_id=1),
        User(4, "cat", "cat", "t-cat"),
    ),
    teams=(Team(1, "pair"),),
    challenges=(
        WhaleChallenge(1, "Web one"),
        WhaleChallenge(2, "Pwn two", category="pwn", redirect_type="direct"),
        WhaleChallenge(3, "Map three", category="Web maps", redirect_type="direct"),
        WhaleChallenge(4, "Broken", redirect_type="nowhere"),
        WhaleChallenge(5, "Plain", type="standard"),
        WhaleChallenge(6, "Bad image", image="NOT/valid"),
    ),
    images=frozenset({"chal:1"}),
    config={"frp_http_domain_suffix": "x.example", "rate_limit_seconds": "1"},
)
OLD = ("frankli0324-2024", "jbnrz", "web1n", "scribblercoder", "htu", "matte23", "radhouen911",
       "om-arora")  # fmt: skip
PER_CHALLENGE = ("scribblercoder", "nusgreyhats", "osama-yusouf", "htu")
DOC = Path(__file__).parents[2] / "docs" / "fake-whale.md"
CREATED, DESTROYED = (200, "Container created"), (200, "Container destroyed")
NOTHING = {"success": True, "data": {}}


class Stage:
    """One fake of a flavour, and its users."""

    def __init__(self, fake: FakeWhale, url: str) -> None:
        self.fake = fake
        self.url = url
        self._tokens = tokens(fake.world)

    def player(self, name: str = "ann") -> WhalePlayer:
        return WhalePlayer(self.url, self._tokens[name])

    def later(self, seconds: float = 11) -> None:
        """A left lock, and a limit of a second, are over."""
        self.fake.clock.advance(seconds)

    def data(self, challenge_id: object, name: str = "ann") -> Any:
        answer = self.player(name).get(challenge_id)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def running(self) -> set[int]:
        return {service["challenge_id"] for service in self.fake.state()["services"]}

    def recorded(self) -> set[int]:
        return {record["challenge_id"] for record in self.fake.state()["records"]}


@contextmanager
def staged(flavour: str | Flavour, world: WhaleWorld = WORLD, **config: str) -> Iterator[Stage]:
    changed = replace(world, config={**world.config, **config})
    fake = FakeWhale(changed, clock=VirtualEpochClock(), flavour=flavour)
    with fake, fake.serve() as server:
        yield Stage(fake, server.url)


@pytest.fixture(params=list(FLAVOURS))
def any_flavour(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with staged(request.param, docker_max_container_per_user="2") as stage:
        yield stage


def test_each_has_the_normal_life(any_flavour: Stage) -> None:
    stage = any_flavour
    assert stage.player().get(1).json() == NOTHING
    assert said(stage.player().post(1)) == CREATED
    stage.later()
    assert stage.data(1)["remaining_time"] == 3589
    assert said(stage.player().patch(1)) == (200, "Container Renewed")
    stage.later(2)
    assert stage.data(1)["remaining_time"] == 3598
    assert said(stage.player().delete(1)) == DESTROYED
    stage.later(2)
    assert stage.player().get(1).json() == NOTHING
    assert stage.fake.state()["services"] == stage.fake.state()["records"] == []
    assert said(stage.player().delete(1)) == (403, "No such container")
    stage.later()
    assert said(stage.player().patch(1)) == (403, "Instance not found.")


def test_each_cleans_up_what_has_expired(any_flavour: Stage) -> None:
    stage = any_flavour
    stage.player().post(1)
    stage.player("ben").post(2)
    stage.later(3620)
    assert stage.fake.state()["services"] == stage.fake.state()["records"] == []


LINK = '<a target="_blank" href="/challenges#web-Web one-1">Web one</a>'
OTHERS = {
    "frankli0324": f"Container already started but not from this challenge ({LINK})",
    "frankli0324-2024": f"Container already started but not from this challenge ({LINK})",
    "radhouen911": f"Container already started but not from this challenge ({LINK})",
    "om-arora": f"Container already started but not from this challenge ({LINK})",
    "jbnrz": "Container started but not from this challenge (Web one)",
    "web1n": "Container started but not from this challenge (Web one)",
}


def test_a_get_while_another_challenges_runs(any_flavour: Stage) -> None:
    stage = any_flavour
    stage.player().post(1)
    stage.later()
    answer = stage.player().get(2)
    name = stage.fake.flavour.name
    if name in OTHERS:
        assert said(answer) == (403, OTHERS[name])
    else:
        assert (answer.status_code, answer.json()) == (200, NOTHING)


def test_a_post_for_another_challenge_replaces_or_adds(any_flavour: Stage) -> None:
    stage = any_flavour
    stage.player().post(1)
    stage.later()
    assert said(stage.player().post(2)) == CREATED
    both = stage.fake.flavour.name in PER_CHALLENGE
    assert stage.running() == ({1, 2} if both else {2})
    stage.later()
    assert said(stage.player().delete(2)) == DESTROYED
    assert stage.running() == ({1} if both else set())
    stage.later()
    assert (said(stage.player().delete(2)) == (403, "No such container")) is True
    assert stage.running() == ({1} if both else set())


SECOND_POST = {
    "nusgreyhats": (200, "Container already exists"),
    "osama-yusouf": (403, "Container for this challenge already exists."),
    "htu": (403, "Container already exists"),
}


def test_a_second_post_for_the_same_challenge(any_flavour: Stage) -> None:
    stage = any_flavour
    stage.player().post(1)
    (first,) = stage.fake.state()["services"]
    stage.later()
    expected = SECOND_POST.get(stage.fake.flavour.name, CREATED)
    assert said(stage.player().post(1)) == expected
    (second,) = stage.fake.state()["services"]
    assert (first["uuid"] == second["uuid"]) is (expected != CREATED)


ACCESS = {
    "frankli0324": ('<a target="_blank" href="{0}">Link to the Challenge</a>', "nc 127.0.0.1 {1}"),
    "jbnrz": ('<a target="_blank" href="{0}">题目链接</a>', "nc 127.0.0.1 {1}"),
    "web1n": ("{0}", "127.0.0.1:{1}"),
    "radhouen911": ("{0}", "nc 127.0.0.1 {1}"),
}


def test_the_forms_of_user_access(any_flavour: Stage) -> None:
    stage = any_flavour
    name = stage.fake.flavour.name
    http, direct = ACCESS.get(name, ACCESS["frankli0324"])
    stage.player().post(1)
    stage.player("ben").post(2)
    stage.player("cat").post(3)
    records = {record["challenge_id"]: record for record in stage.fake.state()["records"]}
    url = f"http://{records[1]['uuid']}.x.example:8080/"
    assert stage.data(1)["user_access"] == http.format(url)
    assert stage.data(2, "ben")["user_access"] == direct.format("", records[2]["port"])
    if name == "osama-yusouf":
        port = records[3]["port"]
        direct = (
            f'<a target="_blank" href="http://127.0.0.1:{port}/">'
            f"Link to the Challenge (Port {port})</a>"
        )
    assert stage.data(3, "cat")["user_access"] == direct.format("", records[3]["port"])


@pytest.mark.parametrize(
    ("flavour", "setting", "shown"),
    [("frankli0324", "80", ":80"), ("frankli0324-2024", "80", ""), ("frankli0324", "", "")],
)
def test_which_http_port_is_left_out(flavour: str, setting: str, shown: str) -> None:
    with staged(flavour, frp_http_port=setting) as stage:
        stage.player().post(1)
        assert f".x.example{shown}/" in stage.data(1)["user_access"]


def test_lan_domain_is_left_out_by_one(any_flavour: Stage) -> None:
    any_flavour.player().post(1)
    left_out = any_flavour.fake.flavour.name == "om-arora"
    assert ("lan_domain" in any_flavour.data(1)) is not left_out


@pytest.mark.parametrize("flavour", list(FLAVOURS))
def test_how_many_a_limit_admits(flavour: str) -> None:
    with staged(flavour, docker_max_container_count="1") as stage:
        assert said(stage.player().post(1)) == CREATED
        newest = flavour == "frankli0324"
        full = (403, "Max container count exceed.")
        assert said(stage.player("ben").post(1)) == (CREATED if newest else full)
        assert said(stage.player("cat").post(1)) == full


def test_a_limit_by_user() -> None:
    with staged("osama-yusouf") as stage:
        assert said(stage.player().post(1)) == CREATED
        stage.later()
        text = "You can only have up to 1 containers running simultaneously."
        for challenge_id in (1, 2):
            assert said(stage.player().post(challenge_id)) == (403, text)
            stage.later()


@pytest.mark.parametrize("flavour", list(FLAVOURS))
def test_docker_failing_at_a_start(flavour: str) -> None:
    with staged(flavour) as stage:
        stage.fake.inject({"kind": "docker_error"})
        answer = stage.player().post(1)
        if flavour == "web1n":
            assert said(answer) == (500, "Internal Server Error")
            assert stage.recorded() == {1}
        else:
            text = "Docker Creation Error" if flavour in OLD else "Container creation failed"
            assert said(answer) == (403, text)
            assert answer.json()["success"] is False
            assert stage.recorded() == set()


@pytest.mark.parametrize("flavour", list(FLAVOURS))
def test_frpc_failing_at_a_start(flavour: str) -> None:
    with staged(flavour) as stage:
        stage.fake.inject({"kind": "frpc_down"})
        answer = stage.player().post(1)
        if flavour == "web1n":
            assert said(answer) == CREATED
        elif flavour in OLD:
            assert (answer.status_code, answer.json()) == (
                500,
                {"message": "Internal Server Error"},
            )
        else:
            assert said(answer) == (403, "Container creation failed")
        kept = {1} if flavour in OLD else set()
        assert stage.running() == stage.recorded() == kept
        stage.fake.lift_faults()
        stage.later()
        if flavour in OLD:  # kept, and shown as if all were well
            assert stage.data(1)["remaining_time"] == 3589


@pytest.mark.parametrize("flavour", ["frankli0324-2024", "scribblercoder"])
def test_one_broken_redirect_type_fails_everybodys_start(flavour: str) -> None:
    with staged(flavour) as stage:
        for name, challenge_id in (("ann", 4), ("ben", 1), ("cat", 2)):
            assert stage.player(name).post(challenge_id).status_code == 500
    with staged("frankli0324") as stage:
        assert said(stage.player().post(4)) == (403, "Container creation failed")
        assert said(stage.player("ben").post(1)) == CREATED


LIMITS = {
    "scribblercoder": (30, "You have been rate-limited, Please wait for 30 seconds."),
    "radhouen911": (10, "Frequency limit, You should wait at least 10 seconds."),
}


@pytest.mark.parametrize("flavour", [name for name in FLAVOURS if name != "nusgreyhats"])
def test_the_limit_of_a_browser(flavour: str) -> None:
    seconds, text = LIMITS.get(flavour, (60, "Frequency limit, You should wait at least 1 min."))
    with staged(flavour) as stage:
        browser = Browser(stage.url, User(2, "ann", "ann"))

        def write(method: str) -> requests.Response:
            headers = {"Content-Type": "application/json", "CSRF-Token": browser.nonce}
            where = f"{stage.url}{PATH}?challenge_id=1"
            return browser.session.request(method, where, headers=headers, timeout=10)

        assert said(write("POST")) == CREATED
        stage.later(seconds - 2)
        assert said(write("DELETE")) == (403, text)
        stage.later(3)
        assert said(write("DELETE")) == (403, "Request Too Fast!")  # the refusal has left its lock
        stage.later()
        assert said(write("DELETE")) == DESTROYED
        assert said(stage.player().post(1)) == CREATED  # a token is free of it


def test_the_limit_by_account_holds_for_tokens_and_tells_what_is_left() -> None:
    with staged("nusgreyhats", rate_limit_seconds="60") as stage:
        assert said(stage.player().post(1)) == CREATED
        stage.later(25)
        text = "Frequency limit, You should wait at least {} seconds."
        assert said(stage.player().delete(1)) == (403, text.format(35))
        assert said(stage.player().patch(1)) == (403, text.format(35))  # and no lock was left
        assert said(stage.player("ben").post(2)) == CREATED
        stage.later(36)
        assert said(stage.player().delete(1)) == DESTROYED


def test_the_limit_can_be_taken_out() -> None:
    """As it was for the measurements: a clock that stands still never lets it pass."""
    free = replace(FLAVOURS["nusgreyhats"], window_seconds=0)
    with staged(free) as stage:
        assert said(stage.player().post(1)) == CREATED
        assert said(stage.player().delete(1)) == DESTROYED


TEAMS = replace(WORLD, user_mode=UserMode.TEAMS)


def test_an_instance_of_the_team() -> None:
    with staged("nusgreyhats", TEAMS) as stage:
        assert said(stage.player("ann").post(1)) == CREATED
        stage.later(2)
        assert stage.data(1, "ben") == stage.data(1, "ann")
        assert stage.data(1, "ben")["lan_domain"].startswith("2-")
        assert said(stage.player("ben").post(1)) == (200, "Container already exists")
        refused = said(stage.player("ann").post(2))
        assert refused == (403, "Frequency limit, You should wait at least 1 seconds.")
        stage.later(2)
        assert said(stage.player("ben").delete(1)) == DESTROYED
        assert stage.running() == set()
        for call in (stage.player("cat").get, stage.player("cat").post, stage.player("cat").delete):
            assert said(call(1)) == (403, "team required")
    with staged("scribblercoder", TEAMS) as stage:
        stage.player("ann").post(1)
        assert stage.data(1, "ben") == {}


def test_its_own_400s() -> None:
    with staged("nusgreyhats") as stage:
        for call in (stage.player().get, stage.player().post, stage.player().delete):
            for wrong in (None, "", "abc", "1.0", "1abc"):
                assert said(call(wrong)) == (400, "missing or invalid challenge_id")
            assert said(call(9)) == (403, "challenge not visible")
            assert said(call(5)) == (400, "challenge is not a docker challenge")
        assert said(stage.player("root").get(9)) == (404, "no such challenge")


def test_a_stop_that_says_no_though_the_container_is_gone() -> None:
    with staged("nusgreyhats") as stage:
        stage.player().post(2)
        (free,) = {stage.fake.state()["free_ports"]}
        stage.later()
        stage.fake.inject({"kind": "frpc_down"})
        answer = stage.player().delete(2)
        assert (answer.status_code, answer.json()["success"]) == (403, False)
        assert "frpc request failed" in answer.json()["message"]
        assert stage.running() == stage.recorded() == set()
        assert stage.fake.state()["free_ports"] == free  # frpc may still have it


def test_a_stop_that_docker_refuses_keeps_the_record_without_an_address() -> None:
    with staged("nusgreyhats") as stage:
        stage.player().post(1)
        stage.later()
        stage.fake.inject({"kind": "docker_error"})
        assert said(stage.player().delete(1)) == (403, "500 Server Error")
        assert stage.running() == stage.recorded() == {1}
        assert stage.fake.state()["rules"] == []


@pytest.mark.parametrize(
    ("flavour", "late", "next_day"),
    [("frankli0324", -5, 3595), ("htu", 0, 3595), ("nusgreyhats", -5, -82805)],
)
def test_how_the_remaining_time_is_counted(flavour: str, late: int, next_day: int) -> None:
    with staged(flavour) as stage:
        stage.player().post(1)
        stage.fake.inject({"kind": "docker_error"})  # so that the cleaner leaves it
        stage.later(3605)
        assert stage.data(1)["remaining_time"] == late
        stage.later(86_400 - 3600)
        assert stage.data(1)["remaining_time"] == next_day


def test_frpc_hears_of_it_at_the_cleaners_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaner, "PERIOD_SECONDS", 3600.0)  # so that it beats here alone
    fake = FakeWhale(WORLD, clock=SystemEpochClock(), flavour="web1n")
    with fake, fake.serve() as server:
        stage = Stage(fake, server.url)
        assert said(stage.player().post(1)) == CREATED
        (record,) = fake.state()["records"]
        assert record["port"], "an http instance has one, too"
        assert fake.state()["rules"] == []
        fake.machine.cleaner.beat(fake.clock.time())
        (rule,) = fake.state()["rules"]
        assert rule["subdomain"] == record["uuid"]
        assert said(stage.player().delete(1)) == DESTROYED
        assert fake.state()["rules"] == [rule]
        fake.machine.cleaner.beat(fake.clock.time())
        assert fake.state()["rules"] == []


def test_on_a_virtual_clock_that_beat_comes_at_once() -> None:
    with staged("web1n") as stage:
        stage.player().post(1)
        assert len(stage.fake.state()["rules"]) == 1
        stage.fake.inject({"kind": "frpc_down"})
        assert said(stage.player("ben").post(1)) == CREATED
        assert len(stage.fake.state()["rules"]) == 1
        stage.fake.lift_faults()
        stage.later()
        assert len(stage.fake.state()["rules"]) == 2


def test_a_limit_holds_at_once_where_starts_wait_for_each_other() -> None:
    fake = FakeWhale(
        replace(WORLD, config={**WORLD.config, "docker_max_container_count": "1"}),
        clock=VirtualEpochClock(),
        flavour="nusgreyhats",
        isolation=TransactionIsolation.READ_COMMITTED,
    )
    with fake, fake.serve() as server, ThreadPoolExecutor(2) as pool:
        players = (WhalePlayer(server.url, "t-ann"), WhalePlayer(server.url, "t-ben"))
        answers = list(pool.map(lambda player: said(player.post(1)), players))
    assert sorted(answers) == [CREATED, (403, "Max container count exceed.")]


def test_the_docs_name_them_all() -> None:
    table = DOC.read_text(encoding="utf-8")
    for name, flavour in FLAVOURS.items():
        assert f"| `{name}` | {flavour.whale} | {flavour.seen.value} |" in table


def test_a_world_file_names_its_flavour() -> None:
    data = {"users": [], "challenges": [], "images": []}
    assert WhaleWorld.from_dict(data).flavour.name == "frankli0324"
    named = WhaleWorld.from_dict({**data, "flavour": "matte23"})
    with FakeWhale(named, clock=VirtualEpochClock()) as fake:
        assert fake.flavour.name == "matte23"
        assert fake.app.test_client().get("/_fake/health").json["flavour"] == "matte23"
    with pytest.raises(FakeWhaleError, match="flavour: 'newest' is not one of frankli0324, "):
        WhaleWorld.from_dict({**data, "flavour": "newest"})


def test_other_dialects_have_no_flavours() -> None:
    with pytest.raises(FakeWhaleError, match="flavour jbnrz: only the dialect ctfd-whale has"):
        FakeWhale(WORLD, clock=VirtualEpochClock(), dialect=FakeDialect.LEGACY, flavour="jbnrz")


def test_the_command_knows_them_all() -> None:
    answer = CliRunner().invoke(main, ["serve", "--flavour", "none"])
    assert answer.exit_code == 2
    assert all(repr(name) in answer.output for name in FLAVOURS)
