"""The migration paper's first test: extend's interface is the same on every backend.

``extend_instance(user_id, challenge_id, team_id=None) -> (bool, str)``: by challenge, never by
container.
"""

from __future__ import annotations

import inspect

import pytest
from hybrid.stage import ALICE, Site

from engines.contract import ContainerBackend
from engines.cre import ContainerRuntimeEngine
from engines.hybrid import HybridBackend
from engines.whale import WhaleAPIManager

BACKENDS = (ContainerRuntimeEngine, WhaleAPIManager, HybridBackend)


@pytest.fixture(params=["cre", "whale", "hybrid"])
def backend(request: pytest.FixtureRequest, here: Site) -> ContainerBackend:
    return here.hybrid if request.param == "hybrid" else here.hybrid.sides[request.param]


def test_extend_returns_a_bool_and_a_str(backend: ContainerBackend) -> None:
    assert backend.start_instance(ALICE, 1).ok
    for wanted in (True, False):
        result = backend.extend_instance(ALICE, 1)
        assert isinstance(result, tuple)
        ok, message = result
        assert (ok, type(ok), type(message)) == (wanted, bool, str)
        assert message
        if wanted:
            assert backend.stop_instance(ALICE, 1).ok


def test_extend_takes_the_challenge_and_never_the_container(backend: ContainerBackend) -> None:
    container = backend.start_instance(ALICE, 1).instance["container_id"]
    with pytest.raises(ValueError, match="challenge_id must be an int"):
        backend.extend_instance(ALICE, container)
    assert backend.extend_instance(user_id=ALICE, challenge_id=1, team_id=None).ok


@pytest.mark.parametrize("kind", BACKENDS, ids=lambda kind: kind.__name__)
def test_the_signature_is_the_contracts(kind: type[ContainerBackend]) -> None:
    for name in ("start_instance", "extend_instance", "stop_instance", "get_instance_status"):
        ours = inspect.signature(getattr(kind, name))
        assert ours == inspect.signature(getattr(ContainerBackend, name))
    assert list(inspect.signature(kind.extend_instance).parameters) == [
        "self",
        "user_id",
        "challenge_id",
        "team_id",
    ]
