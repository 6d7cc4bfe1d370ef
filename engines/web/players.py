"""The four endpoints of a player. Whose instance it is comes from the login alone."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flask import request

from engines.contract import Code, ContainerBackend
from engines.errors import BackendUnavailable
from engines.web import answers, inputs
from engines.web.answers import Answer, Refusal
from engines.web.callers import Caller, Door, Gate, Wish

log = logging.getLogger(__name__)

PREFIX = "/api/v1/container"
"""Where the endpoints are mounted."""

BackendProvider = Callable[[], ContainerBackend]
"""Asked for each request, so that the backend may be swapped in a running process."""


class PlayerEndpoints:
    """Start, extend, stop and status, as views of Flask call them."""

    def __init__(self, backend: BackendProvider, door: Door, gate: Gate) -> None:
        self._backend = backend
        self._door = door
        self._gate = gate

    def start(self) -> Answer:
        caller, challenge = self._change()
        refusal = self._gate.refusal(caller, challenge, Wish.START)
        if refusal is not None:
            return answers.refused(refusal)
        result = self._backend().start_instance(caller.user_id, challenge, caller.team_id)
        return answers.started(result, f"{PREFIX}/status?challenge_id={challenge}")

    def extend(self) -> Answer:
        caller, challenge = self._change()
        refusal = self._gate.refusal(caller, challenge, Wish.EXTEND)
        if refusal is not None:
            return answers.refused(refusal)
        return extended(self._backend(), caller.user_id, challenge, caller.team_id)

    def stop(self) -> Answer:
        caller, challenge = self._change()
        refusal = self._gate.refusal(caller, challenge, Wish.STOP)
        if refusal is not None:
            return answers.refused(refusal)
        return answers.done(
            self._backend().stop_instance(caller.user_id, challenge, caller.team_id)
        )

    def status(self) -> Answer:
        caller = self._door.player(request)
        challenge = inputs.challenge_in_query(request)
        refusal = self._gate.refusal(caller, challenge, Wish.STATUS)
        if refusal is not None:
            return answers.refused(refusal)
        live = self._backend().get_instance_status(caller.user_id, challenge, caller.team_id)
        if live is None:
            return answers.ok("No container is running for this challenge")
        return answers.ok("The container is running", answers.instance(live))

    def _change(self) -> tuple[Caller, int]:
        caller = self._door.player_who_changes(request)
        return caller, inputs.challenge_in_body(inputs.members(request))


def extended(
    backend: ContainerBackend, user_id: int, challenge_id: int, team_id: int | None
) -> Answer:
    """Extend, and show the instance as it is afterwards.

    The extend counts even where the look fails: then, and when the instance has ended meanwhile,
    there is no data.
    """
    result = backend.extend_instance(user_id, challenge_id, team_id)
    if not result.ok:
        return answers.done(result)
    try:
        live = backend.get_instance_status(user_id, challenge_id, team_id)
    except BackendUnavailable as error:
        log.warning("extended, but not seen afterwards: %s", error)
        live = None
    return answers.done(result, None if live is None else answers.instance(live))


def unavailable() -> Answer:
    """The backend cannot be asked: nobody knows what runs."""
    message = "The challenge servers cannot be reached; please try again shortly"
    return answers.refused(Refusal(Code.UNAVAILABLE, message))
