"""The settings as a page shows them: what is set, and from where; secrets never leave here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

from engines.settings import Settings

ENVIRONMENT, CONFIG, SITE, DEFAULT = "environment", "CTFd's config", "CTFd's database", "default"
HIDDEN = "set, not shown"


@dataclass(frozen=True)
class SettingRow:
    """One setting."""

    name: str
    value: str
    source: str
    """Where the value comes from: one of the words above."""
    help: str


def rows(config: Mapping[str, object], from_site: frozenset[str] = frozenset()) -> list[SettingRow]:
    """Every setting, in the order of docs/settings.md; wrong values too, as they are written.

    Args:
        config: CTFd's ``app.config``, looked at where the environment says nothing.
        from_site: names whose value in ``config`` is CTFd's own, and not written by anybody.
    """
    return [
        _row(field.metadata, field.repr, field.default, config, from_site)
        for field in fields(Settings)
    ]


def _row(
    metadata: Mapping[str, object],
    shown: bool,
    default: object,
    config: Mapping[str, object],
    from_site: frozenset[str],
) -> SettingRow:
    name = str(metadata["env"])
    value = os.environ.get(name, "").strip()
    source = ENVIRONMENT
    if not value:
        given = config.get(name)
        value = "" if given is None else str(given).strip()
        source = SITE if name in from_site else CONFIG
    if not value:
        return SettingRow(name, _default(default), DEFAULT, str(metadata["help"]))
    return SettingRow(name, value if shown else HIDDEN, source, str(metadata["help"]))


def _default(value: object) -> str:
    if value in (None, "", ()):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
