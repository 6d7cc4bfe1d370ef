"""A server that would wait for itself is found by what its WSGI environment and the address say."""

from __future__ import annotations

import pytest

from engines.ctfd.self_calls import Server, warning


def server(
    *, threads: bool = False, processes: bool = False, host: str = "ctf.example.org"
) -> Server:
    return Server.of(
        {
            "wsgi.multithread": threads,
            "wsgi.multiprocess": processes,
            "wsgi.url_scheme": "https",
            "HTTP_HOST": host,
            "SERVER_NAME": "ctf-1",
            "SERVER_PORT": "8000",
        }
    )


def addresses(name: str) -> frozenset[str]:
    known = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "whale.example.org": "192.0.2.7"}
    return frozenset({known[name]}) if name in known else frozenset()


@pytest.mark.parametrize(
    "url", ["https://ctf.example.org", "http://127.0.0.1:8000", "http://localhost:8000"]
)
def test_one_sync_worker_that_is_its_own_whale(url: str) -> None:
    said = warning(url, server(), False, addresses)
    assert said is not None
    assert "one worker" in said
    assert "WORKER_CLASS=gevent" in said


def test_several_sync_workers_wait_when_all_are_asked() -> None:
    said = warning("https://ctf.example.org", server(processes=True), False, addresses)
    assert said is not None
    assert "as many players start at once" in said


def test_threads_answer_meanwhile() -> None:
    assert warning("https://ctf.example.org", server(threads=True), True, addresses) is None


def test_a_whale_elsewhere() -> None:
    assert warning("https://whale.example.org", server(), True, addresses) is None
    assert warning("http://127.0.0.1:9999", server(), False, addresses) is None
    assert warning(None, server(), True, addresses) is None


def test_a_proxy_on_this_machine_before_a_whale_that_is_a_plugin_here() -> None:
    assert warning("http://127.0.0.1:80", server(), True, addresses) is not None
