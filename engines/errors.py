"""The one error tree of ``engines``.

::

    EngineError
    ├── SettingsError        (ValueError)  a setting is missing or wrong; names it and the fix
    ├── CatalogError         (ValueError)  a challenge catalogue is wrong; names file and field
    ├── SchemaError                        the database's tables cannot be used by this program
    ├── BackendUnavailable                 the backend cannot be asked; status raises it
    │   └── OutcomeUnknown                 what was asked for may be done, or may be yet
    ├── RuntimeFault                       a container runtime refused one request
    │   ├── ImageMissing                   the image is neither here nor can it be pulled
    │   ├── ContainerExited                the container ended before it was ready
    │   ├── NotReady                       it runs but did not answer within the ready time-out
    │   ├── PortUnavailable                no port could be published
    │   ├── NoRoom                         every port or subnet of a range is in use
    │   │   └── SubnetTaken                this subnet is, by a network that is not ours
    │   └── Later                          not now; a later start may succeed
    │       ├── ImageComing                the image is being pulled
    │       └── Crowded                    too many starts wait for their turn
    ├── WhaleFault                         Whale's answer was a refusal or no answer at all
    └── web.answers.Refused                an endpoint refuses a request; its blueprint answers it

Only SettingsError, CatalogError, SchemaError and BackendUnavailable ever reach a caller of a
backend, the first three when it is made; the others are caught inside ``engines`` and become a
:class:`engines.contract.Code`.
"""

from __future__ import annotations

from engines.contract import Code


class EngineError(Exception):
    """Root of everything ``engines`` raises on purpose."""


class SettingsError(EngineError, ValueError):
    """A setting is missing or wrong. The message names the setting and how to put it right."""


class CatalogError(EngineError, ValueError):
    """The challenge catalogue is wrong. The message names the place and how to put it right."""


class SchemaError(EngineError):
    """The database's tables are of a version this program does not know, or another process has
    been changing them for too long. The message says how to put it right."""


class BackendUnavailable(EngineError):
    """The backend cannot be asked now: what runs is not known.

    Args:
        message: what could not be reached; carries no secret.
        untouched: True when the request certainly did not reach it (connection refused).
        unanswered: True when a request may have reached it and brought no answer.
        fix: what an organiser does about it; becomes part of the error's text.
    """

    def __init__(
        self, message: str, *, untouched: bool = False, unanswered: bool = False, fix: str = ""
    ) -> None:
        super().__init__(f"{message}: {fix}" if fix else message)
        self.untouched = untouched
        self.unanswered = unanswered
        self.seen = message
        self.fix = fix


class OutcomeUnknown(BackendUnavailable):
    """A call broke off in the middle: what it was about may be done, or may be yet. What there may
    be of it is on record until it is cleared away."""


class RuntimeFault(EngineError):
    """A container runtime refused one request; ``code`` says what that means to a caller.

    Args:
        message: why, for logs and admins; carries no secret.
        output: the last lines that the instance's programs printed, without secrets.
    """

    code = Code.START_FAILED

    def __init__(self, message: str, *, output: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.output = output


class ImageMissing(RuntimeFault):
    code = Code.IMAGE_MISSING


class ContainerExited(RuntimeFault):
    code = Code.START_FAILED


class NotReady(RuntimeFault):
    code = Code.NOT_READY


class PortUnavailable(RuntimeFault):
    code = Code.PORT_UNAVAILABLE


class NoRoom(RuntimeFault):
    code = Code.CAPACITY


class SubnetTaken(NoRoom):
    """Another network of the host uses these addresses."""


class Later(RuntimeFault):
    """Not now.

    Args:
        message: for a player; carries no secret.
        retry_after: seconds after which to start again.
    """

    code = Code.BUSY

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class ImageComing(Later):
    """``progress`` is how far the pull is, such as ``34 %``; empty when that is not known."""

    def __init__(self, progress: str, retry_after: float) -> None:
        far = f" ({progress})" if progress else ""
        super().__init__(
            f"This challenge's image is being fetched{far}; please try again shortly", retry_after
        )
        self.progress = progress


class Crowded(Later):
    def __init__(self, retry_after: float) -> None:
        message = "Many containers are being started; please try again in a moment"
        super().__init__(message, retry_after)


class WhaleFault(EngineError):
    """Whale refused, or did not answer.

    Args:
        code: what it means to a caller.
        message: for a player; carries no secret and no HTML.
        retry_after: seconds after which the same call may succeed.
        definite: False when Whale may have done it all the same (time-out, connection lost).
        pending: whether Whale may still be at work on it; unless given, when it is not definite.
        said: what was heard of Whale, for organisers; carries no secret.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        retry_after: float | None = None,
        definite: bool = True,
        pending: bool | None = None,
        said: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.definite = definite
        self.pending = not definite if pending is None else pending
        self.said = said
