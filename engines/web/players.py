"""The four endpoints of a player. Whose instance it is comes from the login alone."""

from __future__ import annotations

from collections.abc import Callable

from flask import request

from engines.contract import Code, ContainerBackend
from engines.errors import BackendUnavailable
from engines.web import answers, inputs
from engines.web.answers import HttpAnswer, WebRefusal
from engines.web.callers import Authorizer, Caller, Gate, Operation
from engines.web.calls import InstanceCalls

BackendProvider = Callable[[], ContainerBackend]
"""Asked for each request, so that the backend may be swapped in a running process."""


class PlayerEndpoints:
    """Start, extend, stop and status, as views of Flask call them."""

    def __init__(self, backend: BackendProvider, door: Authorizer, gate: Gate) -> None:
        self._backend = backend
        self._door = door
        self._gate = gate

    def start(self) -> HttpAnswer:
        return self._change(Operation.START, InstanceCalls.start)

    def extend(self) -> HttpAnswer:
        return self._change(Operation.EXTEND, InstanceCalls.extend)

    def stop(self) -> HttpAnswer:
        return self._change(Operation.STOP, InstanceCalls.stop)

    def status(self) -> HttpAnswer:
        caller = self._door.player(request)
        return self._let_in(
            caller, inputs.challenge_in_query(request), Operation.STATUS, InstanceCalls.status
        )

    def _change(self, wish: Operation, call: Callable[[InstanceCalls], HttpAnswer]) -> HttpAnswer:
        caller = self._door.player_who_changes(request)
        wait = self._throttle(caller)
        if wait is not None:
            message = "You have asked for too much within a minute; please wait a little"
            return answers.refused(WebRefusal(Code.RATE_LIMITED, message, wait))
        return self._let_in(caller, inputs.challenge_in_body(inputs.members(request)), wish, call)

    def _throttle(self, caller: Caller) -> float | None:
        try:
            return self._backend().throttle(caller.user_id, caller.team_id)
        except BackendUnavailable:
            return None  # the call itself will say so, unless it is refused before

    def _let_in(
        self,
        caller: Caller,
        challenge: int,
        wish: Operation,
        call: Callable[[InstanceCalls], HttpAnswer],
    ) -> HttpAnswer:
        refusal = self._gate.refusal(caller, challenge, wish)
        if refusal is not None:
            return answers.refused(refusal)
        return call(InstanceCalls(self._backend(), caller.user_id, challenge, caller.team_id))
