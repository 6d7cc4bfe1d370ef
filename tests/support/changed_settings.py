"""Every setting that the tests of whole sites change, with the reason; all else is as shipped.

Sites are those of ``tests/ctfd`` and ``tests/integration/test_servers.py``: a server process with
none of our settings in its environment but these.
``tests/unit/test_changed_settings.py`` counts the names.
"""

from __future__ import annotations

import os

OURS = ("CRE_", "WHALE_", "CONTAINER_", "ROLLOUT_", "USE_WHALE")
"""How the names of our settings begin."""

WHERE, FINITE, SUBJECT = "an address of the test's own", "makes the test finite", "what is tested"
CHANGED = {
    # What an organiser has to set, too.
    "CONTAINER_DATABASE_URL": f"{WHERE}: the default is in the user's home",
    "CONTAINER_CHALLENGES_FILE": f"{WHERE}: the challenges",
    "WHALE_API_URL": f"{WHERE}: the Whale",
    "WHALE_TOKENS_FILE": f"{WHERE}: the users' tokens",
    "WHALE_CTFD_DATABASE_URL": f"{WHERE}: the database of Whale's CTFd",
    "WHALE_READY_SERVES_WHALE": f"{SUBJECT}: ctfd-whale's challenges in the same CTFd",
    "REDIS_URL": f"{WHERE}: CTFd's and ctfd-whale's own",
    # What a test cannot do without.
    "CRE_DEPLOYMENT": "tells what a test has left on the Docker engine, to remove it",
    "CRE_TIMEOUT_SECONDS": f"{FINITE}: an instance that runs out while one waits for it",
    "CRE_EXTENSION_SECONDS": f"{FINITE}: an extended one that does, too",
    "CRE_DOCKER_HOST": f"{SUBJECT}: a Docker that hangs, then breaks",
    "CRE_CAPACITY": f"{SUBJECT}: a wrong value",
    "WHALE_READY_RUNTIME": "simulated containers, where what runs is not what is tested",
    "ROLLOUT_POLL_SECONDS": f"{FINITE}: every process goes by a new dial at once",
    "WHALE_PROBE": "frp is stubbed or its fake leads nowhere: no instance of Whale's can answer",
}

WITHOUT_FIREWALL = {
    "benchmarks/cre_bench.py": "a benchmark leaves the machine's packet filter alone",
    "benchmarks/hung_engine.py": "as above; its engine is stopped",
    "tests/integration/test_connection.py": "the engine counts as one on another machine",
    "tests/integration/test_docker_sdks.py": "what is tested is how Docker is reached",
    "tests/integration/test_doctor_on_docker.py": "what is tested is Docker's own side",
    "tests/integration/test_firewall.py": SUBJECT,
    "tests/integration/test_hung_engine.py": "what is tested is an engine of its own, which hangs",
    "tests/unit/test_changed_settings.py": SUBJECT,
    "tests/unit/test_doctor.py": SUBJECT,
    "tests/unit/test_guard.py": SUBJECT,
}
"""Every file that sets the firewall to ``none``, where ``engine`` is shipped."""


def shipped() -> dict[str, str]:
    """This process's environment, without any setting of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)}


def shipped_but(**changed: str) -> dict[str, str]:
    """An environment with these settings; each has its reason in :data:`CHANGED`."""
    strange = sorted(set(changed) - set(CHANGED))
    assert not strange, f"{', '.join(strange)}: write the reason into {__name__}.CHANGED"
    return {**shipped(), **changed}
