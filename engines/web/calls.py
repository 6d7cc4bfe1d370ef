"""The four calls about one instance, made and answered; for players, and for admins in their place.

While its backend cannot be asked, an instance that is on record is shown as last known, and is out
of reach. That is no failure of the service: other starts may well go on elsewhere.
"""

from __future__ import annotations

import logging

from engines.contract import ActionResult, Code, ContainerBackend, InstanceStatus, StartResult
from engines.errors import BackendUnavailable
from engines.web import answers
from engines.web.answers import HttpAnswer, WebCode, WebRefusal

log = logging.getLogger(__name__)

PREFIX = "/api/v1/container"
"""Where the endpoints are mounted."""
NOTHING_RUNS = "No container is running for this challenge"


class InstanceCalls:
    """What is asked of a backend about one account's instance of one challenge."""

    def __init__(
        self, backend: ContainerBackend, user_id: int, challenge_id: int, team_id: int | None
    ) -> None:
        self._backend = backend
        self._whose = (user_id, challenge_id, team_id)
        self._location = f"{PREFIX}/status?challenge_id={challenge_id}"

    def start(self) -> HttpAnswer:
        result = self._backend.start_instance(*self._whose)
        return self._out_of_reach(result) or answers.started(result, self._location)

    def extend(self) -> HttpAnswer:
        """Extend, and show the instance as it is afterwards.

        The extend counts even where the look fails: then it is shown as it is on record. When it
        has ended meanwhile there is no data.
        """
        result = self._backend.extend_instance(*self._whose)
        if not result.ok:
            return self._out_of_reach(result) or answers.done(result)
        try:
            live = self._backend.get_instance_status(*self._whose)
        except BackendUnavailable as error:
            log.warning("extended, but not seen afterwards: %s", error)
            live = self._on_record()
        return answers.done(result, None if live is None else answers.instance(live))

    def stop(self) -> HttpAnswer:
        result = self._backend.stop_instance(*self._whose)
        return self._out_of_reach(result) or answers.done(result)

    def status(self) -> HttpAnswer:
        try:
            live = self._backend.get_instance_status(*self._whose)
        except BackendUnavailable as error:
            log.warning("a status cannot be asked for: %s", error)
            return self._status_on_record()
        if live is None:
            return answers.ok(self._backend.why_ended(*self._whose) or NOTHING_RUNS)
        return answers.ok("The container is running", answers.instance(live))

    def _out_of_reach(self, result: StartResult | ActionResult) -> HttpAnswer | None:
        """The refusal of a call that could not reach what is on record, or may have done it."""
        if result.code is not Code.UNAVAILABLE:
            return None
        if result.definite and not self._holds():
            return None
        return answers.refused(WebRefusal(WebCode.OUT_OF_REACH, result.message, result.retry_after))

    def _status_on_record(self) -> HttpAnswer:
        known = self._on_record()
        if known is not None:
            return answers.last_known(answers.instance(known))
        if self._holds():
            return answers.unavailable(WebCode.OUT_OF_REACH)
        return answers.unavailable()

    def _on_record(self) -> InstanceStatus | None:
        try:
            return self._backend.last_known(*self._whose)
        except BackendUnavailable:
            return None

    def _holds(self) -> bool:
        try:
            return self._backend.holds(*self._whose)
        except BackendUnavailable:
            return False
