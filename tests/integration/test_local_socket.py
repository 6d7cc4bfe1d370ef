"""Connections over the engine's local socket."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker.errors import NotFound
from urllib3 import Timeout

from engines.cre.runtimes.connection import connect
from engines.settings import Settings


@pytest.fixture
def client(docker_engine: str) -> Iterator[docker.DockerClient]:
    client = connect(Settings())
    yield client
    client.close()


def test_many_other_requests_close_no_connection_that_is_about_to_be_used(
    client: docker.DockerClient,
) -> None:
    api: Any = client.api
    adapter = api.get_adapter(api.base_url)
    pool = adapter.get_connection(f"{api.base_url}/mine")
    for number in range(50):
        adapter.get_connection(f"{api.base_url}/of-another-thread/{number}")
    assert pool.urlopen("GET", "/_ping", timeout=Timeout(30)).status == 200


def test_one_thread_needs_one_connection_and_many_need_as_many(
    client: docker.DockerClient,
) -> None:
    api: Any = client.api
    pool = api.get_adapter(api.base_url).get_connection(api.base_url)
    outcomes: Counter[str] = Counter()

    def ask(times: int) -> None:
        for _ in range(times):
            try:
                api.inspect_container(secrets.token_hex(32))
            except NotFound:
                outcomes["not found"] += 1

    def kept() -> int:
        return sum(connection is not None for connection in pool.pool.queue)

    ask(10)
    assert kept() == 1
    threads = [threading.Thread(target=ask, args=(5,)) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {"not found": 10 + 40 * 5}
    assert kept() <= 41
