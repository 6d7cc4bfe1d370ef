"""Strict readers of files of ours: each raises ValueError that says what is wrong where."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

TEXT = (str,)
NUMBER = (int, float)
WHOLE = (int,)

_T = TypeVar("_T")


def at_least(where: str, data: Mapping[str, object], keys: Collection[str]) -> None:
    """All of these keys, and perhaps more."""
    missing = [key for key in keys if key not in data]
    if missing:
        raise ValueError(f"{where} has no {', '.join(missing)}")


def exactly(where: str, data: Mapping[str, object], keys: Collection[str]) -> None:
    """These keys and no others."""
    at_least(where, data, keys)
    unknown = [key for key in data if key not in keys]
    if unknown:
        raise ValueError(f"{where} has {', '.join(unknown)}, which this version does not know")


def an_object(where: str, content: object) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"{where} is no object")
    return content


def a_list(data: Mapping[str, Any], key: str) -> list[Any]:
    if not isinstance(data[key], list):
        raise ValueError(f"{key} is no list")
    return list(data[key])


def strings(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = a_list(data, key)
    if not all(isinstance(each, str) for each in found):
        raise ValueError(f"{key} holds what is no text")
    return tuple(found)


def texts(where: str, content: object) -> dict[str, str]:
    data = an_object(where, content)
    if not all(isinstance(each, str) for each in data.values()):
        raise ValueError(f"{where} holds what is no text")
    return data


def typed(
    data: Mapping[str, Any], key: str, types: tuple[type, ...], where: str = "the report"
) -> Any:
    """The value of ``key``; true and false are no numbers."""
    found = data.get(key)
    if not isinstance(found, types) or (isinstance(found, bool) and bool not in types):
        raise ValueError(f"{where}: {key} is {type(found).__name__}")
    return found


def made(where: str, make: Callable[[str], _T], content: object) -> _T:
    """What ``make`` makes of a text."""
    if isinstance(content, str):
        try:
            return make(content)
        except ValueError:
            pass
    raise ValueError(f"{where} is {content!r}")
