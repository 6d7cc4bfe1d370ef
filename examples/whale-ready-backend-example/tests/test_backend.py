"""What whale-ready does not ask: it knows the contract, not what is special about this backend."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from local_process import ProcessBackend

from engines.contract import Code


@pytest.fixture
def backend() -> Iterator[ProcessBackend]:
    backend = ProcessBackend({1: "First"})
    yield backend
    backend.close()


def test_an_instance_is_a_process_that_ends_with_the_backend(backend: ProcessBackend) -> None:
    started = backend.start_instance(1, 1)
    pid = backend._instances["user:1"].running.process.pid

    assert started.code is Code.OK
    os.kill(pid, 0)

    backend.close()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_players_reach_it_on_loopback_only(backend: ProcessBackend) -> None:
    assert backend.start_instance(1, 1).instance["host"] == "127.0.0.1"
