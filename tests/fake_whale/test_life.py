"""The normal life of a container, by token (docs/whale-wire.md)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fake_whale import FakeWhale, VirtualEpochClock
from fake_whale.testing import WhalePlayer, said

Players = Callable[[str], WhalePlayer]


def test_nothing_runs_at_first(player: Players) -> None:
    answer = player("alice").get()
    assert (answer.status_code, answer.json()) == (200, {"success": True, "data": {}})
    assert answer.text.endswith("}\n")
    assert answer.headers["Content-Type"] == "application/json"


def test_an_http_instance_shows_its_address_and_time(player: Players, fake: FakeWhale) -> None:
    assert said(player("alice").post(1)) == (200, "Container created")
    fake.clock.advance(12)
    uuid = fake.state()["records"][0]["uuid"]
    assert player("alice").get(1).json()["data"] == {
        "lan_domain": f"2-{uuid}",
        "user_access": f'<a target="_blank" href="http://{uuid}.127.0.0.1.nip.io:8080/">'
        "Link to the Challenge</a>",
        "remaining_time": 3588,
    }


def test_a_direct_instance_shows_a_port_of_the_range(player: Players, fake: FakeWhale) -> None:
    player("alice").post(2)
    port = fake.state()["records"][0]["port"]
    assert player("alice").get(2).json()["data"]["user_access"] == f"nc 127.0.0.1 {port}"
    assert 10000 <= port <= 10100


@pytest.mark.parametrize("second", [1, 2])
def test_post_replaces_whatever_runs(player: Players, fake: FakeWhale, second: int) -> None:
    alice = player("alice")
    alice.post(1)
    alice.patch(1)
    old = fake.state()["records"][0]
    assert said(alice.post(second)) == (200, "Container created")
    (new,) = fake.state()["records"]
    assert new["uuid"] != old["uuid"]
    assert new["flag"] != old["flag"]
    assert (new["challenge_id"], new["renew_count"]) == (second, 0)
    assert [s["uuid"] for s in fake.state()["services"]] == [new["uuid"]]


def test_patch_resets_to_the_full_time_out(player: Players, fake: FakeWhale) -> None:
    alice = player("alice")
    alice.post(1)
    fake.clock.advance(700)
    assert said(alice.patch(1)) == (200, "Container Renewed")
    assert alice.get(1).json()["data"]["remaining_time"] == 3600


def test_renewals_end_at_the_limit(player: Players, fake: FakeWhale) -> None:
    fake.patch_config({"docker_max_renew_count": 2})
    alice = player("alice")
    alice.post(1)
    answers = [said(alice.patch(1)) for _ in range(3)]
    assert answers == [(200, "Container Renewed")] * 2 + [(403, "Max renewal count exceed.")]


def test_delete_destroys_whatever_challenge_is_named(player: Players, fake: FakeWhale) -> None:
    alice = player("alice")
    for named in (2, 999, "abc", None):
        alice.post(1)
        assert said(alice.delete(named)) == (200, "Container destroyed")
    assert fake.state()["services"] == []


def test_another_challenge_is_told_apart(player: Players) -> None:
    alice = player("alice")
    alice.post(7)
    name = 'We"ird <b>&- name'
    link = f'<a target="_blank" href="/challenges#c a-t-{name}-7">{name}</a>'
    already = f"Container already started but not from this challenge ({link})"
    assert said(alice.get(1)) == (403, already)
    assert said(alice.patch(1)) == (
        403,
        f"Container started but not from this challenge（{name}）",
    )


def test_a_refused_write_leaves_a_lock_for_ten_seconds(player: Players, fake: FakeWhale) -> None:
    alice = player("alice")
    began = fake.clock.time()
    assert said(alice.patch(1)) == (403, "Instance not found.")
    assert said(alice.post(1)) == (403, "Request Too Fast!")
    assert fake.clock.time() - began == pytest.approx(1.95, abs=0.06)
    assert alice.get(1).status_code == 200
    fake.clock.advance(6)
    assert said(alice.post(1)) == (403, "Request Too Fast!")
    assert said(alice.post(1)) == (200, "Container created")
    assert fake.clock.time() - began == pytest.approx(10.0, abs=0.2)


def test_a_lock_is_one_users_own(player: Players) -> None:
    player("alice").patch(1)
    assert said(player("bob").post(1)) == (200, "Container created")


def test_an_invisible_challenge_leaves_no_lock(player: Players) -> None:
    alice = player("alice")
    for named in (None, "", "abc", 0, -1, 999, 3, 5):
        assert said(alice.post(named)) == (403, "challenge not visible")
    assert said(alice.post(1)) == (200, "Container created")


def test_the_limit_admits_one_more(player: Players, fake: FakeWhale) -> None:
    fake.patch_config({"docker_max_container_count": 1})
    answers = [said(player(name).post(1)) for name in ("alice", "bob", "carol", "admin")]
    full = (403, "Max container count exceed.")
    assert answers == [(200, "Container created")] * 2 + [full] * 2


def test_over_full_a_restart_destroys_first(player: Players, fake: FakeWhale) -> None:
    for name in ("alice", "bob", "carol", "dave"):
        player(name).post(1)
    fake.patch_config({"docker_max_container_count": 1})
    assert said(player("alice").post(1)) == (403, "Max container count exceed.")
    assert player("alice").get(1).json()["data"] == {}
    assert len(fake.state()["services"]) == 3


def test_time_goes_below_zero_until_the_cleaner_comes(player: Players, fake: FakeWhale) -> None:
    fake.patch_config({"docker_timeout": 15})
    alice = player("alice")
    alice.post(1)
    fake.clock.advance(18)
    assert alice.get(1).json()["data"]["remaining_time"] == -3
    fake.clock.advance(2)
    assert alice.get(1).json()["data"] == {}
    assert fake.state()["services"] == []


def test_expired_but_not_cleaned_cannot_be_renewed(player: Players, fake: FakeWhale) -> None:
    fake.patch_config({"docker_timeout": 15})
    alice = player("alice")
    alice.post(1)
    fake.clock.advance(17)
    answer = alice.patch(1)
    assert answer.status_code == 200
    assert answer.json() == {"success": False, "message": "Invalid container"}
    assert said(alice.delete(1)) == (200, "Container destroyed")


def test_a_long_time_out_wraps_at_24_hours(player: Players, fake: FakeWhale) -> None:
    fake.patch_config({"docker_timeout": 172_800})
    alice = player("alice")
    alice.post(1)
    fake.clock.advance(90_000)
    assert alice.get(1).json()["data"]["remaining_time"] == 169_200


def test_a_start_in_the_future_wraps_too(player: Players, fake: FakeWhale) -> None:
    player("alice").post(1)
    assert isinstance(fake.clock, VirtualEpochClock)
    fake.clock.set_back(5)
    assert player("alice").get(1).json()["data"]["remaining_time"] == -82_795


@pytest.mark.parametrize(
    ("value", "status", "remaining"),
    [("abc", 500, None), ("3600.5", 500, None), ("", 200, 3600), ("0", 200, 0)],
)
def test_odd_time_outs(
    player: Players, fake: FakeWhale, value: str, status: int, remaining: int | None
) -> None:
    fake.patch_config({"docker_timeout": value})
    alice = player("alice")
    assert alice.post(1).status_code == status
    if remaining is not None:
        assert alice.get(1).json()["data"]["remaining_time"] == remaining


@pytest.mark.parametrize("named", ["1abc", "1.0", "1e0"])
def test_mariadb_reads_more_than_python(player: Players, named: str) -> None:
    alice = player("alice")
    assert alice.get(named).json() == {"success": True, "data": {}}
    alice.post(1)
    for answer in (alice.get(named), alice.patch(named)):
        assert answer.status_code == 500
        assert answer.json() == {"message": "Internal Server Error"}


def test_post_stores_only_whole_numbers(player: Players, fake: FakeWhale) -> None:
    assert [player(n).post("1.0").status_code for n in ("alice", "bob")] == [200, 200]
    assert player("carol").post("1abc").status_code == 500
    assert said(player("carol").post(1)) == (403, "Request Too Fast!")
    assert len(fake.state()["records"]) == 2


@pytest.mark.parametrize("challenge", [9, 6])
def test_what_cannot_be_created_leaves_nothing(
    player: Players, fake: FakeWhale, challenge: int
) -> None:
    assert said(player("alice").post(challenge)) == (403, "Container creation failed")
    assert fake.state()["records"] == fake.state()["services"] == []


def test_a_missing_image_runs_for_whale(player: Players, fake: FakeWhale) -> None:
    alice = player("alice")
    assert said(alice.post(4)) == (200, "Container created")
    assert "user_access" in alice.get(4).json()["data"]
    assert fake.state()["services"][0]["task"] == "rejected"


@pytest.mark.parametrize(("length", "status"), [(128, 200), (129, 500)])
def test_a_flag_has_to_fit_its_column(
    player: Players, fake: FakeWhale, length: int, status: int
) -> None:
    fake.patch_config({"template_chall_flag": f"{{{{ 'x' * {length} }}}}"})
    assert player("alice").post(1).status_code == status


def test_no_ports_left(player: Players, fake: FakeWhale) -> None:
    fake.patch_config({"frp_direct_port_minimum": 20000, "frp_direct_port_maximum": 20000})
    assert said(player("alice").post(2)) == (200, "Container created")
    assert said(player("bob").post(2)) == (403, "Container creation failed")
    player("alice").delete(2)
    assert said(player("carol").post(2)) == (200, "Container created")


def test_reset_goes_back_to_the_beginning(player: Players, fake: FakeWhale) -> None:
    fake.patch_config({"docker_timeout": 60})
    player("alice").post(1)
    fake.reset()
    assert player("alice").get(1).json()["data"] == {}
    player("alice").post(1)
    assert player("alice").get(1).json()["data"]["remaining_time"] == 3600


def test_the_same_seed_gives_the_same_uuids(player: Players, fake: FakeWhale) -> None:
    player("alice").post(1)
    first = fake.state()["records"][0]["uuid"]
    fake.reset()
    player("alice").post(1)
    assert fake.state()["records"][0]["uuid"] == first
