"""The fields of a challenge that an organiser fills in, as a form shows and a table stores them.

Every field is a text, kept as it was typed; an empty one means the default of
:class:`engines.catalog.ChallengeSpec`. A program may send and read them as JSON has them instead:
numbers, true and false, null, lists and objects (ctfcli, scripts). Whether a text is right is
decided where the catalogue file is read too (``engines/catalog_file.py``), so that both take and
refuse the same.
"""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engines.catalog import ChallengeSpec, Pull, Readiness, Visibility
from engines.catalog_file import read_challenge
from engines.errors import CatalogError

PREFIX = "container_"
"""Before every name in forms and in the table, so that no name of CTFd's is ever one of ours."""
LONGEST = 10_000
"""Characters of one field."""


@dataclass(frozen=True)
class Field:
    """One field.

    Args:
        name: that of the field in :class:`engines.catalog.ChallengeSpec`.
        parse: the text as the catalogue file would have it; raises ValueError with the fix.
        choices: texts to choose from, the default first; empty where anything may be written.
        lines: whether several lines are usual.
        warning: what an organiser gives away by changing it.
        write: the text of a list or an object, so that ``parse`` gives it again; None where the
            field takes neither.
    """

    name: str
    label: str
    help: str
    parse: Callable[[str], Any]
    group: str
    placeholder: str = ""
    choices: tuple[str, ...] = ()
    lines: bool = False
    warning: str = ""
    write: Callable[[Any], str] | None = None

    @property
    def column(self) -> str:
        return PREFIX + self.name


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise ValueError("write a whole number")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("write a number, such as 0.5") from None


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError("write yes or no")
    return text == "yes"


def _yes_if_said(text: str) -> bool | None:
    return _yes(text) if text else None


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        raise ValueError("a quotation mark is not closed") from None


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.replace("\n", ",").split(",") if part.strip()]


def _ports(text: str) -> list[int | str]:
    listed = _listed(text)
    for each in listed:
        number, slash, transport = each.partition("/")
        right = number.isascii() and number.isdecimal() and 1 <= int(number[:6]) <= 65535
        if not right or (slash and transport not in ("tcp", "udp")):
            raise ValueError("write ports with commas between them, as 80, 53/udp")
    return [int(each) if each.isdecimal() else each for each in listed]


def _pairs(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise ValueError("write one NAME=value per line")
        found[name.strip()] = value.strip()
    return found


def _numbered(text: str) -> dict[str, int]:
    return {name: _whole(value) for name, value in _pairs(text).items()}


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("write a time with its zone, as 2026-12-01T18:00:00+01:00") from None


def _tables(text: str) -> Any:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"this is not TOML: {error}") from None
    if set(found) != {"companions"}:
        raise ValueError("write [[companions]] tables, and nothing else")
    return found["companions"]


def _or_site(text: str) -> bool | None:
    return None if text == "site" else _yes(text)


def _comma_list(value: Any) -> str:
    return ", ".join(_scalars(value))


def _command_line(value: Any) -> str:
    return shlex.join(_scalars(value))


def _scalars(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(type(each) in (str, int) for each in value):
        raise ValueError("write a list of texts")
    return list(map(str, value))


def _pair_lines(value: Any) -> str:
    if not isinstance(value, dict) or any("=" in name for name in value):
        raise ValueError('write an object such as {"NAME": "value"}')
    values = {name: str(each) for name, each in value.items() if type(each) in (str, int, float)}
    if len(values) < len(value) or any("\n" in each for each in values.values()):
        raise ValueError("values are texts of one line, or numbers")
    return "\n".join(f"{name}={each}" for name, each in values.items())


def _table_text(value: Any) -> str:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError("write a list of objects, one per companion")
    tables = (
        "\n".join(["[[companions]]", *(f"{_toml(k)} = {_toml(v)}" for k, v in each.items())])
        for each in value
    )
    return "\n\n".join(tables)


def _toml(value: Any) -> str:
    """A value as TOML has it; a key may be written as a text, too."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if value is None:
        raise ValueError("leave out what has no value")
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


_NO_YES = ("no", "yes")
_YES_NO = ("yes", "no")
GROUPS = ("Container", "Time and number", "Limits and rights", "More")
_RUNS, _LIFE, _MAY, _MORE = GROUPS

FIELDS: tuple[Field, ...] = (
    Field("image", "Image", "What the Docker engine runs.", str, _RUNS, "registry/name:tag"),
    Field(
        "ports",
        "Ports",
        "Ports inside the container, with commas between them; the first is asked for readiness.",
        _ports,
        _RUNS,
        "80, 53/udp",
        write=_comma_list,
    ),
    Field(
        "readiness",
        "Ready when",
        "How a fresh container shows that it serves: it listens (tcp), answers HTTP "
        "(http), its HEALTHCHECK says so, or at once (none).",
        str,
        _RUNS,
        choices=(Readiness.TCP.value, *(e.value for e in Readiness if e is not Readiness.TCP)),
    ),
    Field(
        "pull",
        "Pull",
        "Whether a start fetches the image: never, when it is missing, or always once per process.",
        str,
        _RUNS,
        choices=tuple(policy.value for policy in Pull),
    ),
    Field(
        "flag_prefix",
        "Flag prefix",
        "Each container gets a flag of its own, PREFIX{random}, in the variable FLAG.",
        str,
        _RUNS,
        "flag",
    ),
    Field(
        "flag_file",
        "Flag file",
        "A path in the container: the flag is put there, for its owner alone to read, instead of "
        "into FLAG, which every program of the container sees. Not on a swarm.",
        str,
        _RUNS,
        "/home/ctf/flag.txt",
    ),
    Field("flag_owner", "Flag's owner", "uid or uid:gid.", str, _RUNS, "0:0"),
    Field(
        "host", "Host name", "Shown to players instead of CRE_PUBLIC_HOST.", str, _RUNS, "ctf.test"
    ),
    Field("timeout_seconds", "Life", "Seconds a fresh container lives.", _whole, _LIFE, "3600"),
    Field(
        "ends_at",
        "Ends at",
        "Running instances are stopped at this time; the contest's own end counts anyway.",
        _moment,
        _LIFE,
        "2026-12-01T18:00:00+01:00",
    ),
    Field("limit", "At most", "Live containers of this challenge at a time.", _whole, _LIFE, "50"),
    Field("warm", "Kept ready", "Containers kept waiting for a start.", _whole, _LIFE, "0"),
    Field(
        "ends_on_solve",
        "Ends when solved",
        "Whether a container ends once its account has solved the challenge; site: as "
        "CONTAINER_ENDS_ON_SOLVE says.",
        _or_site,
        _LIFE,
        choices=("site", "yes", "no"),
    ),
    Field("memory_mb", "Memory", "Megabytes; there is no swap beyond them.", _whole, _MAY, "128"),
    Field("cpus", "CPUs", "A share of the machine's processors.", _number, _MAY, "0.5"),
    Field("pids_limit", "Processes", "Processes and threads.", _whole, _MAY, "128"),
    Field(
        "disk_mb",
        "Disk",
        "Megabytes it may write; a container that has written more is stopped. 0: no limit. On a "
        "swarm's other nodes than the manager's only the size of a single file is limited.",
        _whole,
        _MAY,
        "256",
    ),
    Field(
        "shm_mb",
        "Shared memory",
        "Megabytes of /dev/shm, which count as memory; browsers want 256 and more.",
        _whole,
        _MAY,
        "64",
    ),
    Field("egress", "Internet", "Whether it may open connections.", _yes, _MAY, choices=_NO_YES),
    Field(
        "read_only",
        "Read-only",
        "Whether its file system cannot be written to, except for /tmp.",
        _yes,
        _MAY,
        choices=_NO_YES,
    ),
    Field("user", "User", "Name or uid:gid; empty for the image's own.", str, _MAY, "1000:1000"),
    Field(
        "capabilities",
        "Capabilities",
        "Linux capabilities it keeps; all others are dropped.",
        _listed,
        _MAY,
        "NET_BIND_SERVICE",
        write=_comma_list,
    ),
    Field(
        "ulimits",
        "Ulimits",
        "One per line.",
        _numbered,
        _MAY,
        "nofile=1024",
        lines=True,
        write=_pair_lines,
    ),
    Field(
        "command",
        "Command",
        "Instead of the image's own.",
        _words,
        _MORE,
        "serve --port 80",
        write=_command_line,
    ),
    Field(
        "no_new_privileges",
        "No new privileges",
        "no: its set-uid programs (su, sudo, your own) work; then write what they need into "
        "Capabilities. Empty: yes, unless SETUID and SETGID are both kept.",
        _yes_if_said,
        _MAY,
        choices=("", *_YES_NO),
        warning="With no, a player who breaks a set-uid program is root inside the container.",
    ),
    Field(
        "init",
        "Init",
        "A small init as process 1 reaps orphans; no for an image whose own program must be it.",
        _yes,
        _MORE,
        choices=_YES_NO,
    ),
    Field(
        "environment",
        "Environment",
        "One per line; FLAG is set by the engine.",
        _pairs,
        _MORE,
        "NAME=value",
        lines=True,
        write=_pair_lines,
    ),
    Field(
        "companions",
        "Companions",
        "Further containers on a network of the instance's own, as TOML, started in this order. "
        'readiness = "tcp" waits until one listens, "healthcheck" until it is healthy.',
        _tables,
        _MORE,
        '[[companions]]\nname = "db"\nimage = "registry/db:tag"\nreadiness = "tcp"\nport = 5432',
        lines=True,
        write=_table_text,
    ),
    Field(
        "nodes",
        "Nodes",
        "Docker Swarm only: placement constraints, with commas between them.",
        _listed,
        _MORE,
        "node.labels.ctf==true",
        write=_comma_list,
    ),
)


def columns_in(form: Mapping[str, Any]) -> dict[str, str]:
    """Our fields out of a form or a JSON body, as they are to be stored: tidied texts.

    Raises:
        CatalogError: one is no text or number, or too long.
    """
    return {
        field.column: _text(field, form[field.column]) for field in FIELDS if field.column in form
    }


def values_of(columns: Mapping[str, str | None]) -> dict[str, Any]:
    """Our fields as JSON: what :func:`columns_in` takes again; null where the default holds."""
    return {field.column: _value(field, columns.get(field.column)) for field in FIELDS}


def check(columns: Mapping[str, str | None]) -> None:
    """Whether a challenge can be made from these columns.

    Raises:
        CatalogError: names the field by its label, and the fix.
    """
    spec_of(1, "challenge", Visibility.VISIBLE, columns)


def spec_of(
    challenge_id: int,
    name: str,
    visibility: Visibility,
    columns: Mapping[str, str | None],
    contest_end: datetime | None = None,
) -> ChallengeSpec:
    """The challenge that these columns describe.

    Args:
        contest_end: nothing lives beyond it either.

    Raises:
        CatalogError: names the field by its label, and the fix.
    """
    if not columns.get(PREFIX + "image"):
        raise CatalogError("Image: is empty; name the image to run")
    table: dict[str, Any] = {"id": challenge_id, "name": name or "challenge"}
    for field in FIELDS:
        text = columns.get(field.column)
        value = _parsed(field, text) if text else None
        if value is not None:
            table[field.name] = value
    if contest_end is not None:
        table["ends_at"] = min(table.get("ends_at", contest_end), contest_end)
    table["visibility"] = visibility.value
    try:
        return read_challenge(table, _NOWHERE)
    except CatalogError as error:
        raise CatalogError(_told(str(error))) from None


_NOWHERE = "this challenge"


def _parsed(field: Field, text: str) -> Any:
    try:
        value = field.parse(text)
    except ValueError as error:
        raise CatalogError(f"{field.label}: {error}") from None
    if isinstance(value, datetime) and value.tzinfo is None:
        raise CatalogError(
            f"{field.label}: write the time with its zone, as 2026-12-01T18:00:00+01:00"
        )
    return value


def _told(message: str) -> str:
    """The catalogue file's complaint with the form's label instead of its own place."""
    said = message.removeprefix(f"{_NOWHERE}: ")
    for field in FIELDS:
        for after in (" ", "."):
            if said.startswith(field.name + after):
                return f"{field.label}: {said.removeprefix(field.name + after)}"
    return said


def _value(field: Field, text: str | None) -> Any:
    if not text:
        return None
    try:
        value = field.parse(text)
    except ValueError:
        return text  # whatever it is, an organiser is to see it
    return value.isoformat() if isinstance(value, datetime) else value


def _text(field: Field, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, dict)) and field.write is not None:
        try:
            value = field.write(value)
        except ValueError as error:
            raise CatalogError(f"{field.label}: {error}") from None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, (str, int, float)):
        raise CatalogError(f"{field.label}: write a text")
    text = str(value).replace("\r\n", "\n").strip()
    if len(text) > LONGEST:
        raise CatalogError(f"{field.label}: is longer than {LONGEST} characters")
    return text
