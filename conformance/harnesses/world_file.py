"""The file of ``--whale-world``: who and what a run against a live Whale may use.

It holds access tokens: only its owner may read it, and no message quotes one.
"""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from conformance.harness import Challenges, Player
from conformance.spec.context import FLAG_PATH
from engines.contract import LARGEST_ID
from engines.errors import SettingsError
from engines.published import document
from engines.settings import Settings
from engines.whale.credentials import read_credentials
from engines.whale.dialects import dialect_named

PLAYERS, MATES = 3, 4

_PARTS = ("first", "second", "unknown")
_OPTIONAL_PARTS = ("hidden", "missing_image", "exits_at_once", "subdomain", "own_port")
_SETTINGS = (
    "dialect",
    "scope",
    "account_limit",
    "timeout_seconds",
    "max_extensions",
    "probe",
    "probe_gateway",
    "ready_seconds",
    "call_seconds",
    "ca_file",
    "client_certificate_file",
    "client_key_file",
)
"""What ``[whale]`` may set: each is the setting ``WHALE_…`` of the same name."""
_BEHIND = ("docker_url", "ctfd_database_url")
"""What ``[whale]`` may show of what is behind Whale."""
_STAGING = ("frpc_listen", "frpc_url", "docker_listen", "clock_file")
"""What ``[staging]`` may name, of a site that serves nobody but this run."""


class WorldFileError(ValueError):
    """The file cannot be used; the message names file, field and fix."""


@dataclass(frozen=True)
class Account:
    """A user of the live Whale."""

    player: Player
    token: str = field(repr=False)
    where: str
    """Its place in the file: ``players[0]``."""


@dataclass(frozen=True)
class Through:
    """A way of Whale's that leads through this run."""

    listen: tuple[str, int]
    """Where Whale was told to go."""
    to: str
    """What is really there."""


@dataclass(frozen=True)
class StagingFile:
    """A site that serves nobody else: what may be broken, and its clock."""

    frpc: Through | None = None
    docker: Through | None = None
    clock_file: Path | None = None
    """How many seconds CTFd's processes are to be ahead (``examples/staging_clock``)."""


@dataclass(frozen=True)
class WorldFile:
    """What a run may use."""

    players: tuple[Account, ...]
    mates: tuple[Account, ...]
    challenges: Challenges
    flag_path: str
    """Where an instance tells its flag over HTTP; empty when it does not."""
    stop_running: bool
    """Whether what runs for the accounts already is stopped before the run."""
    settings: Mapping[str, Any]
    """Fields of :class:`engines.settings.Settings`."""
    docker_url: str = ""
    """The engine of a manager of Whale's swarm, as ``DOCKER_HOST`` names one; empty: not shown."""
    ctfd_database_url: str = field(default="", repr=False)
    """The database of Whale's CTFd, which is only read; empty: not shown."""
    staging: StagingFile = StagingFile()

    @property
    def accounts(self) -> tuple[Account, ...]:
        return (*self.players, *self.mates)


def read_world_file(path: Path) -> WorldFile:
    """Read and check the file.

    Raises:
        WorldFileError: unreadable, readable by others than its owner, or a wrong entry.
    """
    try:
        return _world(_document(path), path.parent)
    except WorldFileError as error:
        raise WorldFileError(f"--whale-world {path}: {error}") from None


def _document(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise WorldFileError("it holds tokens and can be read by others; run chmod 600 on it")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WorldFileError(f"cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        # The parser's own message could quote a token.
        raise WorldFileError(f"is not TOML; one is shown in {document('how-to.md')}") from None


def _world(document: dict[str, Any], folder: Path) -> WorldFile:
    _only(document, "", ("players", "mates", "challenges", "whale", "staging"))
    whale = _table(document, "whale")
    _only(whale, "whale.", (*_SETTINGS, *_BEHIND, "stop_running", "tokens_file"))
    tokens = _tokens(whale, folder)
    players = _accounts(document, "players", tokens, team=False)
    mates = _accounts(document, "mates", tokens, team=True)
    if len(players) < PLAYERS:
        raise WorldFileError(
            f"players: {len(players)} given, {PLAYERS} are needed; add a [[players]] with user_id "
            "and token for each"
        )
    if mates:
        _two_teams(mates)
    _different((*players, *mates))
    challenges = _table(document, "challenges")
    return WorldFile(
        players=players,
        mates=mates,
        challenges=_challenges(challenges),
        flag_path=_flag_path(challenges.get("flag_path", FLAG_PATH)),
        stop_running=_boolean("whale.stop_running", whale.get("stop_running", False)),
        settings={
            f"whale_{name}": _setting(name, whale[name]) for name in _SETTINGS if name in whale
        },
        docker_url=_text("whale.docker_url", whale.get("docker_url", "")),
        ctfd_database_url=_database(whale.get("ctfd_database_url", "")),
        staging=_staging(_table(document, "staging"), str(whale.get("docker_url", "")), folder),
    )


def _tokens(whale: dict[str, Any], folder: Path) -> Mapping[int, str]:
    """What ``whale.tokens_file`` holds: the file that WHALE_TOKENS_FILE names for the adapter."""
    named = _text("whale.tokens_file", whale.get("tokens_file", ""))
    if not named:
        return {}
    try:
        return read_credentials(folder / Path(named).expanduser()).tokens
    except SettingsError as error:
        raise WorldFileError(f"whale.tokens_file: {str(error).partition(': ')[2]}") from None


def _accounts(
    document: dict[str, Any], name: str, tokens: Mapping[int, str], *, team: bool
) -> tuple[Account, ...]:
    rows = document.get(name, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise WorldFileError(f"{name}: write a table [[{name}]] for each user")
    return tuple(_account(f"{name}[{place}]", row, tokens, team) for place, row in enumerate(rows))


def _account(where: str, row: dict[str, Any], tokens: Mapping[int, str], team: bool) -> Account:
    if "team_id" in row and not team:
        raise WorldFileError(
            f"{where}.team_id: leave it out; players are called without a team, whatever team they "
            "have in CTFd. Teams are checked with [[mates]]"
        )
    _only(row, f"{where}.", ("user_id", "token", *(["team_id"] if team else [])))
    player = Player(
        _id(f"{where}.user_id", row.get("user_id")),
        _id(f"{where}.team_id", row.get("team_id")) if team else None,
    )
    token = row.get("token", tokens.get(player.user_id))
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise WorldFileError(
            f"{where}.token: write the access token from the user's settings page in CTFd, here or "
            "in the file of whale.tokens_file"
        )
    return Account(player, token, where)


def _two_teams(mates: tuple[Account, ...]) -> None:
    teams = [mate.player.team_id for mate in mates]
    if len(mates) != MATES or teams[0] != teams[1] or teams[2] != teams[3] or teams[0] == teams[2]:
        raise WorldFileError(
            f"mates: write {MATES} users, two with one team_id and then two with another one, "
            "or none at all"
        )


def _different(accounts: tuple[Account, ...]) -> None:
    for place, account in enumerate(accounts):
        for other in accounts[:place]:
            if other.player.user_id == account.player.user_id:
                raise WorldFileError(
                    f"{account.where}.user_id: {other.where} is user {other.player.user_id} too; "
                    "name each user once"
                )
            if other.token == account.token:
                raise WorldFileError(
                    f"{account.where}.token: is the token of {other.where} too; give each user "
                    "the user's own"
                )


def _challenges(table: dict[str, Any]) -> Challenges:
    _only(table, "challenges.", (*_PARTS, *_OPTIONAL_PARTS, "flag_path"))
    named = [*_PARTS, *(part for part in _OPTIONAL_PARTS if part in table)]
    ids = {part: _id(f"challenges.{part}", table.get(part)) for part in named}
    apart = [part for part in named if part not in ("subdomain", "own_port")]
    for place, part in enumerate(apart):
        for other in apart[:place]:
            if ids[part] == ids[other]:
                raise WorldFileError(
                    f"challenges.{part}: is {ids[part]}, as {other} is; name another challenge"
                )
    for part in ("subdomain", "own_port"):
        if part in ids and ids[part] in (ids["unknown"], ids.get("hidden")):
            raise WorldFileError(f"challenges.{part}: name a challenge that players can start")
    return Challenges(
        first=ids["first"],
        second=ids["second"],
        unknown=ids["unknown"],
        hidden=ids.get("hidden"),
        missing_image=ids.get("missing_image"),
        exits_at_once=ids.get("exits_at_once"),
        subdomain=ids.get("subdomain"),
        own_port=ids.get("own_port"),
    )


def _flag_path(value: object) -> str:
    if not isinstance(value, str) or (value and not value.startswith("/")):
        raise WorldFileError(
            f'challenges.flag_path: write a path such as "{FLAG_PATH}", or "" when the challenges '
            "do not tell their flag over HTTP"
        )
    return value


def _setting(name: str, value: object) -> Any:
    """Checked by the setting's own rule."""
    where = f"whale.{name}"
    parse = next(f.metadata["parse"] for f in fields(Settings) if f.name == f"whale_{name}")
    if name == "probe":
        return _boolean(where, value)
    if not isinstance(value, (str, int, float)) or isinstance(value, bool) or value == "":
        raise WorldFileError(f"{where}: write a text or a number, or leave it out")
    try:
        parsed = parse(str(value))
        if name == "dialect":
            dialect_named(parsed)
    except SettingsError as error:
        raise WorldFileError(f"{where}: {str(error).partition(': ')[2]}") from None
    except ValueError as error:
        raise WorldFileError(f"{where}: {error}") from None
    return parsed


def _staging(table: dict[str, Any], docker_url: str, folder: Path) -> StagingFile:
    _only(table, "staging.", _STAGING)
    named = {name: _text(f"staging.{name}", table[name]) for name in _STAGING if name in table}
    clock = named.get("clock_file")
    return StagingFile(
        _through("frpc_listen", named, "staging.frpc_url", named.get("frpc_url", "")),
        _through("docker_listen", named, "whale.docker_url", docker_url),
        folder / Path(clock).expanduser() if clock else None,
    )


def _through(name: str, named: Mapping[str, str], target: str, url: str) -> Through | None:
    if name not in named:
        return None
    if urlsplit(url).scheme not in ("http", "tcp", "unix"):
        raise WorldFileError(
            f"{target}: write where staging.{name} leads, as http://HOST:PORT, tcp://HOST:PORT or "
            "unix:///PATH"
        )
    try:
        parts = urlsplit(f"//{named[name]}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise WorldFileError(f"staging.{name}: write HOST:PORT, as Whale was told to go there")
    return Through((host, port), url)


def _database(value: object) -> str:
    where = "whale.ctfd_database_url"
    url = _text(where, value)
    try:
        return url and make_url(url).render_as_string(hide_password=False)
    except ArgumentError:  # whose text quotes the URL, password and all
        raise WorldFileError(f"{where}: write mysql+pymysql://USER:PASSWORD@HOST/NAME") from None


def _text(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise WorldFileError(f"{where}: write a text, or leave it out")
    return value


def _table(document: dict[str, Any], name: str) -> dict[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise WorldFileError(f"{name}: write a table, [{name}]")
    return table


def _only(table: dict[str, Any], prefix: str, known: tuple[str, ...]) -> None:
    for name in table:
        if name not in known:
            raise WorldFileError(f"{prefix}{name}: is not known; use {', '.join(known)}")


def _id(where: str, value: object) -> int:
    if type(value) is not int or not 1 <= value <= LARGEST_ID:
        raise WorldFileError(f"{where}: write a positive whole number, the id in CTFd")
    return value


def _boolean(where: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise WorldFileError(f"{where}: write true or false")
    return value
