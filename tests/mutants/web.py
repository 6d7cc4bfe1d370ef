"""The endpoints, broken in one way each, over a sound engine."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from flask import Request, request

from conformance.harnesses.cre import MemoryHarness
from engines.call_rate import CallRate
from engines.contract import account_key
from engines.web import answers, blueprint, inputs, overview
from engines.web.admin import AdminEndpoints
from engines.web.callers import Caller, Door
from engines.web.calls import Calls
from engines.web.overview import DatabaseOverview, HistoryQuery
from engines.web.players import PlayerEndpoints
from mutants.patched import Change


def takes_any_request(sound: Any, door: Door, request: Request) -> None:
    """A change is made whether or not the request shows the CSRF token."""


def takes_any_token(sound: Any, door: Door, request: Request) -> None:
    """Any CSRF token will do, another session's too."""
    if not request.headers.get("CSRF-Token"):
        sound(door, request)


def trusts_admins(sound: Any, door: Door, request: Request) -> Caller:
    """What an admin sends is not asked for the CSRF token."""
    return door.admin(request)


def everybody_is_admin(sound: Any, door: Door, request: Request) -> Caller:
    """Who is logged in may do what admins may."""
    return door.player(request)


def lets_anybody_in(sound: Any, door: Door, request: Request) -> Caller:
    """Who is not logged in is taken for the first user."""
    return door._identity.who(request) or Caller(1)


def believes_the_body(sound: Any, door: Door, request: Request) -> Caller:
    """A request that names a user is that user's."""
    caller: Caller = sound(door, request)
    found = request.get_json(silent=True)
    named = found.get("user_id") if isinstance(found, dict) else None
    return caller if type(named) is not int else Caller(named, None, caller.is_admin)


def acts_for_oneself(sound: Any, admin: AdminEndpoints) -> Any:
    """What an admin does for a player is done with the admin's own account."""
    who, _, challenge = sound(admin)
    return who, Caller(who.user_id), challenge


def changes_by_get(sound: Any, blueprint: Any, method: str, path: str, answer: Any) -> None:
    """A change may be asked for by GET, as a picture on another page does."""
    sound(blueprint, method, path, answer)
    if path == "/stop":
        blueprint.add_url_rule(
            path, endpoint="stop_by_get", view_func=lambda: answer().response(), methods=["GET"]
        )


def last_known_is_anybodys(sound: Any, calls: Calls) -> Any:
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


def admins_know_no_teams(sound: Any, admin: AdminEndpoints) -> Any:
    """What an admin does for one of a team is done for the user alone."""
    who, player, challenge = sound(admin)
    return who, Caller(player.user_id), challenge


def may_be_kept(sound: Any, answer: answers.Answer) -> Any:
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


def nobody_stopped_it(sound: Any, admin: AdminEndpoints) -> Any:
    """An admin's stop is told in the audit log as the player's own."""
    _, player, challenge = admin._order()
    return admin._calls(player, challenge).stop()


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


CHANGES: dict[str, tuple[Any, tuple[Change, ...]]] = {
    "web_takes_any_request": (MemoryHarness, (Change(Door, "_on_purpose", takes_any_request),)),
    "web_takes_any_token": (MemoryHarness, (Change(Door, "_on_purpose", takes_any_token),)),
    "web_trusts_admins": (MemoryHarness, (Change(Door, "admin_who_changes", trusts_admins),)),
    "web_everybody_is_admin": (MemoryHarness, (Change(Door, "admin", everybody_is_admin),)),
    "web_lets_anybody_in": (MemoryHarness, (Change(Door, "player", lets_anybody_in),)),
    "web_believes_the_body": (MemoryHarness, (Change(Door, "player", believes_the_body),)),
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
    "web_may_be_kept": (MemoryHarness, (Change(answers.Answer, "response", may_be_kept),)),
    "web_takes_the_first": (MemoryHarness, (Change(inputs, "_the_one", takes_the_first),)),
    "web_takes_the_last": (MemoryHarness, (Change(inputs, "_object", takes_the_last),)),
    "web_reads_all": (MemoryHarness, (Change(inputs, "_read", reads_all),)),
    "web_takes_any_type": (MemoryHarness, (Change(inputs, "members", takes_any_type),)),
    "web_leaves_the_rest": (MemoryHarness, (Change(blueprint, "_unrouted", leaves_the_rest),)),
    "web_names_no_method": (MemoryHarness, (Change(blueprint, "_http_error", names_no_method),)),
    "web_last_known_is_anybodys": (
        MemoryHarness,
        (Change(Calls, "_on_record", last_known_is_anybodys),),
    ),
}
