"""Whale's own settings: CTFd's API shows them to its admins, its database to whoever may read it.

CTFd's ``GET /api/v1/configs`` was seen on 3.8.7 (tests/ctfd/test_preflight_of_a_real_whale.py).
Settings are asked for one by one: the whole table holds passwords.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from whale_ready.preflight.credentials import access, accounts
from whale_ready.preflight.items import NotCheckable
from whale_ready.preflight.site import WHALES_DATABASE, PreflightSite, reading

CTFD_VERSION = "ctf_version"
TIMEOUT, RENEWALS, CAPACITY = (
    "whale:docker_timeout",
    "whale:docker_max_renew_count",
    "whale:docker_max_container_count",
)
WHALES_DEFAULTS = {TIMEOUT: 3600, RENEWALS: 5, CAPACITY: 1000}
"""What ctfd-whale takes where the table holds nothing."""
HTTP, DIRECT = "http", "direct"
"""Whale's redirect types."""
NETWORK, REFRESH = "whale:docker_auto_connect_network", "whale:refresh"
WANTED = (CTFD_VERSION, TIMEOUT, RENEWALS, CAPACITY, NETWORK, REFRESH)
HOW = (
    "name an admin of Whale's CTFd with --admin USER_ID, or its database with "
    "WHALE_CTFD_DATABASE_URL; or compare by hand on Whale's settings page"
)

_config = sa.table("config", sa.column("key"), sa.column("value", sa.Text))
_challenges = sa.table("dynamic_docker_challenge", sa.column("id"), sa.column("redirect_type"))


@dataclass(frozen=True)
class TheirSettings:
    """Whale's settings, as they are stored."""

    values: Mapping[str, str | None]
    source: str
    """Where they were read, for people."""

    def number(self, name: str) -> int | None:
        """A setting as Whale reads it; None when it is no number."""
        text = self.values.get(name)
        if text is None or text == "":
            return WHALES_DEFAULTS[name]
        return int(text) if text.isascii() and text.isdecimal() else None


def their_settings(site: PreflightSite) -> TheirSettings:
    """Read them, from the first that shows them.

    Raises:
        NotCheckable: nothing does.
    """
    problem = NotCheckable("Whale shows its settings to admins only", HOW)
    if site.wishes.admin is not None:
        try:
            return _from_api(site, site.wishes.admin)
        except NotCheckable as error:
            problem = error
    if site.settings.whale_ctfd_database_url is not None:
        return _from_database(site.settings.whale_ctfd_database_url)
    raise problem


def _from_api(site: PreflightSite, admin: int) -> TheirSettings:
    if admin not in site.fact(access).good:
        raise NotCheckable(f"user {admin}, named by --admin, is not let in", "see credentials")
    headers = site.fact(accounts).headers(admin)
    values: dict[str, str | None] = {}
    for name in WANTED:
        answer = site.client.call("GET", f"/api/v1/configs?key={name}", headers)
        body = answer.body if isinstance(answer.body, dict) else {}
        rows = body.get("data")
        if answer.status == 403:
            raise NotCheckable(f"user {admin}, named by --admin, is no admin of Whale's CTFd", HOW)
        if answer.status != 200 or not isinstance(rows, list):
            raise NotCheckable(f"CTFd answers {answer.status} to GET /api/v1/configs", HOW)
        found = [row.get("value") for row in rows if row.get("key") == name]
        values[name] = None if not found or found[0] is None else str(found[0])
    return TheirSettings(values, f"by GET /api/v1/configs as user {admin}")


def _from_database(url: str) -> TheirSettings:
    query = sa.select(_config.c.key, _config.c.value).where(_config.c.key.in_(WANTED))
    with reading(url, WHALES_DATABASE) as connection:
        try:
            values = {str(key): value for key, value in connection.execute(query)}
        except SQLAlchemyError:
            raise NotCheckable(f"{WHALES_DATABASE}: holds no table config of a CTFd", HOW) from None
    return TheirSettings(values, "in CTFd's table config")


def redirect_types(site: PreflightSite) -> dict[int, str]:
    """How each of Whale's challenges is reached, ``http`` or ``direct``, from its database.

    Raises:
        NotCheckable: it is not known, or does not tell.
    """
    url = site.settings.whale_ctfd_database_url
    if url is None:
        raise NotCheckable("Whale's API does not show it", f"name it with {WHALES_DATABASE}")
    query = sa.select(_challenges.c.id, _challenges.c.redirect_type)
    with reading(url, WHALES_DATABASE) as connection:
        try:
            return {int(number): str(kind) for number, kind in connection.execute(query)}
        except SQLAlchemyError:
            raise NotCheckable(f"{WHALES_DATABASE}: holds no table of ctfd-whale", HOW) from None
