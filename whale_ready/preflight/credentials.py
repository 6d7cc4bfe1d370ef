"""Does Whale let in everybody whom the adapter will speak for, and as whom it should?"""

from __future__ import annotations

from dataclasses import dataclass, field

from engines.contract import Code
from engines.errors import SettingsError, WhaleFault
from engines.published import document
from engines.whale.client import WhaleAnswer
from whale_ready.preflight.accounts import Accounts, players_seen
from whale_ready.preflight.connection import heard
from whale_ready.preflight.items import CheckFinding, NotCheckable, not_ok, numbered, ok
from whale_ready.preflight.site import PreflightSite

ME = "/api/v1/users/me"
REFUSED = (302, 401, 403)
"""CTFd's own words for who is not let in (docs/whale-wire.md, "Who is asking")."""
ADMIN_LIST = "/api/v1/plugins/ctfd-whale/admin/container"
"""For admins; who is none gets 403 without ``success``."""

MADE_LATER = "start and stop an instance as one of them through the product, and run this again"


@dataclass
class UserAccess:
    """Whom Whale lets in; users by their ids."""

    good: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    others: list[int] = field(default_factory=list)
    """Whose credentials are somebody else's."""
    missing: list[int] = field(default_factory=list)


def accounts(site: PreflightSite) -> Accounts:
    """Where credentials come from.

    Raises:
        SettingsError: a setting or the file is wrong.
        NotCheckable: the database cannot be asked.
    """
    return Accounts(site)


def access(site: PreflightSite) -> UserAccess:
    """Ask CTFd, as each account that is needed, who it is.

    Raises:
        NotCheckable: there is nothing to ask with, or CTFd gives no answer of its own.
    """
    heard(site)
    try:
        proofs = site.fact(accounts)
    except (SettingsError, NotCheckable):
        raise NotCheckable("there are no credentials: see credentials") from None
    wishes = site.wishes
    named = {each for each in (wishes.admin, wishes.probe_account) if each is not None}
    found = UserAccess()
    for user_id in sorted(proofs.known() | site.fact(players_seen) | named):
        _sort_in(site, proofs, user_id, found)
    return found


def _sort_in(site: PreflightSite, proofs: Accounts, user_id: int, found: UserAccess) -> None:
    try:
        headers = proofs.headers(user_id)
    except WhaleFault as fault:
        if fault.code is not Code.UNAUTHENTICATED:
            raise
        (found.refused if user_id in proofs.known() else found.missing).append(user_id)
        return
    answer = site.client.call("GET", ME, headers)
    who = _who(answer)
    if answer.status in REFUSED:
        found.refused.append(user_id)
    elif answer.status != 200 or who is None:
        raise NotCheckable(
            f"status {answer.status}, {answer.content_type}, to GET {ME}: not CTFd's own answer"
        )
    else:
        (found.good if who == user_id else found.others).append(user_id)


def _who(answer: WhaleAnswer) -> int | None:
    body = answer.body if isinstance(answer.body, dict) else {}
    data = body.get("data")
    who = data.get("id") if isinstance(data, dict) else None
    return who if isinstance(who, int) else None


def credentials(site: PreflightSite) -> CheckFinding:
    """Whether each account that is needed is let in, as itself."""
    try:
        proofs = site.fact(accounts)
    except SettingsError as error:
        return not_ok(str(error), f"see Credentials in {document('whale.md')}")
    except NotCheckable as error:
        return not_ok(error.why, error.how)
    found = site.fact(access)
    wrong = {
        "refused": found.refused,
        "somebody else's": found.others,
        "missing": [] if proofs.makes_tokens else found.missing,
    }
    if any(wrong.values()):
        return not_ok("; ".join(f"{k}: users {numbered(v)}" for k, v in wrong.items() if v))
    expected = site.wishes.expected_players
    if found.missing:
        raise NotCheckable(
            f"users {numbered(found.missing)} have no token yet; the adapter makes one for them, "
            "which was not tried",
            MADE_LATER,
        )
    if not found.good:
        return not_ok("there are credentials for nobody")
    players = [each for each in found.good if each != site.wishes.admin]
    if expected is not None and len(players) < expected:
        said = f"credentials for {len(players)} players, and {expected} are expected"
        if proofs.makes_tokens:
            raise NotCheckable(f"{said}; the adapter makes tokens for the others", MADE_LATER)
        return not_ok(said, "write the others into WHALE_TOKENS_FILE")
    return ok(f"GET {ME} named the right user for each of {len(found.good)} accounts")


def player(site: PreflightSite) -> int:
    """An account that is no admin's: what it is shown is what players are shown."""
    for user_id in site.fact(access).good:
        if user_id != site.wishes.admin and not is_admin(site, user_id):
            return user_id
    raise NotCheckable("no account of a player is let in", "see credentials")


def is_admin(site: PreflightSite, user_id: int) -> bool:
    """Whether CTFd takes this account for an admin's."""
    answer = site.client.call("GET", ADMIN_LIST, site.fact(accounts).headers(user_id))
    return isinstance(answer.body, dict) and answer.status not in (403, 404)
