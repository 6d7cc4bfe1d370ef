"""The file of ``--whale-world``: who and what a run against a live Whale may use.

It holds access tokens: only its owner may read it, and no message quotes one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from msgspec import Meta
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from conformance.harness import Challenges, Player
from conformance.spec.context import FLAG_PATH
from engines.contract import LARGEST_ID
from engines.errors import SettingsError
from engines.settings import Settings
from engines.typed_input import Text, Unfit, toml_file, typed
from engines.whale.credentials import read_credentials
from engines.whale.dialects import dialect_named

PLAYERS, MATES = 3, 4

_Id = Annotated[
    int, Meta(ge=1, le=LARGEST_ID, description="a positive whole number, the id in CTFd")
]
_ACCESS = (
    "the access token from the user's settings page in CTFd, here or in the file of "
    "whale.tokens_file"
)
_Value = Annotated[Text | int | float, Meta(description="a text or a number, or left out")] | None
_Word = Annotated[str, Meta(description="a text, or left out")]


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


@dataclass(frozen=True, kw_only=True)
class _User:
    user_id: _Id
    token: Annotated[str, Meta(pattern=r"^[ -~]+\Z", description=_ACCESS)] | None = field(
        default=None, repr=False
    )


@dataclass(frozen=True, kw_only=True)
class _Player(_User):
    team_id: Annotated[
        None,
        Meta(
            description="left out; players are called without a team, whatever team they have in "
            "CTFd. Teams are checked with [[mates]]"
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class _Mate(_User):
    team_id: _Id


@dataclass(frozen=True)
class _Challenges:
    first: _Id
    second: _Id
    unknown: _Id
    hidden: _Id | None = None
    missing_image: _Id | None = None
    exits_at_once: _Id | None = None
    subdomain: _Id | None = None
    own_port: _Id | None = None
    flag_path: Annotated[
        str,
        Meta(
            pattern=r"^(/|\Z)",
            description=f'a path such as "{FLAG_PATH}", or "" when the challenges do not tell '
            "their flag over HTTP",
        ),
    ] = FLAG_PATH


@dataclass(frozen=True)
class _Settings:
    """What ``[whale]`` may set: each is the setting ``WHALE_…`` of the same name."""

    dialect: _Value = None
    scope: _Value = None
    account_limit: _Value = None
    timeout_seconds: _Value = None
    max_extensions: _Value = None
    probe: bool | None = None
    probe_gateway: _Value = None
    ready_seconds: _Value = None
    call_seconds: _Value = None
    ca_file: _Value = None
    client_certificate_file: _Value = None
    client_key_file: _Value = None


@dataclass(frozen=True)
class _Whale(_Settings):
    docker_url: _Word = ""
    ctfd_database_url: _Word = field(default="", repr=False)
    stop_running: bool = False
    tokens_file: _Word = ""


@dataclass(frozen=True)
class _Staging:
    """What may be named of a site that serves nobody but this run."""

    frpc_listen: _Word | None = None
    frpc_url: _Word = ""
    docker_listen: _Word | None = None
    clock_file: _Word = ""


@dataclass(frozen=True)
class _Document:
    challenges: Annotated[_Challenges, Meta(title="a table, [challenges]")]
    players: Annotated[tuple[_Player, ...], Meta(title="a table [[players]] for each user")] = ()
    mates: Annotated[tuple[_Mate, ...], Meta(title="a table [[mates]] for each user")] = ()
    whale: Annotated[_Whale, Meta(title="a table, [whale]")] = _Whale()
    staging: Annotated[_Staging, Meta(title="a table, [staging]")] = _Staging()


def read_world_file(path: Path) -> WorldFile:
    """Read and check the file.

    Raises:
        WorldFileError: unreadable, readable by others than its owner, or a wrong entry.
    """
    try:
        content = toml_file(path, private="how-to.md")
        return _world(
            typed({**content, "challenges": content.get("challenges", {})}, _Document), path.parent
        )
    except (Unfit, WorldFileError) as error:
        raise WorldFileError(f"--whale-world {path}: {error}") from None


def _world(found: _Document, folder: Path) -> WorldFile:
    whale = found.whale
    tokens = _tokens(whale.tokens_file, folder)
    players = tuple(_account(f"players[{n}]", row, tokens) for n, row in enumerate(found.players))
    mates = tuple(
        _account(f"mates[{n}]", row, tokens, row.team_id) for n, row in enumerate(found.mates)
    )
    if len(players) < PLAYERS:
        raise WorldFileError(
            f"players: {len(players)} given, {PLAYERS} are needed; add a [[players]] with user_id "
            "and token for each"
        )
    if mates:
        _two_teams(mates)
    _different((*players, *mates))
    settings = {each.name: getattr(whale, each.name) for each in fields(_Settings)}
    return WorldFile(
        players=players,
        mates=mates,
        challenges=_challenges(found.challenges),
        flag_path=found.challenges.flag_path,
        stop_running=whale.stop_running,
        settings={
            f"whale_{name}": _setting(name, value)
            for name, value in settings.items()
            if value is not None
        },
        docker_url=whale.docker_url,
        ctfd_database_url=_database(whale.ctfd_database_url),
        staging=_staging(found.staging, whale.docker_url, folder),
    )


def _tokens(named: str, folder: Path) -> Mapping[int, str]:
    """What ``whale.tokens_file`` holds: the file that WHALE_TOKENS_FILE names for the adapter."""
    if not named:
        return {}
    try:
        return read_credentials(folder / Path(named).expanduser()).tokens
    except SettingsError as error:
        raise WorldFileError(f"whale.tokens_file: {str(error).partition(': ')[2]}") from None


def _account(
    where: str, row: _User, tokens: Mapping[int, str], team_id: int | None = None
) -> Account:
    token = row.token or tokens.get(row.user_id)
    if token is None:
        raise WorldFileError(f"{where}.token: is missing; it must be {_ACCESS}")
    return Account(Player(row.user_id, team_id), token, where)


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


def _challenges(table: _Challenges) -> Challenges:
    given = {name: value for name, value in vars(table).items() if name != "flag_path"}
    ids: dict[str, Any] = {name: each for name, each in given.items() if each is not None}
    apart = [part for part in ids if part not in ("subdomain", "own_port")]
    for place, part in enumerate(apart):
        for other in apart[:place]:
            if ids[part] == ids[other]:
                raise WorldFileError(
                    f"challenges.{part}: is {ids[part]}, as {other} is; name another challenge"
                )
    for part in ("subdomain", "own_port"):
        if part in ids and ids[part] in (ids["unknown"], ids.get("hidden")):
            raise WorldFileError(f"challenges.{part}: name a challenge that players can start")
    return Challenges(**ids)


def _setting(name: str, value: str | float) -> Any:
    """Checked by the setting's own rule."""
    where = f"whale.{name}"
    if isinstance(value, bool):
        return value
    parse = next(f.metadata["parse"] for f in fields(Settings) if f.name == f"whale_{name}")
    try:
        parsed = parse(str(value))
        if name == "dialect":
            dialect_named(parsed)
    except SettingsError as error:
        raise WorldFileError(f"{where}: {str(error).partition(': ')[2]}") from None
    except ValueError as error:
        raise WorldFileError(f"{where}: {error}") from None
    return parsed


def _staging(table: _Staging, docker_url: str, folder: Path) -> StagingFile:
    return StagingFile(
        _through("frpc_listen", table.frpc_listen, "staging.frpc_url", table.frpc_url),
        _through("docker_listen", table.docker_listen, "whale.docker_url", docker_url),
        folder / Path(table.clock_file).expanduser() if table.clock_file else None,
    )


def _through(name: str, listen: str | None, target: str, url: str) -> Through | None:
    if listen is None:
        return None
    if urlsplit(url).scheme not in ("http", "tcp", "unix"):
        raise WorldFileError(
            f"{target}: write where staging.{name} leads, as http://HOST:PORT, tcp://HOST:PORT or "
            "unix:///PATH"
        )
    try:
        parts = urlsplit(f"//{listen}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise WorldFileError(f"staging.{name}: write HOST:PORT, as Whale was told to go there")
    return Through((host, port), url)


def _database(url: str) -> str:
    try:
        return url and make_url(url).render_as_string(hide_password=False)
    except ArgumentError:  # whose text quotes the URL, password and all
        raise WorldFileError(
            "whale.ctfd_database_url: write mysql+pymysql://USER:PASSWORD@HOST/NAME"
        ) from None
