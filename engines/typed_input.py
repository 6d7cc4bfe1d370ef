"""Files and bodies that others wrote, read into classes; what does not fit is named with its fix.

A dataclass says by its annotations what each field may hold, as ``Annotated[int, Meta(ge=1)]``, and
msgspec decides whether it does. A ``Meta(title=...)`` is said instead of the words below, and a
``Meta(description=...)`` also for all that is inside its type.
"""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import date, datetime
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin, get_type_hints

from msgspec import Meta, ValidationError, convert, inspect, json

from engines.published import document

T = TypeVar("T")
Place = tuple[str | int, ...]
"""Keys, and numbers of list members from 0, that lead to a value."""

Text = Annotated[str, Meta(pattern=r"\S", description="a text that is not empty")]
Count = Annotated[int, Meta(ge=0)]
Moment = Annotated[
    datetime,
    Meta(tz=True, extra_json_schema={"pattern": r"^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$"}),
]
PortNumber = Annotated[int, Meta(ge=1, le=65535)]


class Unfit(ValueError):
    """Content is not what its reader takes; ``said`` goes on after the name of the place."""

    def __init__(self, place: Place, said: str) -> None:
        super().__init__(f"{dotted(place)}: {said}" if place else said)
        self.place, self.said = place, said


def dotted(place: Sequence[str | int]) -> str:
    """As ``challenge[0].ports``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return "".join(parts).removeprefix(".")


def typed(content: object, kind: type[T]) -> T:
    """What a TOML file holds, as the class has it; a key that is no field of it is refused.

    Raises:
        Unfit: with the place that is wrong.
    """
    return _Reader(own=(date, datetime)).read(content, kind)


def from_json(content: object, kind: type[T], *, more: bool = False) -> T:
    """The same for JSON of ours, in which dates are texts and every field is given.

    Args:
        more: whether there may be keys that are no fields.

    Raises:
        Unfit: with the place that is wrong.
    """
    return _Reader(whole=True, more=more).read(content, kind)


def toml_file(path: Path, *, private: str = "") -> dict[str, Any]:
    """The content of a TOML file.

    Args:
        private: the page that shows one, of a file with secrets: only its owner may read that, and
            none of it is quoted.

    Raises:
        Unfit: it cannot be read.
    """
    try:
        if private and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Unfit((), "can be read by others and holds secrets; run chmod 600 on it")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Unfit((), f"cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        shown = f"one is shown in {document(private)}" if private else error
        raise Unfit((), f"is not TOML: {shown}") from None


def schema_of(kind: type, name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what :func:`from_json` takes as the class."""
    parts: dict[str, Any] = json.schema(kind)["$defs"]
    for part in parts.values():
        if "properties" in part:
            part |= {"required": list(part["properties"]), "additionalProperties": False}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:whale-ready:{name}:1",
        **parts.pop(kind.__name__),
        "$defs": parts,
    }


@dataclass(frozen=True)
class _Reader:
    own: tuple[type, ...] = ()
    """Types that the content has values of, beyond JSON's."""
    whole: bool = False
    """Whether fields with a default must be given too."""
    more: bool = False

    def read(self, content: object, kind: type[T]) -> T:
        self._check(content, kind, ())
        return convert(content, kind, builtin_types=self.own)

    def _check(self, content: object, kind: Any, place: Place) -> None:
        """Innermost first, so that what is told is what is wrong."""
        for key, value, inner in self._parts(content, kind, place):
            self._check(value, inner, (*place, key))
        try:
            convert(content, kind, builtin_types=self.own)
        except ValidationError as error:
            said = error.__cause__ or f"must be {_words(inspect.type_info(kind))}"
            raise Unfit(place, str(said)) from None

    def _parts(
        self, content: object, kind: Any, place: Place
    ) -> Iterator[tuple[str | int, object, Any]]:
        """What it is made of: key, value and type; nothing where a description says it all."""
        arguments = get_args(kind)
        if get_origin(kind) is Annotated:
            if not any(
                isinstance(argument, Meta) and argument.description for argument in arguments
            ):
                yield from self._parts(content, arguments[0], place)
        elif arguments[1:] == (type(None),):
            yield from self._parts(content, arguments[0], place)
        elif is_dataclass(kind) and isinstance(content, dict):
            yield from self._members(content, cast("type", kind), place)
        elif isinstance(content, dict) and _is(kind, Mapping):
            yield from ((key, value, arguments[1]) for key, value in content.items())
        elif isinstance(content, list) and _is(kind, Sequence) and arguments[1:] in ((), (...,)):
            yield from ((number, value, arguments[0]) for number, value in enumerate(content))

    def _members(
        self, content: dict[str, Any], kind: type, place: Place
    ) -> Iterator[tuple[str, object, Any]]:
        known, needed = _fields(kind)
        for key in content:
            if key not in known and not self.more:
                near = get_close_matches(key, known, n=1)
                meant = f"did you mean {near[0]}? " if near else ""
                raise Unfit((*place, key), f"is no field; {meant}the fields are {', '.join(known)}")
        for key in known if self.whole else needed:
            if key not in content:
                words = _words(inspect.type_info(known[key]))
                raise Unfit((*place, key), f"is missing; it must be {words}")
        yield from ((key, value, known[key]) for key, value in content.items() if key in known)


def _is(kind: Any, of: type) -> bool:
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, of)


@cache
def _fields(kind: type) -> tuple[Mapping[str, Any], Sequence[str]]:
    """The types of a dataclass's fields by name, and which of them must be given."""
    hints = get_type_hints(kind, include_extras=True)
    made = [field for field in fields(kind) if field.init]
    needed = [f.name for f in made if f.default is MISSING and f.default_factory is MISSING]
    return {field.name: hints[field.name] for field in made}, needed


_WORDS: Mapping[type[inspect.Type], str] = {
    inspect.BoolType: "true or false",
    inspect.FloatType: "a number",
    inspect.StrType: "a text",
    inspect.DateType: "a day without quotes, as 2030-12-31",
    inspect.DateTimeType: "a time with its zone, as 2026-12-01T18:00:00+01:00",
}


def _words(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata(extra_json_schema={"description": str(said)} | {"title": str(said)}):
            return said
        case inspect.Metadata():
            return _words(kind.type)
        case inspect.IntType():
            low = "" if kind.ge is None else f" from {kind.ge}"
            return f"a whole number{low}" + ("" if kind.le is None else f" to {kind.le}")
        case inspect.EnumType():
            return "one of " + ", ".join(str(member.value) for member in kind.cls)
        case inspect.LiteralType():
            return "one of " + ", ".join(map(str, kind.values))
        case inspect.CollectionType():
            return "a list of texts" if isinstance(kind.item_type, inspect.StrType) else "a list"
        case inspect.UnionType():
            return " or ".join(_words(of) for of in kind.types if type(of) is not inspect.NoneType)
    return _WORDS.get(type(kind), "key/value pairs")
