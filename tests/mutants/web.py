"""The endpoints, broken in one way each, over a sound engine."""

from __future__ import annotations

import math
from contextvars import Context
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa
from flask import Request, request

from conformance.harnesses.cre import MemoryHarness
from engines import bulk_stop as ending
from engines.call_rate import CallRate, account_calls
from engines.contract import LARGEST_ID, account_key
from engines.errors import BackendUnavailable
from engines.web import admin, answers, blueprint, inputs, overview
from engines.web.admin import AdminEndpoints
from engines.web.callers import Authorizer, Caller
from engines.web.calls import InstanceCalls
from engines.web.overview import DatabaseOverview, HistoryQuery
from engines.web.players import PlayerEndpoints
from mutants.patched import Change


def takes_any_request(sound: Any, door: Authorizer, request: Request) -> None:
    """A change is made whether or not the request shows the CSRF token."""


def takes_any_token(sound: Any, door: Authorizer, request: Request) -> None:
    """Any CSRF token will do, another session's too."""
    if not request.headers.get("CSRF-Token"):
        sound(door, request)


def trusts_admins(sound: Any, door: Authorizer, request: Request) -> Caller:
    """What an admin sends is not asked for the CSRF token."""
    return door.admin(request)


def everybody_is_admin(sound: Any, door: Authorizer, request: Request) -> Caller:
    """Who is logged in may do what admins may."""
    return door.player(request)


def lets_anybody_in(sound: Any, door: Authorizer, request: Request) -> Caller:
    """Who is not logged in is taken for the first user."""
    return door._identity.who(request) or Caller(1)


def believes_the_body(sound: Any, door: Authorizer, request: Request) -> Caller:
    """A request that names a user is that user's."""
    caller: Caller = sound(door, request)
    found = request.get_json(silent=True)
    named = found.get("user_id") if isinstance(found, dict) else None
    return caller if type(named) is not int else Caller(named, None, caller.is_admin)


def acts_for_oneself(sound: Any, endpoints: AdminEndpoints) -> Any:
    """What an admin does for a player is done with the admin's own account."""
    who, _, challenge = sound(endpoints)
    return who, Caller(who.user_id), challenge


def changes_by_get(sound: Any, blueprint: Any, method: str, path: str, answer: Any) -> None:
    """A change may be asked for by GET, as a picture on another page does."""
    sound(blueprint, method, path, answer)
    if path == "/stop":
        blueprint.add_url_rule(
            path, endpoint="stop_by_get", view_func=lambda: answer().response(), methods=["GET"]
        )


def last_known_is_anybodys(sound: Any, calls: InstanceCalls) -> Any:
    """What was last known is looked up by the user alone, in a team or not."""
    user_id, challenge_id, _ = calls._whose
    return calls._backend.last_known(user_id, challenge_id)


def calls_are_not_counted(sound: Any, endpoints: PlayerEndpoints, caller: Caller) -> float | None:
    """An account may call as often as it likes."""
    return None


def refuses_too_late(sound: Any, endpoints: PlayerEndpoints, wish: Any, call: Any) -> Any:
    """A call beyond the limit is refused when it has been made."""
    caller = endpoints._door.player_who_changes(request)
    challenge = inputs.challenge_in_body(inputs.members(request))
    endpoints._let_in(caller, challenge, wish, call)
    return sound(endpoints, wish, call)


def counts_the_forged(sound: Any, endpoints: PlayerEndpoints, wish: Any, call: Any) -> Any:
    """What another site asks for takes one of the player's calls of the minute."""
    try:
        endpoints._door.player_who_changes(request)
    except Exception:
        endpoints._throttle(endpoints._door.player(request))
        raise
    return sound(endpoints, wish, call)


def all_have_one_minute(sound: Any, rate: CallRate, user: int, team: int | None = None) -> Any:
    """The calls of one account count for all."""
    return sound(rate, 1)


def refused_for_good(
    sound: Any, rate: CallRate, user: int, team: int | None = None
) -> float | None:
    """Who was refused once is refused by the same process for ever."""
    if account_key(user, team) in rate._over:
        return 1.0
    wait: float | None = sound(rate, user, team)
    return wait


def rounds_the_wait_down(sound: Any, code: Any, told: float | None) -> int | None:
    """When to come back is rounded down: who comes then is refused again."""
    wait: int | None = sound(code, None if told is None else math.floor(told))
    return wait


def mates_have_a_minute_each(
    sound: Any, endpoints: PlayerEndpoints, caller: Caller
) -> float | None:
    """Each of a team may call as often as an account."""
    wait: float | None = sound(endpoints, Caller(caller.user_id))
    return wait


def admins_know_no_teams(sound: Any, endpoints: AdminEndpoints) -> Any:
    """What an admin does for one of a team is done for the user alone."""
    who, player, challenge = sound(endpoints)
    return who, Caller(player.user_id), challenge


def may_be_kept(sound: Any, answer: answers.HttpAnswer) -> Any:
    """What is answered may be kept by a cache on the way."""
    response = sound(answer)
    response.headers.pop("Cache-Control")
    return response


def takes_the_first(sound: Any, given: dict[str, int], where: str) -> int:
    """Of two challenges in one body the first is meant."""
    return next(iter(given.values())) if given else sound(given, where)


def takes_the_last(sound: Any, pairs: Any) -> dict[str, Any]:
    """Of two members of one name the last counts."""
    return dict(pairs)


def reads_all(sound: Any, request: Request) -> bytes:
    """A body may be as large as it likes."""
    return request.get_data()


def cuts_what_comes_in_chunks(sound: Any, request: Request) -> bytes:
    """Of a body that comes in chunks the beginning is read, however much follows."""
    if request.content_length is None:
        return request.stream.read(inputs.LARGEST_BODY)
    body: bytes = sound(request)
    return body


def takes_any_type(sound: Any, request: Request) -> Any:
    """A body is read as JSON whatever it says it is, as a form of another page can send it."""
    return inputs._parsed(inputs._read(request))


def leaves_the_rest(sound: Any) -> None:
    """A path of no endpoint is left to the application."""


def names_no_method(sound: Any, error: Any) -> Any:
    """Where another method is asked for, none is named."""
    answer = sound(error)
    answer.headers.pop("Allow", None)
    return answer


def nobody_stopped_it(sound: Any, endpoints: AdminEndpoints) -> Any:
    """An admin's stop is told in the audit log as the player's own."""
    _, player, challenge = endpoints._order()
    return endpoints._calls(player, challenge).stop()


def lists_the_expired(sound: Any, table: Any, now: datetime) -> Any:
    """Admins are shown what has expired until the worker removes it."""
    return sound(table, datetime.min.replace(tzinfo=timezone.utc))


def pages_overlap(sound: Any, shown: DatabaseOverview, query: HistoryQuery) -> Any:
    """A page of the history begins with the last event of the one before it."""
    return sound(shown, replace(query, before=query.before and query.before + 1))


def history_is_everybodys(sound: Any, shown: DatabaseOverview, query: HistoryQuery) -> Any:
    """Whose events an admin asks for is not looked at."""
    return sound(shown, replace(query, user_id=None))


def history_ends_early(sound: Any, shown: DatabaseOverview, query: HistoryQuery) -> Any:
    """A full page is taken for the last one."""
    return replace(sound(shown, query), next_before=None)


def zero_is_no_team(sound: Any, found: Any, name: str) -> int | None:
    """What is as good as nothing is no team, as 0 and false are."""
    return inputs.number(name, found[name]) if found.get(name) else None


def goes_by_the_first(sound: Any, name: str, selection: ending.InstanceSelection) -> Any:
    """Of several things that an admin names only the first is gone by."""
    if selection.challenge_id is not None:
        return sound(name, ending.InstanceSelection(selection.challenge_id))
    return sound(name, replace(selection, team_id=None) if selection.user_id else selection)


def nothing_is_all(sound: Any, endpoints: AdminEndpoints, found: Any) -> ending.InstanceSelection:
    """Where an admin names nothing everything is ended."""
    selection: ending.InstanceSelection = sound(endpoints, found or {"all": True})
    return selection


def knows_one_name(sound: Any, endpoints: AdminEndpoints, found: Any) -> ending.InstanceSelection:
    """A challenge that an admin names as chal_id or id is not looked at beside a user."""
    others = {name: value for name, value in found.items() if name not in ("chal_id", "id")}
    selection: ending.InstanceSelection = sound(endpoints, others or found)
    return selection


def false_is_all(sound: Any, endpoints: AdminEndpoints, found: Any) -> ending.InstanceSelection:
    """Where an admin says anything of all everything is ended."""
    selection: ending.InstanceSelection = sound(
        endpoints, {"all": True} if "all" in found else found
    )
    return selection


def nobody_ended_them(sound: Any, instances: Any) -> Any:
    """Who ends many is not known where they are ended."""
    return [(Context(), instance) for instance in instances]


def solves_are_users(sound: Any, backend: Any, user: int, challenge: int, team: Any = None) -> Any:
    """A solve by one of a team ends the user's own instance."""
    return sound(backend, user, challenge)


def solves_end_all_the_same(
    sound: Any, backend: Any, user: int, challenge: int, team: Any = None
) -> Any:
    """A solve ends the instance whether or not it is to."""
    return backend.stop_instance(user, challenge, team)


def shows_nothing_unseen(sound: Any, calls: InstanceCalls) -> Any:
    """What cannot be looked at after an extend is not shown, though it is on record."""
    result = calls._backend.extend_instance(*calls._whose)
    if not result.ok:
        return calls._out_of_reach(result) or answers.done(result)
    try:
        live = calls._backend.get_instance_status(*calls._whose)
    except BackendUnavailable:
        live = None
    return answers.done(result, None if live is None else answers.instance(live))


def counts_on(sound: Any, rate: CallRate, connection: Any, account: str, now: datetime) -> Any:
    """A new minute begins with the calls of the one before it."""
    mine = account_calls.c.account == account
    before = connection.execute(sa.select(account_calls.c.calls).where(mine)).scalar()
    over = sound(rate, connection, account, now)
    if over is None and before is not None:
        connection.execute(account_calls.update().where(mine).values(calls=before + 1))
    return over


def first_of_two(sound: Any, asked: Request, name: str, most: int = LARGEST_ID) -> int | None:
    """Of two numbers in a query the first counts."""
    given = asked.args.getlist(name)
    if len(given) > 1:
        return int(given[0])
    found: int | None = sound(asked, name, most)
    return found


def any_number(sound: Any, asked: Request, name: str, most: int = LARGEST_ID) -> int | None:
    """What is no number in a query counts for nothing."""
    return asked.args.get(name, type=int)


CHANGES: dict[str, tuple[Any, tuple[Change, ...]]] = {
    "web_takes_any_request": (
        MemoryHarness,
        (Change(Authorizer, "_on_purpose", takes_any_request),),
    ),
    "web_takes_any_token": (MemoryHarness, (Change(Authorizer, "_on_purpose", takes_any_token),)),
    "web_trusts_admins": (MemoryHarness, (Change(Authorizer, "admin_who_changes", trusts_admins),)),
    "web_everybody_is_admin": (MemoryHarness, (Change(Authorizer, "admin", everybody_is_admin),)),
    "web_lets_anybody_in": (MemoryHarness, (Change(Authorizer, "player", lets_anybody_in),)),
    "web_believes_the_body": (MemoryHarness, (Change(Authorizer, "player", believes_the_body),)),
    "web_acts_for_oneself": (MemoryHarness, (Change(AdminEndpoints, "_order", acts_for_oneself),)),
    "web_changes_by_get": (MemoryHarness, (Change(blueprint, "_add", changes_by_get),)),
    "web_calls_are_not_counted": (
        MemoryHarness,
        (Change(PlayerEndpoints, "_throttle", calls_are_not_counted),),
    ),
    "web_refuses_too_late": (
        MemoryHarness,
        (Change(PlayerEndpoints, "_change", refuses_too_late),),
    ),
    "web_counts_the_forged": (
        MemoryHarness,
        (Change(PlayerEndpoints, "_change", counts_the_forged),),
    ),
    "web_all_have_one_minute": (
        MemoryHarness,
        (Change(CallRate, "throttle", all_have_one_minute),),
    ),
    "web_refused_for_good": (MemoryHarness, (Change(CallRate, "throttle", refused_for_good),)),
    "web_rounds_the_wait_down": (MemoryHarness, (Change(answers, "_wait", rounds_the_wait_down),)),
    "web_mates_have_a_minute_each": (
        MemoryHarness,
        (Change(PlayerEndpoints, "_throttle", mates_have_a_minute_each),),
    ),
    "web_admins_know_no_teams": (
        MemoryHarness,
        (Change(AdminEndpoints, "_order", admins_know_no_teams),),
    ),
    "web_nobody_stopped_it": (MemoryHarness, (Change(AdminEndpoints, "stop", nobody_stopped_it),)),
    "web_lists_the_expired": (MemoryHarness, (Change(overview, "_live", lists_the_expired),)),
    "web_pages_overlap": (MemoryHarness, (Change(DatabaseOverview, "history", pages_overlap),)),
    "web_history_is_everybodys": (
        MemoryHarness,
        (Change(DatabaseOverview, "history", history_is_everybodys),),
    ),
    "web_history_ends_early": (
        MemoryHarness,
        (Change(DatabaseOverview, "history", history_ends_early),),
    ),
    "web_may_be_kept": (MemoryHarness, (Change(answers.HttpAnswer, "response", may_be_kept),)),
    "web_takes_the_first": (MemoryHarness, (Change(inputs, "_the_one", takes_the_first),)),
    "web_takes_the_last": (MemoryHarness, (Change(inputs, "_object", takes_the_last),)),
    "web_reads_all": (MemoryHarness, (Change(inputs, "_read", reads_all),)),
    "web_cuts_what_comes_in_chunks": (
        MemoryHarness,
        (Change(inputs, "_read", cuts_what_comes_in_chunks),),
    ),
    "web_takes_any_type": (MemoryHarness, (Change(inputs, "members", takes_any_type),)),
    "web_leaves_the_rest": (MemoryHarness, (Change(blueprint, "_unrouted", leaves_the_rest),)),
    "web_names_no_method": (MemoryHarness, (Change(blueprint, "_http_error", names_no_method),)),
    "web_zero_is_no_team": (MemoryHarness, (Change(inputs, "optional", zero_is_no_team),)),
    "web_goes_by_the_first": (MemoryHarness, (Change(ending, "_query", goes_by_the_first),)),
    "web_nothing_is_all": (MemoryHarness, (Change(AdminEndpoints, "_selection", nothing_is_all),)),
    "web_knows_one_name": (MemoryHarness, (Change(AdminEndpoints, "_selection", knows_one_name),)),
    "web_false_is_all": (MemoryHarness, (Change(AdminEndpoints, "_selection", false_is_all),)),
    "web_nobody_ended_them": (MemoryHarness, (Change(ending, "_with_context", nobody_ended_them),)),
    "web_solves_are_users": (MemoryHarness, (Change(admin, "end_on_solve", solves_are_users),)),
    "web_solves_end_all_the_same": (
        MemoryHarness,
        (Change(admin, "end_on_solve", solves_end_all_the_same),),
    ),
    "web_shows_nothing_unseen": (
        MemoryHarness,
        (Change(InstanceCalls, "extend", shows_nothing_unseen),),
    ),
    "web_counts_on": (MemoryHarness, (Change(CallRate, "_look", counts_on),)),
    "web_first_of_two": (MemoryHarness, (Change(inputs, "number_in_query", first_of_two),)),
    "web_any_number": (MemoryHarness, (Change(inputs, "number_in_query", any_number),)),
    "web_last_known_is_anybodys": (
        MemoryHarness,
        (Change(InstanceCalls, "_on_record", last_known_is_anybodys),),
    ),
}
