"""Do the parts behind Whale work: redis, swarm, frp, its cleaner, its admin's list, its database?

Whale's API shows little of them: what only a start shows is not checkable without a probe.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from engines.contract import Code
from engines.whale.client import WhaleAnswer
from whale_ready.preflight.connection import heard
from whale_ready.preflight.credentials import ADMIN_LIST, access, accounts, is_admin
from whale_ready.preflight.dialect import contact, startable
from whale_ready.preflight.items import CheckFinding, NotCheckable, listed, not_ok, ok
from whale_ready.preflight.looks import ProbedInstance, held_by_us, look_at, look_at_all
from whale_ready.preflight.probe import (
    DEAD_SECONDS,
    HOW,
    Missing,
    Started,
    further,
    missing,
    probe,
    probed,
)
from whale_ready.preflight.site import WHALES_DATABASE, PreflightSite, reading
from whale_ready.preflight.theirs import DIRECT, HTTP, REFRESH, redirect_types, their_settings

CLEANED_WITHIN_SECONDS = 20
"""The cleaner comes every 10 s and was seen to be done 10 s after expiry; this is twice that."""
WATCHED_SECONDS = 15
"""An instance that ends within so long is watched until it is gone."""
NOT_THEIR_FAULT = frozenset(
    code.value for code in (Code.CHALLENGE_UNAVAILABLE, Code.CAPACITY, Code.RATE_LIMITED, Code.BUSY)
)
"""Refusals of a start that neither Docker nor frpc have brought about."""
REPEATABLE = "REPEATABLE-READ"
HOW_TO_ASK = "set WHALE_PROBE=true, and WHALE_PROBE_GATEWAY where players' names do not resolve"


HOW_MISSING = (
    "make a visible challenge on Whale with an image such as no-such-image:0, one of each redirect "
    "type, and name them with --probe-missing ID, beside --probe-account USER_ID"
)
RESOLVER_SHARE = 0.8
"""Of what counts as alive: a dead connection that stays open for longer comes too near to it."""


def health(site: PreflightSite) -> CheckFinding:
    """Whether CTFd's own health check passes, which it does on any cache, redis or not."""
    page = heard(site).page
    said = f"GET /healthcheck: status {page.status}"
    if page.status == 200 and page.content.strip() == b"OK":
        return ok(f"{said}, OK")
    if page.status >= 500:
        return not_ok(said)
    raise NotCheckable(f"{said}, which is not CTFd's own answer", "ask CTFd without what is before")


def orders(site: PreflightSite) -> CheckFinding:
    """Whether Docker and frpc took a start."""
    shown = site.fact(probe)
    if shown.refused in NOT_THEIR_FAULT:
        raise NotCheckable(f"the start of {_what(shown)} was refused: {shown.refused}")
    if shown.refused:
        return not_ok(f"the start of {_what(shown)} failed: {shown.refused}{_left(shown)}")
    said = f"Whale took the start of {_what(shown)}"
    return not_ok(f"{said}, and could not stop it") if shown.left else ok(f"{said}, and its stop")


def answers(site: PreflightSite) -> CheckFinding:
    """Whether a fresh instance really answers, of each redirect type."""
    first = site.fact(probe)
    if first.refused:
        raise NotCheckable("nothing was started: see orders")
    shown: list[Started] = [first, *site.fact(further)]
    for started in shown:
        if started.refused:
            return not_ok(
                f"the start of {_what(started)} failed: {started.refused}{_left(started)}"
            )
        if started.access is None:
            raise NotCheckable("Whale took the start and showed no address of it")
        if started.answered is None:
            raise NotCheckable("WHALE_PROBE is false: nobody asked the instance", HOW_TO_ASK)
    seconds = site.settings.whale_ready_seconds
    silent = [started for started in shown if not started.answered]
    if silent:
        said = "; ".join(
            f"{_what(started)} did not answer at {started.address}" for started in silent
        )
        return not_ok(f"{said} within {seconds:g} s")
    untried = _untried(site, shown)
    if untried:
        raise NotCheckable(
            f"{_what(first)} answered at {first.address}; Whale has {untried} challenges "
            "too, and none of them was tried",
            "name one of each with --probe-challenge ID, given twice",
        )
    return ok("; ".join(f"{_what(started)} answered at {started.address}" for started in shown))


def counter_proof(site: PreflightSite) -> CheckFinding:
    """Whether what is not there is seen not to answer."""
    shown = _missing(site)
    fooled = [each for each in shown if each.answered]
    if fooled:
        said = listed([f"challenge {each.challenge_id} at {each.address}" for each in fooled])
        return not_ok(f"taken to answer, although its image does not exist: {said}")
    for each in shown:
        if each.refused:
            raise NotCheckable(f"the start of {_what(each)} was refused: {each.refused}", "")
        if each.answered is None:
            raise NotCheckable("WHALE_PROBE is false: nobody asked the instance", HOW_TO_ASK)
    untried = _untried(site, shown)
    said = listed([f"challenge {each.challenge_id} at {each.address}" for each in shown])
    said = f"no answer of {said}, whose image does not exist"
    if untried:
        raise NotCheckable(f"{said}; Whale has {untried} challenges too", HOW_MISSING)
    return ok(said)


def resolver(site: PreflightSite) -> CheckFinding:
    """Whether frpc's resolver is quick about a name that does not exist."""
    hold = site.settings.whale_direct_hold_seconds
    direct = [each for each in _missing(site) if each.direct]
    if not direct:
        raise NotCheckable(
            "no instance on a port of its own was started without a container behind it",
            HOW_MISSING,
        )
    dead = [each.dead_seconds for each in direct]
    if None in dead:
        return not_ok(f"a port with nobody behind it was still open after {DEAD_SECONDS:g} s")
    slowest = max(each for each in dead if each is not None)
    said = (
        f"a port with nobody behind it was closed after {slowest:.2f} s; a silent one counts as "
        f"alive after {hold:g} s (WHALE_DIRECT_HOLD_SECONDS)"
    )
    return ok(said) if slowest <= RESOLVER_SHARE * hold else not_ok(said)


def redis(site: PreflightSite) -> CheckFinding:
    """Whether Whale really holds its locks, which it does in redis only."""
    shown = site.fact(probe)
    if is_admin(site, shown.user_id):
        raise NotCheckable(
            f"user {shown.user_id}, named by --probe-account, is an admin: Whale locks players only"
        )
    if shown.locked is None:
        raise NotCheckable(
            "the probe came to no refusal that would have left a lock: see orders and renewals",
            "see that CTFd runs with REDIS_URL, and that keys named ctfd_whale_lock-… appear in "
            "that redis while instances are started",
        )
    said = "the write that followed a refusal"
    if shown.locked:
        return ok(f"{said} was kept out by the lock it had left")
    return not_ok(f"{said} passed at once: no lock was held")


def settings_page(site: PreflightSite) -> CheckFinding:
    """Whether the settings page was opened since it was saved: only then the settings count."""
    settings = site.fact(their_settings)
    stored = settings.values.get(REFRESH) or ""
    if stored == "false":
        return ok(f"Whale's refresh is false, {settings.source}: opened since it was last saved")
    if stored:
        return not_ok(f"Whale's refresh is pending, {settings.source}: saved, and not opened since")
    shown = probed(site)
    if shown is not None and not shown.refused:
        return ok("never saved on the page; the probe's start was taken all the same")
    raise NotCheckable(
        f"Whale's refresh is not set, {settings.source}: whether the page was ever opened is not "
        "stored",
        "open Whale's settings page as an admin once: where starts failed, they work from then on",
    )


def self_call(site: PreflightSite) -> CheckFinding:
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


def admin_list(site: PreflightSite) -> CheckFinding:
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


def cleaner(site: PreflightSite) -> CheckFinding:
    """Whether what has expired is removed."""
    seen = site.fact(look_at_all)
    ours = held_by_us(site)
    for instance in sorted(seen, key=lambda each: each.remaining):
        if instance.remaining > WATCHED_SECONDS:
            break
        after = _gone_after(site, instance)
        if after is None:
            return not_ok(
                f"user {instance.user_id}'s instance of challenge {instance.challenge_id} is still "
                f"there more than {CLEANED_WITHIN_SECONDS} s after its end"
            )
        if after >= 0 and instance.uuid not in ours:  # our own worker stops what is ours
            return ok(f"user {instance.user_id}'s instance was gone {after:.0f} s after its end")
    raise NotCheckable(
        "no instance of our accounts is about to end, and only one that ends shows it",
        f"run it again when one has less than {WATCHED_SECONDS} s left; or look whether Whale's "
        "table whale_container holds rows older than docker_timeout",
    )


def isolation(site: PreflightSite) -> CheckFinding:
    """Whether Whale's requests see each other's changes."""
    said, bad = [], False
    try:
        level = site.fact(isolation_level)
        said.append(f"the database server's default is {level}")
        bad = level == REPEATABLE
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


def isolation_level(site: PreflightSite) -> str:
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


def _missing(site: PreflightSite) -> Sequence[Missing]:
    """What was seen of challenges without an image. Raises :class:`NotCheckable`."""
    if not site.wishes.probe_missing:
        raise NotCheckable("no challenge was named whose image does not exist", HOW_MISSING)
    return site.fact(missing)


def _untried(site: PreflightSite, shown: Sequence[Started]) -> str:
    """The redirect type that players' challenges have, and none of these had; empty: none such."""
    tried = {DIRECT if started.direct else HTTP for started in shown}
    offered = set(startable(site))
    try:
        types = site.fact(redirect_types)
    except NotCheckable:
        return ""
    there = {kind for number, kind in types.items() if number in offered}
    return ", ".join(sorted((there & {DIRECT, HTTP}) - tried))


def _what(shown: Started) -> str:
    return f"challenge {shown.challenge_id} for user {shown.user_id}"


def _left(shown: Started) -> str:
    return "; an instance may be left" if shown.left else ""


def _containers(answer: WhaleAnswer) -> list[object]:
    body = answer.body if isinstance(answer.body, dict) else {}
    data = body.get("data")
    found = data.get("containers") if isinstance(data, dict) else None
    return found if isinstance(found, list) else []


def _gone_after(site: PreflightSite, first: ProbedInstance) -> float | None:
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
