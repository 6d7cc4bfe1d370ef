"""Which ctfd-whale: the generations and forks that can be told apart on the wire, as data.

:data:`FLAVOURS` has them by name. :attr:`Flavour.seen` tells how each is known; the table is in
docs/whale-wire.md, "Forks and generations".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from .errors import FakeWhaleError


class FlavourSource(str, Enum):
    """How a flavour is known: its traits were seen of a running one, or read in its source."""

    RUN = "run"
    READ = "read"


class Existing(Enum):
    """What a POST does with an instance that it finds."""

    REPLACED = "destroyed first"
    REFUSED = "the POST is refused"
    KEPT = "the POST says yes and does nothing"


class LockedPart(Enum):
    """What is done under the lock that all users share."""

    NOTHING = "there is no such lock"
    RECORD = "counting and writing the record"
    EVERYTHING = "each start and each stop as a whole"


class Undone(Enum):
    """What a start that fails takes back."""

    EVERYTHING = "record and service; refused in words"
    RECORD = "the record; refused in words"
    NOTHING = "nothing; 500"


class StopManner(Enum):
    """How a stop goes about it."""

    THREE_TRIES = "router, then service, then record, three times at most"
    ONCE_EACH = "router and service, each once; a service that is gone takes the record along"


class Window(Enum):
    """Where the time of the last write is kept."""

    SESSION = "in the browser's session, so that tokens are free of it"
    ACCOUNT = "in redis by account, for tokens too"


class Remaining(Enum):
    """How the remaining time is counted."""

    WITHIN_A_DAY = "wraps at 24 h, goes below zero"
    NOT_NEGATIVE = "wraps at 24 h, ends at zero"
    TRUE = "as it is, goes below zero"


@dataclass(frozen=True)
class Flavour:
    """What one ctfd-whale does otherwise than others. The defaults are those of today's."""

    name: str
    whale: str
    """Whose, and of which state of its source."""
    seen: FlavourSource = FlavourSource.RUN

    # Whose an instance is.
    per_challenge: bool = False
    """One for each challenge, instead of one altogether; DELETE then heeds the id."""
    per_team: bool = False
    """In teams mode the team's, instead of the user's."""

    # POST
    existing: Existing = Existing.REPLACED
    exists: str = ""
    """The words for :attr:`existing`."""
    too_many_of_user: str = ""
    """``{limit}``: by ``docker_max_container_per_user``; empty where there is no such limit."""
    admits_one_more: bool = True
    """Whether a limit of N admits N+1."""
    guard: LockedPart = LockedPart.RECORD
    creation_failed: str = "Container creation failed"
    docker_failing: Undone = Undone.EVERYTHING
    router_failing: Undone = Undone.EVERYTHING
    routed_by_cleaner: bool = False
    """frpc hears of changes at the cleaner's beat only, and of every instance gets a port."""

    # DELETE
    removal: StopManner = StopManner.THREE_TRIES
    port_given_back_first: bool = True
    """Before frpc has agreed, so that a DELETE that fails gives away a port in use."""

    # GET
    other_runs: str | None = "Container already started but not from this challenge ({link})"
    """Refusal where another challenge's runs, with ``{link}`` or ``{name}``; None: ``{}``."""
    lan_domain: bool = True
    remaining: Remaining = Remaining.WITHIN_A_DAY
    http_access: str = '<a target="_blank" href="{url}">Link to the Challenge</a>'
    direct_access: str = "nc {ip} {port}"
    direct_web_access: str = ""
    """For direct challenges of a category for browsers, where they are told apart."""
    hidden_port: str | int = "80"
    """The http port that addresses leave out; as a setting of 80 is a number, the text never is."""

    # The limit on writes
    window: Window = Window.SESSION
    window_seconds: int = 60
    """0: the limit is taken out, whatever the setting says."""
    window_setting: str = ""
    """The setting that may say otherwise."""
    window_text: str = "Frequency limit, You should wait at least 1 min."
    """With ``{seconds}``: the window's (:attr:`Window.SESSION`) or those left of it."""
    leaves_lock: bool = True
    """Whether a call that is refused or fails leaves the user's lock behind."""

    # Checks
    strict: bool = False
    """Ids are Python's numbers, DELETE is checked too, and some refusals are 400s."""

    settings: Mapping[str, str] = field(default_factory=dict)
    """Settings that a fresh one has beside those of today's."""


NEWEST = Flavour("frankli0324", "frankli0324 2cc84a9")

_OLD = replace(
    NEWEST,
    name="frankli0324-2024",
    whale="frankli0324 c72584f, before April 2026",
    admits_one_more=False,
    guard=LockedPart.NOTHING,
    creation_failed="Docker Creation Error",
    docker_failing=Undone.RECORD,
    router_failing=Undone.NOTHING,
    hidden_port=80,
)

_ASCII = "Container started but not from this challenge ({name})"
_PER_USER = {"docker_max_container_per_user": "1"}

_ALL = (
    NEWEST,
    _OLD,
    replace(
        _OLD,
        name="jbnrz",
        whale="JBNRZ af64504; TaiwanSecurityClub, 0RAYS, huangzheng2016",
        other_runs=_ASCII,
        http_access='<a target="_blank" href="{url}">题目链接</a>',
    ),
    replace(
        _OLD,
        name="web1n",
        whale="web1n 90f2818",
        seen=FlavourSource.READ,
        other_runs=_ASCII,
        docker_failing=Undone.NOTHING,
        routed_by_cleaner=True,
        http_access="{url}",
        direct_access="{ip}:{port}",
    ),
    replace(
        _OLD,
        name="scribblercoder",
        whale="ScribblerCoder 9cf3557",
        per_challenge=True,
        window_seconds=30,
        window_text="You have been rate-limited, Please wait for 30 seconds.",
    ),
    replace(
        NEWEST,
        name="nusgreyhats",
        whale="NUSGreyhats 0a1b94d; caprinux",
        per_challenge=True,
        per_team=True,
        existing=Existing.KEPT,
        exists="Container already exists",
        admits_one_more=False,
        guard=LockedPart.EVERYTHING,
        removal=StopManner.ONCE_EACH,
        port_given_back_first=False,
        remaining=Remaining.TRUE,
        window=Window.ACCOUNT,
        window_setting="rate_limit_seconds",
        window_text="Frequency limit, You should wait at least {seconds} seconds.",
        leaves_lock=False,
        strict=True,
        settings={"rate_limit_seconds": "60"},
    ),
    replace(
        NEWEST,
        name="osama-yusouf",
        whale="Osama-Yusouf/CTFd-Whale-Deployment 88e0769",
        seen=FlavourSource.READ,
        per_challenge=True,
        existing=Existing.REFUSED,
        exists="Container for this challenge already exists.",
        too_many_of_user="You can only have up to {limit} containers running simultaneously.",
        admits_one_more=False,
        direct_web_access=(
            '<a target="_blank" href="http://{ip}:{port}/">Link to the Challenge (Port {port})</a>'
        ),
        settings=_PER_USER,
    ),
    replace(
        _OLD,
        name="htu",
        whale="Cyber-Security-Club-HTU/CTF-Setup d604ac2",
        seen=FlavourSource.READ,
        per_challenge=True,
        existing=Existing.REFUSED,
        exists="Container already exists",
        remaining=Remaining.NOT_NEGATIVE,
    ),
    replace(_OLD, name="matte23", whale="Matte23 3a15c6f", other_runs=None),
    replace(
        _OLD,
        name="radhouen911",
        whale="Radhouen911/ctfd-whale-fork",
        seen=FlavourSource.READ,
        http_access="{url}",
        window_seconds=10,
        window_setting="frequency_limit",
        window_text="Frequency limit, You should wait at least {seconds} seconds.",
    ),
    replace(
        _OLD, name="om-arora", whale="Om-Arora 33a67cf", seen=FlavourSource.READ, lan_domain=False
    ),
)

FLAVOURS: Mapping[str, Flavour] = {flavour.name: flavour for flavour in _ALL}
"""All of them by name; the first is the default."""

OWN_SETTINGS = frozenset(
    name for each in _ALL for name in (*each.settings, each.window_setting) if name
)
"""Settings that some flavour has and today's has not."""


def flavour_named(name: str, where: str) -> Flavour:
    """The flavour of that name; raises :class:`FakeWhaleError`."""
    try:
        return FLAVOURS[name]
    except KeyError:
        choices = ", ".join(FLAVOURS)
        raise FakeWhaleError(f"{where}: {name!r} is not one of {choices}") from None
