"""Do the parts behind Whale work: redis, swarm, frp, its cleaner, its admin's list, its database?

Whale's API shows little of them: what only a start shows is not checkable without a probe.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from engines.contract import Code
from engines.whale.client import Answer
from whale_ready.preflight.connection import heard
from whale_ready.preflight.credentials import ADMIN_LIST, access, accounts
from whale_ready.preflight.dialect import contact
from whale_ready.preflight.items import Finding, NotCheckable, not_ok, ok
from whale_ready.preflight.looks import Seen, held_by_us, look_at, look_at_all
from whale_ready.preflight.probe import HOW, Shown, probe, probed
from whale_ready.preflight.site import WHALES_DATABASE, Site, reading

CLEANED_WITHIN_SECONDS = 20
"""The cleaner comes every 10 s and was seen to be done 10 s after expiry; this is twice that."""
WATCHED_SECONDS = 15
"""An instance that ends within so long is watched until it is gone."""
NOT_THEIR_FAULT = frozenset(
    code.value for code in (Code.CHALLENGE_UNAVAILABLE, Code.CAPACITY, Code.RATE_LIMITED, Code.BUSY)
)
"""Refusals of a start that neither Docker nor frpc have brought about."""
_REPEATABLE = "REPEATABLE-READ"


def redis(site: Site) -> Finding:
    """Whether CTFd's own health check passes; without redis every answer of CTFd is a 500."""
    page = heard(site).page
    said = f"GET /healthcheck: status {page.status}"
    if page.status == 200 and page.content.strip() == b"OK":
        return ok(f"{said}, OK")
    if page.status >= 500:
        return not_ok(said)
    raise NotCheckable(f"{said}, which is not CTFd's own answer", "ask CTFd without what is before")


def orders(site: Site) -> Finding:
    """Whether Docker and frpc took a start."""
    shown = site.fact(probe)
    if shown.refused in NOT_THEIR_FAULT:
        raise NotCheckable(f"the start of {_what(shown)} was refused: {shown.refused}")
    if shown.refused:
        return not_ok(f"the start of {_what(shown)} failed: {shown.refused}{_left(shown)}")
    said = f"Whale took the start of {_what(shown)}"
    return not_ok(f"{said}, and could not stop it") if shown.left else ok(f"{said}, and its stop")


def answers(site: Site) -> Finding:
    """Whether a fresh instance really answers."""
    shown = site.fact(probe)
    if shown.refused:
        raise NotCheckable("nothing was started: see orders")
    if not shown.address:
        raise NotCheckable("Whale took the start and showed no address of it")
    if shown.answered is None:
        raise NotCheckable(
            "WHALE_PROBE is false: nobody asked the instance",
            "set WHALE_PROBE=true, and WHALE_PROBE_GATEWAY where players' names do not resolve",
        )
    seconds = site.settings.whale_ready_seconds
    if shown.answered:
        return ok(f"{_what(shown)} answered at {shown.address}")
    return not_ok(f"{_what(shown)} did not answer at {shown.address} within {seconds:g} s")


def self_call(site: Site) -> Finding:
    """Whether Whale's CTFd works on a call while another one waits."""
    shown = site.fact(probe)
    if shown.side_by_side is None:
        raise NotCheckable(
            "no call could be made to wait: see orders and renewals",
            "look at the command line of gunicorn: CTFd's own default is one gevent worker, "
            "WORKER_CLASS=gevent",
        )
    if shown.side_by_side:
        return ok("GET was answered while a write of the same account waited for its lock")
    return not_ok("GET was answered only after a write that waited for its lock")


def admin_list(site: Site) -> Finding:
    """Whether the admin's list shows a container that runs."""
    admin = site.wishes.admin
    if admin is None:
        raise NotCheckable("no admin's account was named", "--admin USER_ID")
    if admin not in site.fact(access).good:
        raise NotCheckable(f"user {admin}, named by --admin, is not let in", "see credentials")
    answer = site.client.call("GET", ADMIN_LIST, site.fact(accounts).headers(admin))
    if answer.status == 200 and not _containers(answer):
        shown = probed(site)
        answer = (shown.admin_page if shown is not None else None) or answer
    if answer.status == 200 and _containers(answer):
        return ok(f"the list held {len(_containers(answer))} of what ran, seen as user {admin}")
    if answer.status == 403:
        return not_ok(f"user {admin} is no admin of Whale's CTFd", "name one with --admin")
    if answer.status == 200:
        raise NotCheckable(
            "the list is empty, and an empty one is always shown; ctfd-whale's own answers 500 as "
            "soon as a container runs",
            f"run it again while an instance runs; or {HOW}",
        )
    if answer.status == 404:
        raise NotCheckable("this Whale has no such list", "look at its admin page")
    return not_ok(f"status {answer.status} while a container runs")


def cleaner(site: Site) -> Finding:
    """Whether what has expired is removed."""
    seen = site.fact(look_at_all)
    ours = held_by_us(site)
    for each in sorted(seen, key=lambda each: each.remaining):
        if each.remaining > WATCHED_SECONDS:
            break
        after = _gone_after(site, each)
        if after is None:
            return not_ok(
                f"user {each.user_id}'s instance of challenge {each.challenge_id} is still there "
                f"more than {CLEANED_WITHIN_SECONDS} s after its end"
            )
        if after >= 0 and each.uuid not in ours:  # our own worker stops what is ours
            return ok(f"user {each.user_id}'s instance was gone {after:.0f} s after its end")
    raise NotCheckable(
        "no instance of our accounts is about to end, and only one that ends shows it",
        f"run it again when one has less than {WATCHED_SECONDS} s left; or look whether Whale's "
        "table whale_container holds rows older than docker_timeout",
    )


def isolation(site: Site) -> Finding:
    """Whether Whale's requests see each other's changes."""
    said, bad = [], False
    try:
        level = site.fact(isolation_level)
        said.append(f"the database server's default is {level}")
        bad = level == _REPEATABLE
    except NotCheckable:
        pass
    shown = probed(site)
    if shown is not None and shown.lost is not None:
        counted = f"{2 - shown.lost} of two renewals that began before either wrote counted"
        said.append(counted)
        bad = bad or shown.lost > 0
    if not said:
        raise NotCheckable(
            "neither its database nor two renewals at once told it",
            f"{HOW}, with two visible challenges in the catalogue; or ask the database server: "
            "SELECT @@GLOBAL.transaction_isolation (MariaDB before 11.1: @@GLOBAL.tx_isolation)",
        )
    return not_ok("; ".join(said)) if bad else ok("; ".join(said))


def isolation_level(site: Site) -> str:
    """The default of Whale's database server, in MariaDB's words. Raises NotCheckable."""
    url = site.settings.whale_ctfd_database_url
    if url is None:
        raise NotCheckable("Whale's database is not known", WHALES_DATABASE)
    try:
        kind = make_url(url).get_backend_name()
    except ArgumentError:
        kind = ""
    if kind not in ("mysql", "mariadb"):
        raise NotCheckable("only MariaDB and MySQL are asked")
    with reading(url, WHALES_DATABASE) as connection:
        for name in ("transaction_isolation", "tx_isolation"):
            try:
                found = connection.execute(sa.text(f"SELECT @@GLOBAL.{name}")).scalar()
            except SQLAlchemyError:
                continue  # an older or a newer server, which calls it by the other name
            return str(found)
    raise NotCheckable("the database server does not tell")


def _what(shown: Shown) -> str:
    return f"challenge {shown.challenge_id} for user {shown.user_id}"


def _left(shown: Shown) -> str:
    return "; an instance may be left" if shown.left else ""


def _containers(answer: Answer) -> list[object]:
    body = answer.body if isinstance(answer.body, dict) else {}
    data = body.get("data")
    found = data.get("containers") if isinstance(data, dict) else None
    return found if isinstance(found, list) else []


def _gone_after(site: Site, first: Seen) -> float | None:
    """Seconds from its end until it was seen gone; negative: it went before its time; None: it
    stays.

    Raises:
        NotCheckable: its time does not run.
    """
    api = site.fact(contact).api
    for _ in range(WATCHED_SECONDS + 2 * CLEANED_WITHIN_SECONDS):
        now = look_at(site, api, first.user_id, first.challenge_id)
        if now is None or now.uuid != first.uuid:
            return (site.now() - first.at).total_seconds() - first.remaining
        if now.remaining < -CLEANED_WITHIN_SECONDS:
            return None
        site.pause(1.0)
    raise NotCheckable(
        f"the remaining time of user {first.user_id}'s instance does not go down",
        "see the clock of the machine that runs CTFd",
    )
