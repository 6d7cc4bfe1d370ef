"""The four endpoints of a player. Whose instance it is comes from the login alone."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flask import request

from engines.contract import ActionResult, Code, ContainerBackend, InstanceStatus, StartResult
from engines.errors import BackendUnavailable
from engines.web import answers, inputs
from engines.web.answers import Answer, Refusal, WebCode
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
        backend, whose = self._backend(), (caller.user_id, challenge, caller.team_id)
        result = backend.start_instance(*whose)
        location = f"{PREFIX}/status?challenge_id={challenge}"
        return out_of_reach(backend, *whose, result) or answers.started(result, location)

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
        return stopped(self._backend(), caller.user_id, challenge, caller.team_id)

    def status(self) -> Answer:
        caller = self._door.player(request)
        challenge = inputs.challenge_in_query(request)
        refusal = self._gate.refusal(caller, challenge, Wish.STATUS)
        if refusal is not None:
            return answers.refused(refusal)
        backend, whose = self._backend(), (caller.user_id, challenge, caller.team_id)
        try:
            live = backend.get_instance_status(*whose)
        except BackendUnavailable as error:
            log.warning("a status cannot be asked for: %s", error)
            return _as_on_record(backend, *whose)
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

    The extend counts even where the look fails: then it is shown as it is on record. When it has
    ended meanwhile there is no data.
    """
    whose = (user_id, challenge_id, team_id)
    result = backend.extend_instance(*whose)
    if not result.ok:
        return out_of_reach(backend, *whose, result) or answers.done(result)
    try:
        live = backend.get_instance_status(*whose)
    except BackendUnavailable as error:
        log.warning("extended, but not seen afterwards: %s", error)
        live = _on_record(backend, *whose)
    return answers.done(result, None if live is None else answers.instance(live))


def stopped(
    backend: ContainerBackend, user_id: int, challenge_id: int, team_id: int | None
) -> Answer:
    """Stop it."""
    whose = (user_id, challenge_id, team_id)
    result = backend.stop_instance(*whose)
    return out_of_reach(backend, *whose, result) or answers.done(result)


def out_of_reach(
    backend: ContainerBackend,
    user_id: int,
    challenge_id: int,
    team_id: int | None,
    result: StartResult | ActionResult,
) -> Answer | None:
    """The refusal of a call about one instance that is on record and cannot be asked about.

    That is no failure of the service: starts may well go on elsewhere. None for any other result.
    """
    if result.code is not Code.UNAVAILABLE:
        return None
    if result.definite and not _holds(backend, user_id, challenge_id, team_id):
        return None
    return answers.refused(Refusal(WebCode.OUT_OF_REACH, result.message, result.retry_after))


def unavailable() -> Answer:
    """The backend cannot be asked: nobody knows what runs."""
    return answers.refused(Refusal(Code.UNAVAILABLE, _CANNOT_BE_REACHED))


_CANNOT_BE_REACHED = "The challenge servers cannot be reached; please try again shortly"


def _as_on_record(
    backend: ContainerBackend, user_id: int, challenge_id: int, team_id: int | None
) -> Answer:
    """A status, by what the backend's records say."""
    known = _on_record(backend, user_id, challenge_id, team_id)
    if known is not None:
        return answers.last_known(answers.instance(known))
    if _holds(backend, user_id, challenge_id, team_id):
        return answers.refused(Refusal(WebCode.OUT_OF_REACH, _CANNOT_BE_REACHED))
    return unavailable()


def _on_record(
    backend: ContainerBackend, user_id: int, challenge_id: int, team_id: int | None
) -> InstanceStatus | None:
    try:
        return backend.last_known(user_id, challenge_id, team_id)
    except BackendUnavailable:
        return None


def _holds(backend: ContainerBackend, user_id: int, challenge_id: int, team_id: int | None) -> bool:
    try:
        return backend.holds(user_id, challenge_id, team_id)
    except BackendUnavailable:
        return False
