"""The result types and the checks on arguments."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from engines.contract import ActionResult, Code, StartResult, account_key, validate_ids

START = StartResult(True, "Container started", {"active": True}, code=Code.OK)
REFUSED = ActionResult(False, "Wait", code=Code.BUSY, retry_after=1.5, definite=False)


def test_results_unpack_as_plain_tuples() -> None:
    ok, message, instance = START
    assert (ok, message, instance) == (True, "Container started", {"active": True})
    ok, message = REFUSED
    assert (ok, message) == (False, "Wait")
    assert isinstance(START, tuple)
    assert REFUSED == (False, "Wait")


@pytest.mark.parametrize("result", [START, REFUSED])
def test_results_survive_pickling_and_copying(result: Any) -> None:
    for twin in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):  # noqa: S301 - our own bytes
        assert twin == result
        assert type(twin) is type(result)
        assert (twin.code, twin.retry_after, twin.definite) == (
            result.code,
            result.retry_after,
            result.definite,
        )


def test_a_refused_start_carries_an_empty_instance() -> None:
    assert StartResult(False, "no", code=Code.CAPACITY)[2] == {}


@pytest.mark.parametrize("value", [0, -1, True, False, "1", 1.0, None, [1], 2**63, b"1"])
@pytest.mark.parametrize("name", ["user_id", "challenge_id", "team_id"])
def test_ids_that_are_no_positive_int_are_refused_by_name(name: str, value: Any) -> None:
    ids: dict[str, Any] = {"user_id": 1, "challenge_id": 1, "team_id": 1, name: value}
    if name == "team_id" and value is None:
        validate_ids(**ids)
        return
    with pytest.raises(ValueError, match=f"^{name} must be an int"):
        validate_ids(**ids)


def test_ids_up_to_the_largest_are_taken() -> None:
    validate_ids(2**63 - 1, 1, 2**63 - 1)


def test_team_mates_share_an_account() -> None:
    assert account_key(1, 7) == account_key(2, 7) == "team:7"
    assert account_key(7, None) == "user:7"
