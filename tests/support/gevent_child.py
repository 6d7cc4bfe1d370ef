"""Drives the engines as a process under gevent does: everything is patched before the first import.

``python -W error gevent_child.py memory|whale|docker``; settings come from the environment. What it
saw is printed as JSON; every warning is an error.
"""

from __future__ import annotations

import gevent
from gevent import monkey

monkey.patch_all()

import json  # noqa: E402 - as under gunicorn, the patches come first
import os  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402

from engines.catalog import ChallengeSpec, StaticCatalog  # noqa: E402
from engines.child import run  # noqa: E402
from engines.contract import ContainerBackend  # noqa: E402
from engines.cre import ContainerRuntimeEngine  # noqa: E402
from engines.cre.runtimes.memory import MemoryRuntime  # noqa: E402
from engines.probe import wait_until  # noqa: E402
from engines.settings import Settings  # noqa: E402
from engines.whale import WhaleAPIManager  # noqa: E402

PLAYERS = (1, 2, 3, 4)
PATIENCE = 60.0


def lives(backend: ContainerBackend) -> list[str]:
    """All players at once start, extend and ask; the first stops; the worker has the rest."""
    ids = PLAYERS

    def life(user_id: int) -> list[str]:
        codes = [backend.start_instance(user_id, 1).code.value]
        codes.append(backend.extend_instance(user_id, 1).code.value)
        assert backend.get_instance_status(user_id, 1) is not None
        return codes

    with ThreadPoolExecutor(len(ids)) as pool:
        seen = [code for codes in pool.map(life, ids) for code in codes]
    seen.append(backend.stop_instance(ids[0], 1).code.value)
    return seen


def expired(backend: ContainerRuntimeEngine | WhaleAPIManager) -> bool:
    """Whether the worker removes what has run out, in its own thread.

    A status is None as soon as the time is over; the container is gone with its row.
    """

    def over(_timeout: float) -> bool:
        return not backend.holds_any()

    with backend.cleanup_worker:
        return wait_until(over, PATIENCE)


def beside(over: threading.Event) -> gevent.Greenlet[[], None]:
    """A greenlet that is at work all the while, as other requests of the server are.

    It has asked which thread it is, as every line of the log does.
    """

    def tick() -> None:
        threading.current_thread()
        while not over.is_set():
            gevent.sleep(0.001)

    greenlet = gevent.spawn(tick)
    gevent.sleep(0)
    return greenlet


def main(kind: str) -> None:
    settings = Settings.from_environ()
    over = threading.Event()
    other = beside(over)
    # Other programs run while others wait: one that sleeps holds nobody up.
    with ThreadPoolExecutor(3) as pool:
        begun = time.monotonic()
        sleeping = pool.submit(run, ["sleep", "0.5"], seconds=PATIENCE)
        said = list(pool.map(lambda text: run(["cat"], text=text, seconds=PATIENCE).stdout, "ab"))
        first = not sleeping.done()
        assert sleeping.result().returncode == 0
        assert time.monotonic() - begun >= 0.5
    backend: ContainerRuntimeEngine | WhaleAPIManager
    if kind == "memory":
        catalog = StaticCatalog([ChallengeSpec(1, "One", "simulated")])
        backend = ContainerRuntimeEngine(settings, runtime=MemoryRuntime(), catalog=catalog)
    elif kind == "docker":
        backend = ContainerRuntimeEngine(settings)
    else:
        backend = WhaleAPIManager(settings)
    codes = lives(backend)
    ended = expired(backend)
    deployment = backend.deployment if isinstance(backend, ContainerRuntimeEngine) else ""
    backend.close()
    over.set()
    other.join()
    report = {"codes": codes, "expired": ended, "said": said, "first": first}
    print(json.dumps({**report, "deployment": deployment}), flush=True)  # noqa: T201 - for its parent
    # gevent 25.5 with greenlet 3.5 complains while the interpreter is taken down: not of us.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
