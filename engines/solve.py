"""What a solve means for the instance it was made on: nothing, unless site or challenge say so."""

from __future__ import annotations

from engines.audit import with_detail
from engines.contract import ActionResult, ContainerBackend

SOLVED = "the challenge was solved"
"""Why, in the audit log."""


def end_on_solve(
    backend: ContainerBackend, user_id: int, challenge_id: int, team_id: int | None = None
) -> ActionResult | None:
    """End the account's instance of a challenge that it has solved; None where it is to go on."""
    if not backend.ends_on_solve(challenge_id):
        return None
    with with_detail(reason=SOLVED):
        return backend.stop_instance(user_id, challenge_id, team_id)
