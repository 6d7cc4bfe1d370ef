"""Facts found by running the fake beside the real CTFd 3.8.7 and ctfd-whale in November 2026."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from fake_whale import FakeServer, FakeWhale
from fake_whale.testing import PATH, WhalePlayer

FAILED = {"success": False, "message": "Container creation failed"}
BROKEN = {"message": "Internal Server Error"}


ADMIN_PATH = "/api/v1/plugins/ctfd-whale/admin/container"


def proof(player: WhalePlayer) -> dict[str, str]:
    return {"Authorization": f"Token {player.token}", "Content-Type": "application/json"}


@pytest.fixture
def alice(player: Callable[[str], WhalePlayer]) -> WhalePlayer:
    return player("alice")


@pytest.mark.parametrize("suffix", ["true", "123"])
def test_a_suffix_that_ctfd_reads_as_no_text_breaks_the_look_at_an_http_instance(
    fake: FakeWhale, alice: WhalePlayer, suffix: str
) -> None:
    fake.patch_config({"frp_http_domain_suffix": suffix})
    assert alice.post(1).status_code == 200
    assert alice.get(1).json() == BROKEN
    assert alice.post(2).status_code == 200
    assert alice.get(2).status_code == 200  # direct: the suffix is not looked at


@pytest.mark.parametrize("template", ["{{ bad", "{{ container.nosuch.deep }}", "123"])
def test_a_broken_name_template_fails_http_instances_only(
    fake: FakeWhale, alice: WhalePlayer, template: str
) -> None:
    fake.patch_config({"template_http_subdomain": template})
    assert alice.post(1).json() == FAILED
    fake.clock.advance(11)
    assert alice.post(2).status_code == 200
    assert alice.get(2).status_code == 200


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{{ container.user.name }}", "alice"),
        ("{{ container.challenge.id }}-{{ container.user_id }}", "1-2"),
        ("{{ container.uuid[:8] }}-{{ container.status }}", "-1"),
    ],
)
def test_a_name_template_sees_the_user_and_the_challenge(
    fake: FakeWhale, alice: WhalePlayer, template: str, name: str
) -> None:
    fake.patch_config({"template_http_subdomain": template})
    assert alice.post(1).status_code == 200
    access = alice.get(1).json()["data"]["user_access"]
    assert f"{name}.127.0.0.1.nip.io" in access


@pytest.mark.parametrize("template", ["123", "x" * 129, "{{ bad"])
def test_a_flag_that_cannot_be_made_or_stored_breaks_the_start_and_leaves_no_record(
    fake: FakeWhale, alice: WhalePlayer, template: str
) -> None:
    fake.patch_config({"template_chall_flag": template})
    assert alice.post(1).json() == BROKEN
    assert fake.state()["records"] == []


def test_an_empty_flag_template_is_whales_own(fake: FakeWhale, alice: WhalePlayer) -> None:
    fake.patch_config({"template_chall_flag": ""})
    assert alice.post(1).status_code == 200
    (record,) = fake.state()["records"]
    assert record["flag"].startswith("flag{")


def test_a_time_out_beyond_the_calendar_breaks_the_start(
    fake: FakeWhale, alice: WhalePlayer
) -> None:
    fake.patch_config({"docker_timeout": "9999999999999"})
    assert alice.post(1).json() == BROKEN


@pytest.mark.parametrize(("text", "user"), [("1.5", 2), ("2.4", 2), ("2.5", 3), (".9", 1)])
def test_an_admins_user_id_is_rounded_half_away_from_zero(
    fake: FakeWhale, player: Callable[[str], WhalePlayer], text: str, user: int
) -> None:
    names = {1: "admin", 2: "alice", 3: "bob"}
    for name in names.values():
        assert player(name).post(1).status_code == 200
    admin = ADMIN_PATH + f"?user_id={text}"
    answer = player("admin").call("DELETE", path=admin)
    assert answer.json()["success"] is True
    assert user not in {service["user_id"] for service in fake.state()["services"]}
    # The deletion does not round: the record stays, of a container that is gone.
    assert user in {record["user_id"] for record in fake.state()["records"]}


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("1..0", True),
        ("1.0 .", True),
        ("1.0e", True),
        ("1." + 20 * "0" + ".0", True),
        ("1.0.0", False),
        ("1." + 19 * "0" + ".", False),
        ("1.0e-", False),
        ("1.0e-0", True),
    ],
)
def test_a_second_point_makes_a_challenge_invisible(
    alice: WhalePlayer, text: str, visible: bool
) -> None:
    answer = alice.get(text)
    assert answer.status_code == (200 if visible else 403)


def test_options_names_the_routes_own_methods(server: FakeServer) -> None:
    def allowed(path: str) -> set[str]:
        answer = requests.options(server.url + path, timeout=5)
        return set(answer.headers["Allow"].split(", "))

    assert allowed("/healthcheck") == {"GET", "HEAD", "OPTIONS"}
    assert allowed("/login") == {"GET", "HEAD", "OPTIONS", "POST"}


def test_the_e_mail_address_logs_in_as_the_name_does(server: FakeServer) -> None:
    browser = requests.Session()
    with browser:
        nonce = browser.get(server.url + "/login", timeout=5).text.split("'csrfNonce': \"")[1][:64]
        answer = browser.post(
            server.url + "/login",
            data={"name": "alice@example.org", "password": "alice-password", "nonce": nonce},
            allow_redirects=False,
            timeout=5,
        )
    assert answer.status_code == 302


@pytest.mark.parametrize(("body", "status"), [(b"", 400), (b"nonsense", 400), (b"[]", 500)])
def test_a_token_is_not_made_from_a_body_that_is_no_object(
    alice: WhalePlayer, server: FakeServer, body: bytes, status: int
) -> None:
    answer = requests.post(
        server.url + "/api/v1/tokens", data=body, headers=proof(alice), timeout=5
    )
    assert answer.status_code == status
    assert "message" in answer.json()


def test_one_token_is_shown_without_its_value(alice: WhalePlayer, server: FakeServer) -> None:
    made = requests.post(
        server.url + "/api/v1/tokens", json={}, headers=proof(alice), timeout=5
    ).json()["data"]
    path = f"/api/v1/tokens/{made['id']}"
    shown = alice.call("GET", path=path).json()["data"]
    assert set(shown) == {"expiration", "id", "description", "type", "created"}
    assert alice.call("GET", path=path + "9").status_code == 404


@pytest.mark.parametrize("text", ["1e400", "-1e400", "9" * 400, "1e99999999999999999999"])
def test_an_admins_user_id_beyond_all_bounds_finds_nobody(
    player: Callable[[str], WhalePlayer], text: str
) -> None:
    answer = player("admin").call("DELETE", path=f"{ADMIN_PATH}?user_id={text}")
    assert (answer.status_code, answer.json()["success"]) == (200, False)


@pytest.mark.parametrize("text", ["1.00000000000000001", "0.9999999999999999999"])
def test_a_challenge_id_is_compared_exactly(alice: WhalePlayer, text: str) -> None:
    assert alice.post(text).json()["message"] == "challenge not visible"


@pytest.mark.parametrize(
    ("text", "status"), [("1e%2B", 200), ("1%C2%A0", 500), ("1%20", 200), ("1.5e0", 403)]
)
def test_what_a_challenge_id_is_stored_as(alice: WhalePlayer, text: str, status: int) -> None:
    answer = alice.call("POST", path=f"{PATH}?challenge_id={text}")
    assert answer.status_code == status


def test_no_node_to_choose_fails_the_start(fake: FakeWhale, alice: WhalePlayer) -> None:
    fake.patch_config({"docker_swarm_nodes": ""})
    assert alice.post(1).json() == FAILED
    assert fake.state()["records"] == []
