"""The fake answers for its instances, and stops when they are gone."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from fake_whale import (
    FakeServer,
    FakeWhale,
    InstanceOptions,
    SystemEpochClock,
    VirtualEpochClock,
    WhaleWorld,
)
from fake_whale.testing import WhalePlayer, tokens

DIRECT_HOST = "127.31.7.1"

DATA = Path(__file__).parent / "data"


@pytest.fixture
def fake() -> Iterator[FakeWhale]:
    """A fake whose instances answer; challenge 4's image starts and exits at once."""
    world = WhaleWorld.from_file(DATA / "whale-world.json")
    crashing = WhaleWorld(
        users=world.users,
        challenges=world.challenges,
        images=world.images,
        config=world.config,
        crashing_images=frozenset({"nosuch/image:latest"}),
    )
    options = InstanceOptions(direct_host=DIRECT_HOST)
    with FakeWhale(crashing, clock=VirtualEpochClock(), instances=options) as made:
        assert made.http_listener is not None
        made.patch_config({"frp_http_port": made.http_listener[1]})
        yield made


@pytest.fixture
def alice(server: FakeServer, world: WhaleWorld) -> WhalePlayer:
    return WhalePlayer(server.url, tokens(world)["alice"])


def by_name(fake: FakeWhale, path: str = "/", name: str | None = None) -> requests.Response:
    """Ask the http listener for the (only) instance's name, as a browser would."""
    assert fake.http_listener is not None
    host, port = fake.http_listener
    name = name or f"{fake.state()['records'][0]['uuid']}.127.0.0.1.nip.io:{port}"
    return requests.get(f"http://{host}:{port}{path}", headers={"Host": name}, timeout=5)


def by_port(port: int, path: str = "/") -> requests.Response:
    return requests.get(f"http://{DIRECT_HOST}:{port}{path}", timeout=5)


def test_an_http_instance_answers_by_its_name(alice: WhalePlayer, fake: FakeWhale) -> None:
    alice.post(1)
    assert "Chal http" in by_name(fake).text
    assert by_name(fake, "/cgi-bin/flag").text == fake.state()["records"][0]["flag"] + "\n"


def test_an_unknown_name_meets_frp(alice: WhalePlayer, fake: FakeWhale) -> None:
    alice.post(1)
    answer = by_name(fake, name="nobody.127.0.0.1.nip.io")
    assert answer.status_code == 404
    assert "Server" not in answer.headers  # frps 0.29.1, 0.31.2 and 0.37.0 send none
    assert "Faithfully yours, frp." in answer.text


def test_the_page_for_an_unknown_name_may_be_the_organisers(world: WhaleWorld) -> None:
    options = InstanceOptions(direct_host=DIRECT_HOST, not_found_page="<h1>Ask in #help</h1>")
    with FakeWhale(world, clock=VirtualEpochClock(), instances=options) as fake:
        answer = by_name(fake, name="nobody.127.0.0.1.nip.io")
    assert (answer.status_code, answer.text) == (404, "<h1>Ask in #help</h1>")


@pytest.mark.parametrize("how", ["refuses", "hangs up"])
def test_a_container_that_does_not_serve_yet_meets_frp(
    alice: WhalePlayer, fake: FakeWhale, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    alice.post(1)
    with socket.create_server(("127.0.0.1", 0)) as container:
        address = container.getsockname()
        engine = fake.machine.engine
        (service,) = engine.services()
        monkeypatch.setattr(engine, "find", lambda _: replace(service, address=address))
        if how == "refuses":
            container.close()
        else:
            threading.Thread(target=lambda: container.accept()[0].close()).start()
        answer = by_name(fake)
    assert answer.status_code == 404
    assert "Faithfully yours, frp." in answer.text


def test_a_direct_instance_answers_on_its_port(alice: WhalePlayer, fake: FakeWhale) -> None:
    alice.post(2)
    (record,) = fake.state()["records"]
    assert by_port(record["port"], "/cgi-bin/flag").text == record["flag"] + "\n"


@pytest.mark.parametrize("how", ["delete", "by hand", "expiry"])
def test_a_direct_instance_stops_answering(alice: WhalePlayer, fake: FakeWhale, how: str) -> None:
    alice.post(2)
    (record,) = fake.state()["records"]
    if how == "delete":
        alice.delete(2)
    elif how == "by hand":
        assert fake.remove_service(record["uuid"])
        assert "user_access" in alice.get(2).json()["data"]
    else:
        fake.clock.advance(3611)
    with pytest.raises(requests.ConnectionError):
        by_port(record["port"])


def test_a_dead_port_is_closed_once_the_name_was_looked_up(world: WhaleWorld) -> None:
    """fatedier/frp 0.37.0, 30 November 2026: open and silent for as long as the look-up takes."""
    options = InstanceOptions(direct_host=DIRECT_HOST, ready_delay=3600.0, resolver_delay=0.3)
    with (
        FakeWhale(world, clock=VirtualEpochClock(), instances=options) as fake,
        fake.serve() as server,
    ):
        WhalePlayer(server.url, tokens(world)["alice"]).post(2)
        (record,) = fake.state()["records"]
        with socket.create_connection((DIRECT_HOST, record["port"]), timeout=5) as connection:
            connection.settimeout(0.1)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            connection.settimeout(5)
            assert connection.recv(1) == b""


def test_an_instance_that_exits_never_answers(alice: WhalePlayer, fake: FakeWhale) -> None:
    assert alice.post(4).status_code == 200
    assert by_name(fake).status_code == 404


def test_a_taken_port_does_not_fail_the_post(alice: WhalePlayer, fake: FakeWhale) -> None:
    with socket.socket() as taken:
        taken.bind((DIRECT_HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        fake.patch_config({"frp_direct_port_minimum": port, "frp_direct_port_maximum": port})
        assert alice.post(2).status_code == 200
        assert fake.state()["records"][0]["port"] == port


def test_with_a_real_clock_an_instance_needs_a_moment(world: WhaleWorld) -> None:
    options = InstanceOptions(ready_delay=60.0)
    with (
        FakeWhale(world, clock=SystemEpochClock(), instances=options) as fake,
        fake.serve() as server,
    ):
        WhalePlayer(server.url, tokens(world)["alice"]).post(1)
        assert fake.state()["services"][0]["answers"] is False
        assert by_name(fake).status_code == 404


def test_addresses_can_be_made_to_lead_here(world: WhaleWorld) -> None:
    options = InstanceOptions(direct_host=DIRECT_HOST, reachable=True)
    with (
        FakeWhale(world, clock=VirtualEpochClock(), instances=options) as fake,
        fake.serve() as server,
    ):
        fake.reset()
        alice = WhalePlayer(server.url, tokens(world)["alice"])
        alice.post(2)
        port = fake.state()["records"][0]["port"]
        assert alice.get(2).json()["data"]["user_access"] == f"nc {DIRECT_HOST} {port}"
        assert by_port(port).status_code == 200
        alice.post(1)
        assert fake.http_listener is not None
        shown = alice.get(1).json()["data"]["user_access"]
        assert f".127.0.0.1.nip.io:{fake.http_listener[1]}/" in shown


def test_a_reset_keeps_the_http_listener(alice: WhalePlayer, fake: FakeWhale) -> None:
    before = fake.http_listener
    fake.reset()
    assert fake.http_listener == before
    alice.post(1)
    assert by_name(fake).status_code == 200
