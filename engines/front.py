"""What every backend of ours does around a call: check, time, audit, and never raise.

A backend implements ``_start``, ``_extend``, ``_stop`` and ``_status``; and ``_holds`` and
``_last_known`` from its own records. When a call changes something it writes the event it got from
:meth:`Call.event` in the transaction of the change; for a call that changed nothing the event is
written here.
"""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from engines.audit import Action, ContainerEvent, audit_detail
from engines.clock import Clock
from engines.contract import (
    ActionResult,
    Code,
    ContainerBackend,
    InstanceStatus,
    StartResult,
    account_key,
    validate_ids,
)
from engines.errors import BackendUnavailable, OutcomeUnknown
from engines.reasons import reason
from engines.state.audit_log import AuditLog, held_back
from engines.upkeep import Upkeep

log = logging.getLogger(__name__)

RETRY_OUTAGE_SECONDS = 10.0
"""``retry_after`` of a call that could not reach what the backend stands on."""

_ResultT = TypeVar("_ResultT", StartResult, ActionResult)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise BackendUnavailable("the state database cannot be read") from error


class Call:
    """One call in progress: who, what, since when, and whether its event is written.

    Args:
        detail: what every event of the call says besides.
    """

    def __init__(
        self,
        backend: str,
        clock: Clock,
        user_id: int,
        challenge_id: int,
        team_id: int | None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        self.user_id = user_id
        self.challenge_id = challenge_id
        self.team_id = team_id
        self.account = account_key(user_id, team_id)
        self.recorded = False
        self.mark: str | None = None
        """Of the account and the challenge, where a start has looked it up; see
        :mod:`engines.owners`."""
        self.detail = dict(detail or {})
        self._backend = backend
        self._clock = clock
        self._began = time.perf_counter()

    def event(self, action: Action, code: Code, **metadata: Any) -> ContainerEvent:
        """The event of this call, to be written beside the change it reports."""
        return ContainerEvent(
            at=self._clock.now(),
            backend=self._backend,
            user_id=self.user_id,
            team_id=self.team_id,
            challenge_id=self.challenge_id,
            action=action,
            code=code,
            duration_ms=round((time.perf_counter() - self._began) * 1000),
            metadata={**self.detail, **metadata},
        )


class AuditedBackend(ContainerBackend):
    """The four calls of the contract around a backend's own work."""

    def __init__(self, clock: Clock, audit: AuditLog, upkeep: Upkeep | None = None) -> None:
        self.clock = clock
        self.audit = audit
        self._upkeep = upkeep

    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        call = self._call(user_id, challenge_id, team_id)
        try:
            result = self._start(call)
        except (BackendUnavailable, SQLAlchemyError) as error:
            code, message, retry = self._unavailable("start", call, error)
            # A state that broke off may have done so after the container was made.
            known = isinstance(error, BackendUnavailable) and not isinstance(error, OutcomeUnknown)
            result = StartResult(False, message, code=code, retry_after=retry, definite=known)
        except Exception as error:  # noqa: BLE001 - the contract: a start never raises
            said = self._unexpected("start", call, error)
            result = StartResult(False, said, code=Code.INTERNAL, definite=False)
        action = Action.START_REPEATED if result.ok else Action.START_FAILED
        return self._audited(call, action, result)

    def extend_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> ActionResult:
        call = self._call(user_id, challenge_id, team_id)
        try:
            result = self._extend(call)
        except (BackendUnavailable, SQLAlchemyError) as error:
            code, message, retry = self._unavailable("extend", call, error)
            result = ActionResult(False, message, code=code, retry_after=retry)
        except Exception as error:  # noqa: BLE001 - the contract: an extend never raises
            result = ActionResult(
                False, self._unexpected("extend", call, error), code=Code.INTERNAL
            )
        return self._audited(call, Action.EXTEND_FAILED, result)

    def stop_instance(
        self,
        user_id: int,
        challenge_id: int,
        team_id: int | None = None,
        auto_cleanup: bool = False,
    ) -> ActionResult:
        call = self._call(user_id, challenge_id, team_id)
        try:
            result = self._stop(call, Action.EXPIRED if auto_cleanup else Action.STOPPED)
        except (BackendUnavailable, SQLAlchemyError) as error:
            code, message, retry = self._unavailable("stop", call, error)
            known = not isinstance(error, OutcomeUnknown)
            result = ActionResult(False, message, code=code, retry_after=retry, definite=known)
        except Exception as error:  # noqa: BLE001 - the contract: a stop never raises
            result = ActionResult(False, self._unexpected("stop", call, error), code=Code.INTERNAL)
        if auto_cleanup and result.code is Code.NOT_FOUND:
            # Cleaning up what is gone already is done: the worker's call may be repeated.
            return ActionResult(True, "Nothing left to clean up", code=Code.OK)
        return self._audited(call, Action.STOP_FAILED, result)

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        call = self._call(user_id, challenge_id, team_id)
        with _reading():
            return self._status(call)

    def holds(self, user_id: int, challenge_id: int, team_id: int | None = None) -> bool:
        call = self._call(user_id, challenge_id, team_id)
        with _reading():
            return self._holds(call)

    def last_known(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        call = self._call(user_id, challenge_id, team_id)
        with _reading():
            return self._last_known(call)

    def throttle(self, user_id: int, team_id: int | None = None) -> float | None:
        return None if self._upkeep is None else self._upkeep.throttle(user_id, team_id)

    def forget_old(self) -> int:
        return 0 if self._upkeep is None else self._upkeep.forget_old()

    @abstractmethod
    def _start(self, call: Call) -> StartResult: ...

    @abstractmethod
    def _extend(self, call: Call) -> ActionResult: ...

    @abstractmethod
    def _stop(self, call: Call, action: Action) -> ActionResult: ...

    @abstractmethod
    def _status(self, call: Call) -> InstanceStatus | None: ...

    def _holds(self, call: Call) -> bool:
        return self._status(call) is not None

    def _last_known(self, _call: Call) -> InstanceStatus | None:
        return None

    def _call(self, user_id: int, challenge_id: int, team_id: int | None) -> Call:
        validate_ids(user_id, challenge_id, team_id)
        return Call(self.name, self.clock, user_id, challenge_id, team_id, audit_detail.get())

    def _audited(self, call: Call, action: Action, result: _ResultT) -> _ResultT:
        """Write the event of a call that changed nothing."""
        if not call.recorded:
            try:
                unknown = {} if result.definite else {"definite": False}
                event = call.event(action, result.code, **unknown)
                write = partial(
                    self.audit.record_refusal,
                    event,
                    of_a_challenge=result.ok or self.may_be_challenge(call.challenge_id),
                )
                waiting = held_back.get()
                if waiting is not None:
                    waiting.append(write)
                else:
                    write()
            except SQLAlchemyError as error:
                # Nothing changed, so the log misses an attempt, not a change.
                log.error("audit event not written: %s", reason(error))
        return result

    def _unavailable(self, what: str, call: Call, error: Exception) -> tuple[Code, str, float]:
        why = reason(error)
        log.warning("%s: %s cannot be asked: %s", what, self.name, why)
        call.detail["reason"] = why
        message = "The challenge servers cannot be reached; please try again shortly"
        return Code.UNAVAILABLE, message, RETRY_OUTAGE_SECONDS

    def _unexpected(self, what: str, call: Call, error: Exception) -> str:
        call.detail["reason"] = why = reason(error)
        log.error("%s failed inside %s: %s", what, self.name, why)
        return "Something went wrong on our side; please tell an organiser"
