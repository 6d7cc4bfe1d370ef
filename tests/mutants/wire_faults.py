"""The adapter, broken in what it believes of a Whale and of what stands before it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin

import requests

from conformance.harnesses.whale import FakeWhaleHarness
from engines.audit import Action, ContainerEvent
from engines.contract import Code, InstanceStatus, account_key
from engines.errors import WhaleFault
from engines.front import Call
from engines.probe import answers_tcp
from engines.state.instances import Instance
from engines.whale import (
    StaticTokens,
    WhaleAPIManager,
    credentials,
    dialects,
    ledger,
    readiness,
    wire,
)
from engines.whale.api import WhaleAPI
from engines.whale.client import LoginPage, WhaleAnswer, WhaleClient
from engines.whale.credentials import CredentialsFile
from engines.whale.ledger import Ledger, Standing
from engines.whale.starter import WhaleStarter
from mutants.patched import Change

REDIRECTS = (301, 302, 303, 307, 308)


def follows_redirects(
    sound: Any, client: WhaleClient, method: str, path: str, headers: Mapping[str, str], *rest: Any
) -> LoginPage:
    """A redirect is followed with the user's token, wherever it points."""
    page: LoginPage = sound(client, method, path, headers, *rest)
    if page.status not in REDIRECTS:
        return page
    first = requests.request(
        method,
        client._base_url + path,
        headers=dict(headers),
        timeout=5,
        allow_redirects=False,
    )
    to = urljoin(client._base_url + path, first.headers.get("Location", ""))
    found = requests.request(method, to, headers=dict(headers), timeout=5)
    return replace(page, status=found.status_code, content=found.content)


def logs_its_headers(
    sound: Any, client: WhaleClient, method: str, path: str, headers: Any, *rest: Any
) -> Any:
    """What goes over the wire is logged for debugging, token and all."""
    logging.getLogger("engines.whale.client").debug("%s %s %s", method, path, dict(headers))
    return sound(client, method, path, headers, *rest)


def ends_rounds_at_the_first(sound: Any, book: Ledger, rows: Any, work: Any) -> int:
    """A worker's round ends at the first row whose user is not let in."""
    tried: list[int] = []

    def until_a_fault(row: Instance) -> bool:
        if tried:
            return False
        try:
            return bool(work(row))
        except WhaleFault:
            tried.append(row.id)
            raise

    done: int = sound(book, rows, until_a_fault)
    return done


def follows_gains_alone(sound: Any, book: Ledger, row: Instance, found: Any) -> Instance:
    """A time that was cut on Whale is not noticed."""
    return row if not book.renewed(row, found) else sound(book, row, found)


def reads_follow_redirects(
    sound: Any, client: WhaleClient, method: str, path: str, headers: Mapping[str, str], *rest: Any
) -> LoginPage:
    """A look follows a redirect to another host as any library would, token and all."""
    page: LoginPage = sound(client, method, path, headers, *rest)
    if method != "GET" or page.status not in REDIRECTS:
        return page
    return follows_redirects(lambda *_: page, client, method, path, headers)


def reads_follow_kept_methods(
    sound: Any, client: WhaleClient, method: str, path: str, headers: Mapping[str, str], *rest: Any
) -> LoginPage:
    """A look follows a redirect that keeps the method (307, 308), token and all."""
    page: LoginPage = sound(client, method, path, headers, *rest)
    if method != "GET" or page.status not in (307, 308):
        return page
    return follows_redirects(lambda *_: page, client, method, path, headers)


def borrows_a_token(sound: Any, tokens: StaticTokens, user_id: int) -> Mapping[str, str]:
    """Who has no token is let in with somebody else's."""
    try:
        found: Mapping[str, str] = sound(tokens, user_id)
    except WhaleFault:
        found = sound(tokens, next(iter(tokens._tokens)))
    return found


def no_token_is_nothing(sound: Any, manager: WhaleAPIManager, call: Call) -> InstanceStatus | None:
    """Who is not let in is told that nothing runs."""
    try:
        manager._api.look(call.user_id, call.challenge_id)
    except WhaleFault as fault:
        if fault.code is Code.UNAUTHENTICATED:
            return None
    found: InstanceStatus | None = sound(manager, call)
    return found


def no_token_is_gone(sound: Any, book: Ledger, row: Instance) -> tuple[Standing, Instance]:
    """An instance whose user is not let in any more is taken for gone."""
    try:
        found: tuple[Standing, Instance] = sound(book, row)
    except WhaleFault as fault:
        if fault.code is not Code.UNAUTHENTICATED:
            raise
        return Standing.GONE, row
    return found


def no_token_is_an_outage(sound: Any, *_: Any) -> WhaleFault:
    """Who is not let in is told that Whale is down, and to try again."""
    return WhaleFault(Code.UNAVAILABLE, "Whale cannot be reached", retry_after=10.0)


def last_known_by_user(sound: Any, manager: WhaleAPIManager, call: Call) -> InstanceStatus | None:
    """What was last known is looked up by the user, in a team or not."""
    call.account = account_key(call.user_id, None)
    found: InstanceStatus | None = sound(manager, call)
    return found


def status_by_starter(sound: Any, manager: WhaleAPIManager, call: Call) -> InstanceStatus | None:
    """A status is shown to who has started the instance, and to no mate."""
    row = manager._store.find(call.account, call.challenge_id)
    if row is not None and row.user_id != call.user_id:
        return None
    found: InstanceStatus | None = sound(manager, call)
    return found


def takes_whatever_runs(sound: Any, book: Ledger, row: Instance) -> tuple[Standing, Instance]:
    """Whatever container the user has is taken for the one on record."""
    found = book._api.look(row.user_id, row.challenge_id)
    uuid = getattr(found, "uuid", None)
    standing, seen = sound(book, row if uuid is None else replace(row, container_id=uuid))
    return standing, replace(seen, container_id=row.container_id)


def is_whatever_runs(sound: Any, found: Any, row: Instance) -> bool:
    """After a call that broke off whatever runs is taken for what was on record."""
    return isinstance(found, wire.RunningContainer)


def follows_what_took_its_place(
    sound: Any, book: Ledger, row: Instance
) -> tuple[Standing, Instance]:
    """What has taken an instance's place is shown with its id, and the old one's extensions."""
    found = book._api.look(row.user_id, row.challenge_id)
    if isinstance(found, wire.RunningContainer) and found.uuid != row.container_id:
        row = replace(row, container_id=found.uuid)
    standing: tuple[Standing, Instance] = sound(book, row)
    return standing


def repairs_to_no_extension(sound: Any, book: Ledger, row: Instance, found: Any) -> Any:
    """What is repaired has no extension used."""
    repaired = sound(book, row, found)
    if repaired is None:
        return None
    anew = replace(repaired, version=repaired.version + 1, extension_count=0)
    return anew if book._store.save(anew) else repaired


def repairs_uncounted(sound: Any, book: Ledger, row: Instance, found: Any) -> bool:
    """A renewal that went through unseen is not counted."""
    return False


def bad_gateway_is_certain(sound: Any, answer: WhaleAnswer) -> WhaleFault:
    """A 502 is taken for Whale's own word that it has done nothing."""
    fault: WhaleFault = sound(answer)
    if answer.status not in (502, 503, 504):
        return fault
    return WhaleFault(fault.code, fault.message, retry_after=10.0)


def gateway_is_over(sound: Any, answer: WhaleAnswer) -> WhaleFault:
    """Whatever is no answer of Whale's means that nothing comes of the call any more."""
    fault: WhaleFault = sound(answer)
    fault.pending = False
    return fault


def drops_the_unknown(sound: Any, book: Ledger, row: Instance) -> Instance | None:
    """A start of which Whale does not show anything is over at the first look."""
    settled: Instance | None = sound(book, replace(row, lease_until=row.started_at))
    return settled


def extend_stays_open(sound: Any, manager: WhaleAPIManager, mine: Instance, fault: Any) -> Any:
    """A renewal that certainly failed is at work until its time is over."""
    if fault.definite:
        raise fault
    return sound(manager, mine, fault)


def never_follows_a_renewal(sound: Any, book: Ledger, row: Instance, found: Any) -> Any:
    """What was renewed on Whale's own page ends when it would have ended."""
    return row


def bad_gateway_is_sent_again(
    sound: Any, client: WhaleClient, method: str, path: str, headers: Mapping[str, str], *rest: Any
) -> LoginPage:
    """A write that is answered 502 is sent once more."""
    page: LoginPage = sound(client, method, path, headers, *rest)
    return sound(client, method, path, headers, *rest) if page.status == 502 else page


def bad_gateway_is_done(sound: Any, dialect: Any, answer: WhaleAnswer) -> None:
    """A 502 after a write is taken for done."""
    if answer.status != 502:
        sound(dialect, answer)


_WHALE = FakeWhaleHarness


def lost_is_expired(
    sound: Any, call: Call, action: Action, code: Code, **metadata: Any
) -> ContainerEvent:
    """What another container took the place of is told as expired."""
    event: ContainerEvent = sound(
        call, Action.EXPIRED if action is Action.LOST else action, code, **metadata
    )
    return event


def never_asks_for_new_tokens(sound: Any, api: WhaleAPI, user: int, ask: Any) -> Any:
    """A token that was revoked is shown for ever, though there is a new one."""
    return ask()


def last_known_is_the_numbers(
    sound: Any, manager: WhaleAPIManager, call: Call
) -> InstanceStatus | None:
    """What was last known of a deleted account's is told to who has its number."""
    row = manager._store.find(call.account, call.challenge_id)
    live = row is not None and row.live(manager.clock.now())
    return manager._ledger.describe(row) if row is not None and live else None


def adopts_what_is_left(sound: Any, ledger: Ledger, user_id: int, found: Any) -> bool:
    """What a deleted account has left on Whale is taken for the next owner's."""
    return False


def expired_stand_in_the_way(sound: Any, starter: WhaleStarter, user_id: int, other: Any) -> bool:
    """Another challenge's container stands in the way until Whale has removed it."""
    return True


def never_answered_is_live(sound: Any, row: Instance) -> Instance:
    """A container that never answered is live until it could be destroyed."""
    return row


def forbidden_is_no_answer(sound: Any, answer: WhaleAnswer, message: object, *, known: bool) -> Any:
    """A 403 by CTFd itself, as to a session that has ended, is taken for no answer."""
    if answer.status == 403 and not known:
        return wire.unreadable(answer)
    return sound(answer, message, known=known)


def keeps_what_was_revoked(sound: Any, file: CredentialsFile, user_id: int) -> bool:
    """A token that was made with name and password is shown on when it was revoked."""
    made = dict(file._made)
    renewed: bool = sound(file, user_id)
    file._made.update(made)
    return renewed


def open_is_ready(sound: Any, host: str, port: int, *, watch: Any, seconds: float) -> bool:
    """A port that is open for a moment has somebody behind it."""
    return answers_tcp(host, port, timeout=seconds)


CHANGES: dict[str, tuple[Any, tuple[Change, ...]]] = {
    "adapter_follows_redirects": (_WHALE, (Change(WhaleClient, "_send", follows_redirects),)),
    "adapter_logs_its_headers": (_WHALE, (Change(WhaleClient, "_send", logs_its_headers),)),
    "adapter_ends_rounds_at_the_first": (
        _WHALE,
        (Change(Ledger, "_each", ends_rounds_at_the_first),),
    ),
    "adapter_follows_gains_alone": (
        _WHALE,
        (Change(Ledger, "_bring_up_to_date", follows_gains_alone),),
    ),
    "adapter_reads_follow_redirects": (
        _WHALE,
        (Change(WhaleClient, "_send", reads_follow_redirects),),
    ),
    "adapter_reads_follow_kept_methods": (
        _WHALE,
        (Change(WhaleClient, "_send", reads_follow_kept_methods),),
    ),
    "adapter_lost_is_expired": (_WHALE, (Change(Call, "event", lost_is_expired),)),
    "adapter_never_asks_for_new_tokens": (
        _WHALE,
        (Change(WhaleAPI, "_as", never_asks_for_new_tokens),),
    ),
    "adapter_keeps_what_was_revoked": (
        _WHALE,
        (Change(CredentialsFile, "refresh", keeps_what_was_revoked),),
    ),
    "adapter_borrows_a_token": (_WHALE, (Change(StaticTokens, "headers", borrows_a_token),)),
    "adapter_no_token_is_nothing": (
        _WHALE,
        (Change(WhaleAPIManager, "_status", no_token_is_nothing),),
    ),
    "adapter_no_token_is_gone": (_WHALE, (Change(Ledger, "examine", no_token_is_gone),)),
    "adapter_no_token_is_an_outage": (
        _WHALE,
        (
            Change(wire, "unauthenticated", no_token_is_an_outage),
            Change(credentials, "nobody", no_token_is_an_outage),
        ),
    ),
    "adapter_last_known_by_user": (
        _WHALE,
        (Change(WhaleAPIManager, "_last_known", last_known_by_user),),
    ),
    "adapter_status_by_starter": (
        _WHALE,
        (Change(WhaleAPIManager, "_status", status_by_starter),),
    ),
    "adapter_takes_whatever_runs": (_WHALE, (Change(Ledger, "examine", takes_whatever_runs),)),
    "adapter_is_whatever_runs": (_WHALE, (Change(ledger, "_is", is_whatever_runs),)),
    "adapter_follows_what_took_its_place": (
        _WHALE,
        (Change(Ledger, "examine", follows_what_took_its_place),),
    ),
    "adapter_repairs_to_no_extension": (
        _WHALE,
        (Change(Ledger, "_revived", repairs_to_no_extension),),
    ),
    "adapter_repairs_uncounted": (_WHALE, (Change(Ledger, "renewed", repairs_uncounted),)),
    "adapter_bad_gateway_is_certain": (
        _WHALE,
        (Change(wire, "unreadable", bad_gateway_is_certain),),
    ),
    "adapter_gateway_is_over": (_WHALE, (Change(wire, "unreadable", gateway_is_over),)),
    "adapter_drops_the_unknown": (_WHALE, (Change(Ledger, "settle", drops_the_unknown),)),
    "adapter_never_follows_a_renewal": (
        _WHALE,
        (Change(Ledger, "_bring_up_to_date", never_follows_a_renewal),),
    ),
    "adapter_last_known_is_the_numbers": (
        _WHALE,
        (Change(WhaleAPIManager, "_last_known", last_known_is_the_numbers),),
    ),
    "adapter_adopts_what_is_left": (_WHALE, (Change(Ledger, "was_orphaned", adopts_what_is_left),)),
    "adapter_expired_stand_in_the_way": (
        _WHALE,
        (Change(WhaleStarter, "_stands", expired_stand_in_the_way),),
    ),
    "adapter_never_answered_is_live": (
        _WHALE,
        (Change(Instance, "condemn", never_answered_is_live),),
    ),
    "adapter_forbidden_is_no_answer": (
        _WHALE,
        (Change(dialects, "refusal_of", forbidden_is_no_answer),),
    ),
    "adapter_open_is_ready": (_WHALE, (Change(readiness, "answers_direct", open_is_ready),)),
    "adapter_extend_stays_open": (
        _WHALE,
        (Change(WhaleAPIManager, "_renewed_after_all", extend_stays_open),),
    ),
    "adapter_bad_gateway_is_sent_again": (
        _WHALE,
        (Change(WhaleClient, "_send", bad_gateway_is_sent_again),),
    ),
    "adapter_bad_gateway_is_done": (
        _WHALE,
        (Change(dialects.CtfdWhale, "written", bad_gateway_is_done),),
    ),
}
