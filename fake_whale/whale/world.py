"""The world a fake starts from: users, teams, challenges, images and Whale's settings.

The file format is that of ``whale-world.json``; everything is checked here, once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any

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

    id: int
    name: str
    password: str = field(default="", repr=False)
    token: str | None = field(default=None, repr=False)
    type: str = "user"
    banned: bool = False
    team_id: int | None = None


@dataclass(frozen=True)
class Team:
    """A CTFd team."""

    id: int
    name: str
    banned: bool = False


@dataclass(frozen=True)
class WhaleChallenge:
    """A challenge; only ``dynamic_docker`` ones can be started."""

    id: int
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
        reader = _Reader(data, "world")
        reader.allow(
            "users", "teams", "challenges", "images", "crashing_images", "config", "user_mode",
            "nodes", "node_cpus", "networks", "flavour",
        )  # fmt: skip
        nodes = reader.texts("nodes")
        networks = reader.texts("networks")
        return cls(
            users=tuple(_user(item) for item in reader.items("users")),
            teams=tuple(_team(item) for item in reader.items("teams")),
            challenges=tuple(_challenge(item) for item in reader.items("challenges")),
            images=frozenset(reader.texts("images")),
            crashing_images=frozenset(reader.texts("crashing_images")),
            config=check_settings(reader.mapping("config"), "config"),
            user_mode=_enum(UserMode, reader.get("user_mode", str, "users"), "user_mode"),
            nodes=frozenset(nodes or ["linux-1"]),
            node_cpus=float(reader.get("node_cpus", (int, float), 4.0)),
            networks=frozenset(networks or ["ctfd_frp-containers"]),
            flavour=flavour_named(reader.get("flavour", str, NEWEST.name), "flavour"),
        )


def _enum(kind: type[UserMode], value: object, where: str) -> UserMode:
    try:
        return kind(value)
    except ValueError as error:
        choices = ", ".join(member.value for member in kind)
        raise FakeWhaleError(f"{where}: {value!r} is not one of {choices}") from error


def _unique(kind: str, name: str, values: Sequence[object]) -> None:
    if len(values) != len(set(values)):
        raise FakeWhaleError(f"{kind}: two of them have the same {name}; make each one's its own")


def _user(reader: _Reader) -> User:
    reader.allow("id", "name", "password", "token", "type", "banned", "team_id")
    kind = reader.get("type", str, "user")
    if kind not in ("user", "admin"):
        raise FakeWhaleError(f"{reader.where}.type: {kind!r} must be user or admin")
    return User(
        id=reader.positive("id"),
        name=reader.get("name", str),
        password=reader.get("password", str, ""),
        token=reader.get("token", str, None),
        type=kind,
        banned=reader.get("banned", bool, False),
        team_id=reader.get("team_id", int, None),
    )


def _team(reader: _Reader) -> Team:
    reader.allow("id", "name", "banned")
    return Team(
        id=reader.positive("id"),
        name=reader.get("name", str),
        banned=reader.get("banned", bool, False),
    )


def _challenge(reader: _Reader) -> WhaleChallenge:
    reader.allow(
        "id", "name", "category", "type", "state", "image", "redirect_type", "redirect_port",
        "memory_limit", "cpu_limit",
    )  # fmt: skip
    plain = WhaleChallenge(1, "")
    cpus = reader.optional("cpu_limit", (int, float), plain.cpu_limit)
    return WhaleChallenge(
        id=reader.positive("id"),
        name=reader.get("name", str),
        category=reader.get("category", str, plain.category),
        type=reader.get("type", str, plain.type),
        state=reader.get("state", str, plain.state),
        image=reader.optional("image", str, plain.image),
        redirect_type=reader.optional("redirect_type", str, plain.redirect_type),
        redirect_port=reader.optional("redirect_port", int, plain.redirect_port),
        memory_limit=reader.optional("memory_limit", str, plain.memory_limit),
        cpu_limit=None if cpus is None else float(cpus),
    )


_REQUIRED: Any = object()


class _Reader:
    """One JSON object, read field by field with messages that say where."""

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, dict):
            raise FakeWhaleError(f"{where}: must be a JSON object")
        self._data: dict[str, Any] = data
        self.where = where

    def allow(self, *names: str) -> None:
        """Refuse misspelt names; others may be there for other readers of the file."""
        for name in self._data:
            if name not in names and (near := get_close_matches(name, names, n=1, cutoff=0.7)):
                raise FakeWhaleError(f"{self.where}.{name}: unknown; did you mean {near[0]!r}?")

    def get(self, name: str, kind: type | tuple[type, ...], default: Any = _REQUIRED) -> Any:
        value = self._data.get(name, default)
        if value is _REQUIRED:
            raise FakeWhaleError(f"{self.where}.{name}: missing")
        if value is default or (value is None and default is None):
            return value
        wanted = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            names = " or ".join(k.__name__ for k in wanted)
            raise FakeWhaleError(f"{self.where}.{name}: must be {names}, not {value!r}")
        return value

    def optional(self, name: str, kind: type | tuple[type, ...], default: Any) -> Any:
        """The value; None for null, ``default`` where the field is missing."""
        return self.get(name, kind, None) if name in self._data else default

    def positive(self, name: str) -> int:
        value: int = self.get(name, int)
        if value < 1:
            raise FakeWhaleError(f"{self.where}.{name}: must be 1 or more, not {value}")
        return value

    def items(self, name: str) -> list[_Reader]:
        rows: list[Any] = self.get(name, list, [])
        return [_Reader(row, f"{name}[{index}]") for index, row in enumerate(rows)]

    def texts(self, name: str) -> list[str]:
        rows: list[Any] = self.get(name, list, [])
        for index, row in enumerate(rows):
            if not isinstance(row, str):
                raise FakeWhaleError(f"{self.where}.{name}[{index}]: must be text, not {row!r}")
        return rows

    def mapping(self, name: str) -> dict[str, Any]:
        value: dict[str, Any] = self.get(name, dict, {})
        return value
