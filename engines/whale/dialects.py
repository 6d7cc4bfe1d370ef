"""What requests and answers look like on the wire; one class per dialect (docs/whale-wire.md).

``ctfd-whale`` (frankli0324) is measured. ``documented`` is what the migration paper writes down,
``legacy`` the older plugin (glzjin) as its source reads.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

from engines.errors import SettingsError
from engines.whale.access import Access, checked_access, parse_access
from engines.whale.client import WhaleAnswer
from engines.whale.wire import (
    Another,
    Look,
    Nothing,
    RunningContainer,
    identity_at,
    json_object,
    not_offered,
    refusal_of,
    unreadable,
    uuid_in,
)

AUTO = "auto"
LONGEST_SECONDS = 10 * 365 * 86_400
"""Most that an instance may have left, or be over its time: ten years, whatever Whale is set to."""
HTTP_PORT = 80
"""Where players reach an http instance whose dialect does not say."""


class Dialect(Protocol):
    """One wire dialect."""

    name: str

    def path(self, challenge_id: int) -> str:
        """Path and query of a user's container."""
        ...

    def look(self, answer: WhaleAnswer) -> Look:
        """Read the answer to GET. Raises :class:`engines.errors.WhaleFault`."""
        ...

    def written(self, answer: WhaleAnswer) -> None:
        """Read the answer to POST, PATCH or DELETE; returns when Whale did it.

        Raises:
            WhaleFault: it did not, or (``definite`` False) that cannot be told.
        """
        ...


class CtfdWhale:
    """ctfd-whale's own API."""

    name = "ctfd-whale"
    _route = "/api/v1/plugins/ctfd-whale/container"

    def path(self, challenge_id: int) -> str:
        return f"{self._route}?challenge_id={challenge_id}"

    def look(self, answer: WhaleAnswer) -> Look:
        body = json_object(answer, "application/json")
        if answer.status == 200 and body.get("success") is True:
            data = body.get("data")
            return Nothing() if data == {} else self._running(answer, data)
        message = body.get("message")
        if answer.status == 403 and isinstance(message, str) and _OTHER.match(message):
            found = _OTHER_LINK.search(message[:_LONGEST_LINK])
            return Another(int(found["id"]) if found else None)
        raise refusal_of(answer, message, known="success" in body)

    def written(self, answer: WhaleAnswer) -> None:
        body = json_object(answer, "application/json")
        if answer.status == 200 and body.get("success") is True:
            return
        raise refusal_of(answer, body.get("message"), known="success" in body)

    def _running(self, answer: WhaleAnswer, data: object) -> RunningContainer:
        if not isinstance(data, dict):
            raise unreadable(answer)
        access = parse_access(data.get("user_access"))
        return _believed(answer, _identity(data, access), access, data.get("remaining_time"))


class Documented(CtfdWhale):
    """The migration paper's API; where the paper says nothing, it is taken for ctfd-whale's."""

    name = "documented"
    _route = "/ctfd-whale-user/container"

    def _running(self, answer: WhaleAnswer, data: object) -> RunningContainer:
        if not isinstance(data, dict):
            raise unreadable(answer)
        host, port = data.get("subdomain"), data.get("port")
        access = (
            checked_access("http", host, HTTP_PORT)
            if port is None
            else checked_access("tcp", host, port)
        )
        return _believed(answer, uuid_in(data.get("uuid")), access, data.get("remaining_time"))


class Legacy:
    """The older plugin: JSON sent as HTML, flat, and nearly always with status 200."""

    name = "legacy"

    def path(self, challenge_id: int) -> str:
        return f"/plugins/ctfd-whale/container?challenge_id={challenge_id}"

    def look(self, answer: WhaleAnswer) -> Look:
        body = self._body(answer)
        if body == {}:
            return Another(None)
        if answer.status != 200 or body.get("success") is not True:
            raise refusal_of(answer, body.get("msg"), known="success" in body)
        if body == {"success": True}:
            return Nothing()
        access = self._access(body)
        return _believed(answer, _identity(body, access), access, body.get("remaining_time"))

    def written(self, answer: WhaleAnswer) -> None:
        body = self._body(answer)
        if answer.status == 200 and body.get("success") is True:
            return
        raise refusal_of(answer, body.get("msg"), known="success" in body)

    def _body(self, answer: WhaleAnswer) -> dict[str, Any]:
        if answer.status == 404:
            raise not_offered()
        return json_object(answer, "text/html", "application/json")

    def _access(self, body: dict[str, Any]) -> Access | None:
        domain = body.get("domain")
        if body.get("type") == "http":
            host, colon, port = domain.partition(":") if isinstance(domain, str) else ("", "", "")
            number = int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else None
            return checked_access("http", host, number if colon else HTTP_PORT)
        return checked_access("tcp", body.get("ip"), body.get("port"))


DIALECTS: tuple[Dialect, ...] = (CtfdWhale(), Documented(), Legacy())
"""In the order in which a Whale is asked which of them it speaks."""


def dialect_named(name: str) -> Dialect | None:
    """The dialect of this name; None for ``auto``: to be found on first contact.

    Raises:
        SettingsError: there is none.
    """
    if name == AUTO:
        return None
    for dialect in DIALECTS:
        if dialect.name == name:
            return dialect
    known = ", ".join([AUTO, *(dialect.name for dialect in DIALECTS)])
    raise SettingsError(f"WHALE_DIALECT: {name!r} is not known; write one of {known}")


# Without "already" and without a link in the generation before January 2024.
_OTHER = re.compile("Container (already )?started,? but not from this challenge", re.IGNORECASE)
_LONGEST_LINK = 4096
# The name comes unescaped, in the link and again behind it, and may hold anything: the id is the
# number between the two.
_OTHER_LINK = re.compile(
    r'href="/challenges#.*?-(?P<name>.*)-(?P<id>\d{1,18})">(?P=name)</a>\)\Z', re.DOTALL
)


def _identity(data: dict[str, Any], access: Access | None) -> str | None:
    """What ``lan_domain`` names; where there is none at all, what the address does."""
    if "lan_domain" not in data:
        return None if access is None else identity_at(access)
    _, _, uuid = str(data["lan_domain"]).partition("-")
    return uuid_in(uuid)


def _believed(
    answer: WhaleAnswer, identity: str | None, access: Access | None, remaining: object
) -> RunningContainer:
    """A container, if all that is said of it makes sense."""
    if identity is None or access is None or type(remaining) is not int:
        raise unreadable(answer)
    if abs(remaining) > LONGEST_SECONDS:
        raise unreadable(answer)
    return RunningContainer(identity, access, remaining)
