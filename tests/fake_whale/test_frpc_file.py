"""frpc.ini as a real frpc keeps it, which changes at the same moment spoil."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from fake_whale import FakeServer, FakeWhale, VirtualEpochClock, WhaleWorld
from fake_whale.testing import WhalePlayer, said, tokens
from fake_whale.whale.errors import RouterError
from fake_whale.whale.routing import FrpcIni, ProxyRule

ONE, TWO = (ProxyRule("tcp", "", port, f"{port}-x") for port in (10_000, 10_001))
CREATED, NOT_CREATED = (200, "Container created"), (403, "Container creation failed")


class Interrupted:
    """A file of which something else happens while it is half written."""

    def __init__(self) -> None:
        self.meanwhile: list[Callable[[], object]] = []
        self.ini = FrpcIni(lambda: self.meanwhile.pop()() if self.meanwhile else None)


def test_changes_one_after_the_other_keep_the_token() -> None:
    file = Interrupted()
    for rules in ((ONE,), (ONE, TWO), ()):
        file.ini.put(rules)
        assert file.ini.read() == rules
    assert file.ini.token
    assert file.ini.refused == 0


def test_a_reload_of_a_half_written_file_is_refused() -> None:
    file = Interrupted()

    def reload() -> None:
        with pytest.raises(RouterError, match=r"not found \[common\] section"):
            file.ini.read()

    file.meanwhile.append(reload)
    file.ini.put((ONE,))
    assert (file.ini.refused, file.ini.token) == (1, True)


def test_a_change_begun_on_a_half_written_file_has_no_token_and_nor_have_later_ones() -> None:
    file = Interrupted()
    begun = Barrier(2)
    go_on = Barrier(2)

    def other() -> None:
        file.meanwhile.append(lambda: (begun.wait(10), go_on.wait(10)))
        file.ini.put((ONE, TWO))  # it has found the file empty, and is written last

    with ThreadPoolExecutor(1) as pool:
        file.meanwhile.append(lambda: (pool.submit(other), begun.wait(10)))
        file.ini.put((ONE,))
        assert file.ini.token
        go_on.wait(10)
    assert file.ini.read() == (ONE, TWO)
    assert not file.ini.token
    file.ini.put((TWO,))
    assert not file.ini.token


@pytest.fixture
def fake(world: WhaleWorld) -> Iterator[FakeWhale]:
    with FakeWhale(world, clock=VirtualEpochClock(), frpc_file=True) as made:
        yield made


@pytest.fixture
def server(fake: FakeWhale) -> Iterator[FakeServer]:
    with fake.serve() as made:
        yield made


def test_players_who_start_at_once_spoil_it_and_one_by_one_do_not(
    fake: FakeWhale, server: FakeServer, world: WhaleWorld
) -> None:
    players = [WhalePlayer(server.url, token) for token in tokens(world).values()]
    users = [player for player in players if player.get(1).status_code == 200]
    assert len(users) > 3
    for player in users:
        assert said(player.post(2)) == CREATED
    sound = {"connected": True, "token": True, "refused_reloads": 0}
    assert fake.state()["frpc"] == sound
    fake.inject({"kind": "frpc_restarted"})
    assert fake.state()["frpc"] == sound
    assert len(fake.state()["rules"]) == len(users), "a restart keeps the rules"

    with ThreadPoolExecutor(len(users)) as pool:
        answers: list[tuple[int, str]] = []
        while fake.state()["frpc"]["token"] or not fake.state()["frpc"]["refused_reloads"]:
            fake.clock.advance(11)  # a failed start leaves its lock
            answers += [said(each) for each in pool.map(lambda who: who.post(2), users)]
    assert set(answers) == {CREATED, NOT_CREATED}
    assert fake.state()["rules"], "nothing is seen of it"
    fake.inject({"kind": "frpc_restarted"})
    assert fake.state()["rules"] == []
    assert not fake.state()["frpc"]["connected"]
    fake.clock.advance(11)
    assert {said(user.post(2)) for user in users} == {NOT_CREATED}
