"""``preflight.json``: what was found, for programs, and its schema."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, Literal

from engines import __version__
from engines.printable import json_text
from engines.typed_input import Count, Moment, schema_of
from whale_ready.preflight.dialect import spoken, their_version
from whale_ready.preflight.items import Item, ItemState
from whale_ready.preflight.site import PreflightSite

KIND = "whale-ready preflight"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class WhaleSeen:
    url: str
    dialect: str | None
    version: str | None


@dataclass(frozen=True)
class ItemCounts:
    ok: Count
    not_ok: Count
    not_checkable: Count


@dataclass(frozen=True)
class PreflightDocument:
    """What the file holds; docs/preflight.md explains every key."""

    kind: Literal["whale-ready preflight"]
    schema_version: Literal[1]
    made_at: Moment
    whale_ready: str
    whale: WhaleSeen
    environment: Mapping[str, str]
    items: tuple[Item, ...]
    counts: ItemCounts


@dataclass(frozen=True)
class Preflight:
    """A whole run."""

    made_at: datetime
    url: str
    dialect: str | None
    version: str | None
    """Of Whale's CTFd; None: not known."""
    environment: dict[str, str]
    items: tuple[Item, ...]

    def count(self, state: ItemState) -> int:
        """How many items are so."""
        return sum(item.state is state for item in self.items)

    @property
    def exit_code(self) -> int:
        """0: all is ok; 1: something is not; 2: nothing is wrong, and not all could be checked."""
        if self.count(ItemState.NOT_OK):
            return 1
        return 2 if self.count(ItemState.NOT_CHECKABLE) else 0

    def as_json(self) -> str:
        """The file's text."""
        document = {
            "kind": KIND,
            "schema_version": SCHEMA_VERSION,
            "made_at": self.made_at.astimezone(timezone.utc).isoformat(timespec="seconds"),
            "whale_ready": __version__,
            "whale": {"url": self.url, "dialect": self.dialect, "version": self.version},
            "environment": self.environment,
            "items": [{**asdict(item), "state": item.state.value} for item in self.items],
            "counts": {state.value: self.count(state) for state in ItemState},
        }
        return json_text(document) + "\n"


def preflight_of(site: PreflightSite, items: Sequence[Item]) -> Preflight:
    """What ``items`` say about ``site``."""
    wishes = site.wishes
    environment = {
        "python": platform.python_version(),
        "platform": platform.system(),
        "challenges": str(len(site.challenges)),
        "probe": "no" if wishes.probe_account is None else "yes",
    }
    if wishes.expected_players is not None:
        environment["expected_players"] = str(wishes.expected_players)
    return Preflight(
        made_at=site.now(),
        url=site.url,
        dialect=_known(lambda: site.fact(spoken).dialect),
        version=_known(lambda: their_version(site)),
        environment=environment,
        items=tuple(items),
    )


def _known(ask: Callable[[], str | None]) -> str | None:
    try:
        return ask()
    except Exception:  # noqa: BLE001 - whatever it was, the item about it has told
        return None


def preflight_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of this version's files."""
    schema = schema_of(PreflightDocument, "preflight")
    schema["$defs"]["Item"] |= {
        "if": {"properties": {"state": {"const": "ok"}}},
        "then": {"properties": {"fix": {"const": ""}}},
        "else": {"properties": {"fix": {"minLength": 1}}},
    }
    return schema
