"""Why something failed, in one line for the log, without a secret.

Only our own errors are known to quote no URL, request or row: they are written as they are. Of any
other error the type, its numbers and its place are written, and the same of what it came from.
"""

from __future__ import annotations

import re
import traceback
from pathlib import PurePath
from types import FrameType

from engines.errors import EngineError
from engines.printable import printable

_CODE = re.compile(r"[0-9A-Z]{5}|SQLITE_[A-Z_]+")
_PACKAGE = __name__.partition(".")[0]


def reason(error: BaseException) -> str:
    """As ``OperationalError (2003) at pymysql.py:361 in connect, called at lease.py:52 in acquire,
    from ConnectionRefusedError (111) at socket.py:836 in create_connection``."""
    origin = error
    while (earlier := _before(origin)) is not None:
        origin = earlier
    return _one(error) if origin is error else f"{_one(error)}, from {_one(origin)}"


def _before(error: BaseException) -> BaseException | None:
    """What the error came from, also where that is kept from its message."""
    return error.__cause__ or error.__context__


def _one(error: BaseException) -> str:
    if isinstance(error, EngineError):
        return printable(str(error))
    return f"{type(error).__name__}{_numbers(error)}{_place(error)}"


def _numbers(error: BaseException) -> str:
    """A code of the system, of a database's driver or of an HTTP answer."""
    codes = [getattr(error, name, None) for name in ("errno", "status_code")]
    if (driver := getattr(error, "orig", None)) is not None:
        codes += [getattr(driver, name, None) for name in ("pgcode", "sqlite_errorname")]
        codes += driver.args[:1]  # MySQL's number; text is a message, and left out
    for code in codes:
        if isinstance(code, int) or (isinstance(code, str) and _CODE.fullmatch(code)):
            return f" ({code})"
    return ""


def _place(error: BaseException) -> str:
    frames = list(traceback.walk_tb(error.__traceback__))
    if not frames:
        return ""
    ours = [frame for frame in frames if _is_ours(frame[0])]
    said = f" at {_shown(*frames[-1])}"
    if ours and ours[-1] is not frames[-1]:
        said += f", called at {_shown(*ours[-1])}"
    return said


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(f"{_PACKAGE}.")


def _shown(frame: FrameType, line: int) -> str:
    code = frame.f_code
    return f"{PurePath(code.co_filename).name}:{line} in {code.co_name}"
