"""What every answer must look like, whatever was asked: checked on each call of each scenario."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from engines.contract import ActionResult, Code, StartResult


class RuleBroken(AssertionError):
    """The backend did what a rule forbids."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{message} (breaks {rule})")
        self.rule = rule


STATUS_TYPES: dict[str, type] = {
    "active": bool,
    "container_id": str,
    "challenge_id": int,
    "host": str,
    "ports": list,
    "started_at": str,
    "expires_at": str,
    "remaining_seconds": int,
    "extension_count": int,
    "max_extensions": int,
    "backend": str,
}

_TAG = re.compile(r"<\s*/?\s*[A-Za-z!]|&(?:lt|gt|amp|quot|#\d+);")
_TRACE = re.compile(r"Traceback|File \".*\", line \d+|\bat 0x[0-9a-f]{6,}")


def check_start(answer: StartResult) -> None:
    """Raise :class:`RuleBroken` unless ``answer`` is what a start may return."""
    _check_tuple("START-019", answer, (bool, str, dict))
    ok, message, instance = answer
    _check_extras("START-019", answer, ok)
    check_message(message)
    if ok:
        check_status(instance)
    elif instance:
        raise RuleBroken("INPUT-010", f"a refused start returned an instance: {instance!r}")


def check_action(answer: ActionResult) -> None:
    """Raise :class:`RuleBroken` unless ``answer`` is what extend and stop may return."""
    _check_tuple("STOP-015", answer, (bool, str))
    ok, message = answer
    _check_extras("STOP-015", answer, ok)
    check_message(message)


def check_message(message: str) -> None:
    """Raise :class:`RuleBroken` unless a player can be shown this."""
    if not message.strip():
        raise RuleBroken("INPUT-009", "a message is empty")
    if _TAG.search(message):
        raise RuleBroken("INPUT-009", f"a message holds HTML: {message!r}")
    if _TRACE.search(message):
        raise RuleBroken("INPUT-009", f"a message holds a stack trace: {message!r}")


def check_status(status: object) -> None:
    """Raise :class:`RuleBroken` unless ``status`` has every key with the right type."""
    if not isinstance(status, Mapping):
        raise RuleBroken("STATUS-001", f"an instance is a dict, not {type(status).__name__}")
    missing = sorted(STATUS_TYPES.keys() - status.keys())
    if missing:
        raise RuleBroken("STATUS-001", f"keys are missing: {', '.join(missing)}")
    for key, wanted in STATUS_TYPES.items():
        # type() and not isinstance(): True is no number of seconds.
        if type(status[key]) is not wanted:
            got = type(status[key]).__name__
            raise RuleBroken("STATUS-001", f"{key} is {got}, not {wanted.__name__}")
    _check_values(status)
    moment("started_at", status["started_at"])
    moment("expires_at", status["expires_at"])


def moment(name: str, text: str) -> datetime:
    """A time of the status as an aware datetime; raise :class:`RuleBroken` unless it is UTC."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise RuleBroken("STATUS-008", f"{name} is not ISO 8601: {text!r}") from None
    if parsed.utcoffset() != timedelta(0):
        raise RuleBroken("STATUS-008", f"{name} does not say UTC: {text!r}")
    return parsed


def _check_values(status: Mapping[str, Any]) -> None:
    if status["active"] is not True:
        raise RuleBroken("STATUS-001", "active is False: what is not live is None")
    if not status["container_id"]:
        raise RuleBroken("STATUS-001", "container_id is empty")
    if not all(type(port) is str for port in status["ports"]):
        raise RuleBroken("STATUS-001", f"ports are str, not {status['ports']!r}")
    if status["remaining_seconds"] < 0:
        seconds = status["remaining_seconds"]
        raise RuleBroken("STATUS-006", f"remaining_seconds is below 0: {seconds}")
    if not 0 <= status["extension_count"] <= status["max_extensions"]:
        count = f"{status['extension_count']} of {status['max_extensions']}"
        raise RuleBroken("STATUS-009", f"extension_count is out of range: {count}")


def _check_tuple(rule: str, answer: object, wanted: tuple[type, ...]) -> None:
    names = ", ".join(each.__name__ for each in wanted)
    if not isinstance(answer, tuple):
        raise RuleBroken(rule, f"the answer is {type(answer).__name__}, not a tuple of {names}")
    if tuple(type(part) for part in answer) != wanted:
        got = ", ".join(type(part).__name__ for part in answer)
        raise RuleBroken(rule, f"the answer is a tuple of {got or 'nothing'}, not of {names}")


def _check_extras(rule: str, answer: object, ok: bool) -> None:
    code = getattr(answer, "code", None)
    retry_after = getattr(answer, "retry_after", "missing")
    if not isinstance(code, Code):
        raise RuleBroken(rule, f"the answer's code is {code!r}, not a Code")
    if type(getattr(answer, "definite", None)) is not bool:
        raise RuleBroken(rule, "the answer does not say whether it is definite")
    if retry_after is not None and type(retry_after) not in (int, float):
        raise RuleBroken(rule, f"retry_after is {retry_after!r}, not seconds or None")
    if ok != (code in (Code.OK, Code.ALREADY_RUNNING)):
        raise RuleBroken(rule, f"the answer is {ok} but its code is {code.value}")
