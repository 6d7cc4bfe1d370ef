"""In one CTFd ctfd-whale has no challenge of our type, and is not asked; and flags of its type."""

from __future__ import annotations

from pathlib import Path

from ctfd.conftest import MEMORY
from ctfd.site import Site
from ctfd.test_other_servers import told, turned, visitor_of
from ctfd.test_rules_of_the_site import START
from ctfd.whale_site import whale_challenge

ADMIN = "/plugins/whale_ready/admin"


def test_a_challenge_of_our_type_stays_on_the_own_engine(
    whale_plugin: Path, redis: str, tmp_path: Path
) -> None:
    """Also where nothing of Whale's is served, and no database is named for Whale."""
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[tokens]\n"1" = "ctfd_x"\n"2" = "ctfd_y"\n')
    tokens.chmod(0o600)
    folder = tmp_path / "site"
    folder.mkdir()
    environ = {
        "REDIS_URL": redis,
        "WHALE_TOKENS_FILE": str(tokens),
        "ROLLOUT_POLL_SECONDS": "0.01",
    }
    site = Site(folder, plugins={**MEMORY, "ctfd-whale": whale_plugin}, environ=environ)
    try:
        # The address is known only now; CTFd is started again with it.
        site.stop()
        site.environ["WHALE_API_URL"] = site.url
        site.start()
        assert turned(site, "set", share="100%")
        starts_on_cre(site, "alice")
    finally:
        site.stop()


def test_while_nobody_can_be_asked_ctfds_own_flag_counts_and_no_other_does(
    whale_plugin: Path, redis: str, tmp_path: Path
) -> None:
    environ = {"WHALE_READY_SERVES_WHALE": "true", "REDIS_URL": redis, "CRE_CAPACITY": "many"}
    site = Site(tmp_path, plugins={"ctfd-whale": whale_plugin}, environ=environ)
    try:
        alice = visitor_of(site, "alice")
        ours = site.challenge("Ours", container_image="simulated")
        for number in (ours, whale_challenge(site, "Theirs")):
            flag = {"challenge_id": number, "content": "flag{ctfds}", "type": "static"}
            assert site.admin.json("POST", "/api/v1/flags", flag)["success"]
            status, message = told(alice, number, "flag{guessed}")
            assert (status, "no attempt was counted" in message) == ("ratelimited", True)
            assert told(alice, number, "flag{ctfds}") == ("correct", "Correct")
    finally:
        site.stop()


def starts_on_cre(site: Site, name: str) -> None:
    """A new player starts a new challenge of our type, and the admin's pages say why there."""
    number = site.challenge("Ours", container_image="simulated")
    answer = visitor_of(site, name).ask("POST", START, {"challenge_id": number})
    assert (answer.status_code, answer.json()["code"]) == (201, "ok"), answer.text
    assert answer.json()["data"]["backend"] == "cre"
    history = site.admin.get(f"{ADMIN}/history?challenge_id={number}").text
    assert "the catalogue says that whale does not have this challenge" in history
    page = site.admin.get(f"{ADMIN}/rollout").text
    assert f"because Whale does not have them: {number}: Ours." in page
    assert "no starts on Whale since the last change" in page
    assert "1 more went to CRE: Whale does not have the challenge" in page
    form = {"action": "challenge", "challenge_id": str(number), "flag": "on"}
    pressed = site.admin.form(f"{ADMIN}/rollout", **form)
    assert "Whale does not have this challenge, so it stays on this site" in pressed.text
    assert turned(site, "challenge", challenge_id=str(number), flag="clear")
