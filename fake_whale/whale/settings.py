"""Whale's settings by their real names, read the way CTFd reads its config table.

A value that is empty counts as unset, digits become a number, ``true``/``false`` a bool: this is
why ``frp_http_port`` 80 still shows ``:80`` and an empty port shows none
(docs/whale-wire.md, "The normal life").
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from .errors import BadSetting, FakeWhaleError
from .flavours import NEWEST, OWN_SETTINGS, Flavour

DEFAULTS: Mapping[str, str] = {
    "docker_api_url": "unix:///var/run/docker.sock",
    "docker_auto_connect_containers": "",
    "docker_auto_connect_network": "ctfd_frp-containers",
    "docker_credentials": "",
    "docker_dns": "127.0.0.1",
    "docker_max_container_count": "100",
    "docker_max_renew_count": "5",
    "docker_subnet": "174.1.0.0/16",
    "docker_subnet_new_prefix": "24",
    "docker_swarm_nodes": "linux-1",
    "docker_timeout": "3600",
    "docker_use_ssl": "",
    "frp_api_url": "http://frpc:7400",
    "frp_config_template": "",
    "frp_direct_ip_address": "127.0.0.1",
    "frp_direct_port_maximum": "10100",
    "frp_direct_port_minimum": "10000",
    "frp_http_domain_suffix": "127.0.0.1.nip.io",
    "frp_http_port": "8080",
    "plugin_name": "ctfd-whale",
    "refresh": "false",
    "router_type": "frp",
    "setup": "true",
    "template_chall_flag": '{{ "flag{"+uuid.uuid4()|string+"}" }}',
    "template_http_subdomain": "{{ container.uuid }}",
    "trp_api_url": "",
    "trp_domain_suffix": "",
    "trp_listening_port": "",
}
"""Every setting the fake knows, with the value a fresh Whale has."""

SECRET_SETTINGS = frozenset({"docker_credentials"})

Value = str | int | bool | None
FIRST_MOMENT, LAST_MOMENT = -62_135_596_800.0, 253_402_300_799.0
"""Years 1 and 9999 in epoch seconds: beyond them Python knows no date."""


def check_settings(values: Mapping[str, object], where: str) -> dict[str, str]:
    """``values`` as the text they are stored as.

    Raises :class:`FakeWhaleError` for a misspelt name or a value that is no text, number or bool;
    ``where`` says in the message where the values came from. Other names are stored, as Whale's
    table takes any.
    """
    checked: dict[str, str] = {}
    for key, value in values.items():
        known = {*DEFAULTS, *OWN_SETTINGS}
        if key not in known and (near := get_close_matches(key, known, n=1, cutoff=0.8)):
            raise FakeWhaleError(
                f"{where}.{key}: Whale has no such setting; did you mean {near[0]!r}?"
            )
        if not isinstance(value, (str, int, float)):
            raise FakeWhaleError(f"{where}.{key}: must be text, a number or a bool")
        checked[key] = str(value).lower() if isinstance(value, bool) else str(value)
    return checked


class WhaleSettings:
    """The settings table of one fake."""

    def __init__(self, values: Mapping[str, object], flavour: Flavour = NEWEST) -> None:
        own = check_settings(values, "config")
        self._stored: dict[str, str] = {**DEFAULTS, **flavour.settings, **own}

    def update(self, values: Mapping[str, object]) -> None:
        """Lay ``values`` over the stored ones; raises :class:`FakeWhaleError`."""
        self._stored = {**self._stored, **check_settings(values, "config")}

    def stored(self) -> dict[str, str]:
        """All settings as text; secrets are blanked."""
        return {k: "…" if k in SECRET_SETTINGS and v else v for k, v in self._stored.items()}

    def get(self, key: str, default: Value = None) -> Value:
        """The value as CTFd's ``get_config`` would give it to Whale."""
        raw = self._stored.get(key, "")
        if not raw:
            return default
        if raw.isdigit():
            return int(raw)
        if raw.lower() in ("true", "false"):
            return raw.lower() == "true"
        return raw

    def text(self, key: str, default: str) -> str:
        """The value as text; raises :class:`BadSetting` for one CTFd reads as a number or truth."""
        value = self.get(key, default)
        if not isinstance(value, str):
            raise BadSetting(f"{key} is not text")
        return value

    def oldest_alive(self, now: float) -> float:
        """Start time, in epoch seconds, of a container whose time is over at ``now``.

        Raises :class:`BadSetting` for a ``docker_timeout`` that leads out of Python's calendar.
        """
        since = now - self.integer("docker_timeout", 3600)
        if not FIRST_MOMENT <= since <= LAST_MOMENT:
            raise BadSetting("docker_timeout is out of range")
        return since

    def integer(self, key: str, default: int) -> int:
        """The value as a number; raises :class:`BadSetting` for ``abc`` or ``3600.5``."""
        value = self.get(key, default)
        try:
            return int(value)  # type: ignore[arg-type]  # None cannot happen: a default is given
        except ValueError as error:
            raise BadSetting(f"{key} is not a number") from error
