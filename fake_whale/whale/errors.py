"""What can go wrong inside the imitated system, and how it shows.

::

    FakeWhaleError            bad input to the fake itself: world file, option, control request
    MechanismError            a part of the imitated system failed; whoever calls it decides
    ├── BadSetting            a setting cannot be read as a number
    ├── EngineError           Docker refused, answered 500 or did not answer
    ├── RouterError           frpc or trp did not take the rules
    ├── RedisError            redis answered with nothing usable
    └── DatabaseError         the row is gone, or the value does not fit its column
    Refusal                   an answer that ends the request: status and body
"""

from __future__ import annotations


class FakeWhaleError(Exception):
    """Bad input to the fake itself; the message names the field and the fix."""


class MechanismError(Exception):
    """A part of the imitated system failed; uncaught it becomes a 500, as in the real one."""


class BadSetting(MechanismError):
    """A whale setting that should be a number is not."""


class ContainerEngineError(MechanismError):
    """The container engine refused, failed or did not answer in time."""


class RouterError(MechanismError):
    """frpc (or trp) did not take the rules."""


class RedisError(MechanismError):
    """redis had nothing to give."""


class DatabaseError(MechanismError):
    """The database refused the statement."""


class WhaleRefusal(Exception):
    """Ends a request with this status; ``message`` is what Whale says.

    ``known`` is False where the real answer carries no ``success`` key: CTFd itself refused, not
    Whale.
    """

    def __init__(self, status: int, message: str, *, known: bool = True) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.known = known
