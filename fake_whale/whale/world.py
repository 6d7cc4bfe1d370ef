"""The world a fake starts from: users, teams, challenges, images and Whale's settings.

The file format is that of ``whale-world.json``; everything is checked here, once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, ValidationError, convert

from .errors import FakeWhaleError
from .flavours import NEWEST, Flavour, flavour_named
from .settings import check_settings


class UserMode(str, Enum):
    """CTFd's ``user_mode``. Whale itself is strictly per user in both."""

    USERS = "users"
    TEAMS = "teams"


@dataclass(frozen=True)
class User:
    """A CTFd account. ``repr`` shows neither password nor token."""

    id: Annotated[int, Meta(ge=1)]
    name: str
    password: str = field(default="", repr=False)
    token: str | None = field(default=None, repr=False)
    type: str = "user"
    banned: bool = False
    team_id: int | None = None


@dataclass(frozen=True)
class Team:
    """A CTFd team."""

    id: Annotated[int, Meta(ge=1)]
    name: str
    banned: bool = False


@dataclass(frozen=True)
class WhaleChallenge:
    """A challenge; only ``dynamic_docker`` ones can be started."""

    id: Annotated[int, Meta(ge=1)]
    name: str
    category: str = "web"
    type: str = "dynamic_docker"
    state: str = "visible"
    image: str | None = "chal:1"
    redirect_type: str | None = "http"
    redirect_port: int | None = 80
    memory_limit: str | None = "128m"
    cpu_limit: float | None = 0.5


@dataclass(frozen=True)
class WhaleWorld:
    """Everything that exists before the first request.

    ``crashing_images`` start and exit at once. ``nodes`` are the Swarm's nodes by their ``name``
    label, ``node_cpus`` how many CPUs each has, ``networks`` the overlay networks that exist.
    """

    users: Sequence[User] = ()
    challenges: Sequence[WhaleChallenge] = ()
    images: frozenset[str] = frozenset()
    config: Mapping[str, str] = field(default_factory=dict)
    user_mode: UserMode = UserMode.USERS
    teams: Sequence[Team] = ()
    crashing_images: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset({"linux-1"})
    node_cpus: float = 4.0
    networks: frozenset[str] = frozenset({"ctfd_frp-containers"})
    flavour: Flavour = NEWEST
    """Which ctfd-whale; in a world file by its name."""

    def __post_init__(self) -> None:
        """Raises :class:`FakeWhaleError` when ids or names collide or a reference leads nowhere."""
        object.__setattr__(self, "images", frozenset(self.images))
        object.__setattr__(self, "crashing_images", frozenset(self.crashing_images))
        object.__setattr__(self, "nodes", frozenset(self.nodes))
        object.__setattr__(self, "networks", frozenset(self.networks))
        object.__setattr__(self, "config", check_settings(self.config, "config"))
        object.__setattr__(self, "user_mode", _enum(UserMode, self.user_mode, "user_mode"))
        _unique("users", "id", [u.id for u in self.users])
        _unique("users", "name", [u.name for u in self.users])
        _unique("users", "token", [u.token for u in self.users if u.token])
        _unique("teams", "id", [t.id for t in self.teams])
        _unique("challenges", "id", [c.id for c in self.challenges])
        teams = {t.id for t in self.teams}
        for index, user in enumerate(self.users):
            if user.type not in ("user", "admin"):
                raise FakeWhaleError(f"users[{index}].type: {user.type!r} must be user or admin")
            if user.team_id is not None and user.team_id not in teams:
                raise FakeWhaleError(
                    f"users[{index}].team_id: there is no team {user.team_id}; add it to teams"
                )

    @classmethod
    def from_file(cls, path: str | Path) -> WhaleWorld:
        """Read ``path``; raises :class:`FakeWhaleError` naming the field that is wrong."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise FakeWhaleError(f"world file {path}: {error.strerror or error}") from error
        try:
            data = json.loads(text)
        except ValueError as error:
            raise FakeWhaleError(f"world file {path}: not JSON ({error})") from error
        return cls.from_dict(data)

    @classmethod
    def from_dict(cls, data: object) -> WhaleWorld:
        """The world described by parsed JSON; raises :class:`FakeWhaleError`."""
        found = _object(data, "world", cls)
        for name, kind in (("users", User), ("teams", Team), ("challenges", WhaleChallenge)):
            rows = found.get(name)
            for index, row in enumerate(rows if isinstance(rows, list) else []):
                _object(row, f"{name}[{index}]", kind)
        config = _object(found.pop("config", {}), "config")
        flavour = flavour_named(str(found.pop("flavour", NEWEST.name)), "flavour")
        mode = _enum(UserMode, found.pop("user_mode", "users"), "user_mode")
        try:  # an empty list of nodes is no list of them
            world = convert({name: each for name, each in found.items() if each != []}, cls)
        except ValidationError as error:
            raise FakeWhaleError(_told(str(error))) from error
        stored = check_settings(config, "config")
        return replace(world, config=stored, flavour=flavour, user_mode=mode)


def _object(data: object, where: str, kind: type | None = None) -> dict[str, Any]:
    """Refuses misspelt names; others may be there for other readers of the file."""
    if not isinstance(data, dict):
        raise FakeWhaleError(f"{where}: must be a JSON object")
    names = [each.name for each in fields(kind)] if kind else []
    for name in data:
        if name not in names and (near := get_close_matches(name, names, n=1, cutoff=0.7)):
            raise FakeWhaleError(f"{where}.{name}: unknown; did you mean {near[0]!r}?")
    return dict(data)


def _told(said: str) -> str:
    """msgspec's complaint, the place first."""
    said, _, place = said.partition(" - at `$.")
    where = place.removesuffix("`") or "world"
    said = said.replace("Expected ", "must be ").replace(", got ", ", not ")
    missing = re.fullmatch(r"Object missing required field `(.+)`", said)
    return f"{where}.{missing[1]}: missing" if missing else f"{where}: {said}"


def _enum(kind: type[UserMode], value: object, where: str) -> UserMode:
    try:
        return kind(value)
    except ValueError as error:
        choices = ", ".join(member.value for member in kind)
        raise FakeWhaleError(f"{where}: {value!r} is not one of {choices}") from error


def _unique(kind: str, name: str, values: Sequence[object]) -> None:
    if len(values) != len(set(values)):
        raise FakeWhaleError(f"{kind}: two of them have the same {name}; make each one's its own")
