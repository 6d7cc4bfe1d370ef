"""HTTP: the endpoints answer the same, whatever backend stands behind them."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from conformance.harness import LITTLE_DISK_MB, Hook, Options, Player
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import (
    EXTENDS,
    FEW_EXTENSIONS,
    LITTLE_DISK,
    ONE_AT_A_TIME,
    TEAMS,
    scenario,
)
from conformance.spec.steps import (
    FIXED,
    demand,
    done,
    events_of,
    expiry,
    fill_with_extensions,
    gone,
    live,
    same,
    started,
    together,
    untouched,
)
from conformance.spec.web import (
    ADMIN,
    CSRF_HEADER,
    EndsOnSolve,
    GoesOnAfterSolves,
    NotSeenAfterwards,
    Web,
    WebAnswer,
)
from engines.audit import Action
from engines.contract import LARGEST_ID, Code, ExtendMode, InstanceStatus

CALLS = 6
"""Starts at one moment."""
MOST_ROWS = 100
CALLS_A_MINUTE = 3
MINUTE = 60
CHALLENGE_NAMES = ("challenge_id", "chal_id", "id")
OF_A_HISTORY = ("limit", "before", "user_id", "team_id", "challenge_id")
LONG_BODY = 100_000
"""More bytes than any body has."""

NO_IDS: tuple[Any, ...] = (None, True, False, 0, -1, 1.0, "1", "1 OR 1=1", [1], {}, LARGEST_ID + 1)

NOT_ALL: tuple[Any, ...] = (False, None, 0, 1, "", "true", [], {})
NO_NUMBERS = ("", "0", "-1", "1.0", "1e3", "+1", "%201", "one", "0x1", "01", str(LARGEST_ID + 1))

UNCHANGING = ("challenge_id", "max_extensions", "backend")
"""What an extend leaves as it is, beside what makes the instance."""


@scenario("HTTP-001")
def test_a_start_is_answered_with_the_whole_instance(world: ScenarioContext) -> None:
    with world.web() as web:
        answer = web.start(world.alice, world.first)
    _answered(answer, 201, "ok")
    same(_instance(answer), live(world, world.alice, world.first))


@scenario("HTTP-002")
def test_a_second_start_is_answered_with_the_same_instance(world: ScenarioContext) -> None:
    with world.web() as web:
        first = web.start(world.alice, world.first)
        again = web.start(world.alice, world.first)
    _answered(first, 201, "ok")
    _answered(again, 200, "already_running")
    same(_instance(first), _instance(again))


@scenario("HTTP-003", EXTENDS)
def test_an_extend_is_answered_with_the_instance_afterwards(world: ScenarioContext) -> None:
    before = started(world, world.alice, world.first)
    with world.web() as web:
        answer = web.extend(world.alice, world.first)
    _answered(answer, 200, "ok")
    after = _instance(answer)
    assert after["extension_count"] == 1, "the answer does not count the extend"
    assert expiry(after) >= expiry(before), "an extend over HTTP took time away"
    if world.capabilities.extend is ExtendMode.ADDITIVE:
        assert expiry(after) > expiry(before), "an extend over HTTP gave no time"
    same(before, after, ("container_id", "host", "ports", "started_at", *UNCHANGING))
    untouched(world, world.alice, world.first, after)


@scenario("HTTP-004")
def test_a_stop_leaves_nothing_to_be_shown(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    with world.web() as web:
        stopped = web.stop(world.alice, world.first)
        afterwards = web.status(world.alice, world.first)
    for answer in (stopped, afterwards):
        _answered(answer, 200, "ok")
        demand(answer.data is None, "an answer shows an instance that was stopped")
    gone(world, world.alice, world.first)


@scenario("HTTP-005")
def test_a_status_shows_what_the_backend_tells(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    told = live(world, world.alice, world.first)
    with world.web() as web:
        shown = web.status(world.alice, world.first)
        nothing = web.status(world.bob, world.first)
    _answered(shown, 200, "ok")
    untouched(world, world.alice, world.first, _instance(shown))
    same(told, _instance(shown), UNCHANGING)
    _answered(nothing, 200, "ok")
    demand(nothing.data is None, "a status shows an instance to who has none")


@scenario("HTTP-006", ONE_AT_A_TIME)
def test_a_start_beyond_the_limit_is_a_conflict(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.web() as web:
        _answered(web.start(world.alice, world.second), 409, "limit_reached")
    untouched(world, world.alice, world.first, instance)


@scenario("HTTP-007")
def test_an_unknown_challenge_is_not_found(world: ScenarioContext) -> None:
    with world.web() as web:
        answer = web.start(world.alice, world.challenges.unknown)
    _answered(answer, 404, "challenge_unavailable")


@scenario("HTTP-008")
def test_what_does_not_run_is_not_found(world: ScenarioContext) -> None:
    with world.web() as web:
        _answered(web.extend(world.alice, world.first), 404, "not_found")
        _answered(web.stop(world.alice, world.first), 404, "not_found")


@scenario("HTTP-009")
def test_what_is_no_id_is_a_bad_request(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.web() as web:
        for action in ("start", "extend", "stop"):
            for bad in NO_IDS:
                answer = web.post(world.alice, action, {"challenge_id": bad})
                _answered(answer, 400, "bad_request")
                demand("challenge_id" in answer.message, "a refusal does not name the field")
        untouched(world, world.alice, world.first, instance)
        for act in (web.start, web.extend, web.stop):
            answer = act(world.bob, LARGEST_ID)
            demand(answer.status == 404, f"the largest id is answered {answer.status}, not 404")


@scenario("HTTP-010", EXTENDS)
def test_ids_of_others_change_nothing(world: ScenarioContext) -> None:
    instance = started(world, world.bob, world.first)
    other = world.bob.user_id
    body = {"challenge_id": world.first, "user_id": other, "team_id": other, "account": other}
    query = f"?user_id={other}&team_id={other}"
    headers = {"X-User-Id": str(other), "X-Forwarded-User": str(other), "User-Id": str(other)}
    with world.web() as web:
        for action in ("extend", "stop"):
            _answered(web.post(world.alice, action + query, body, headers), 404, "not_found")
        seen = web.status(world.alice, world.first)
        own = web.post(world.alice, f"start{query}", body, headers)
    demand(seen.data is None, "a status shows another player's instance")
    _answered(own, 201, "ok")
    demand(
        _instance(own)["container_id"] != instance["container_id"],
        "a start with another player's id returned that player's instance",
    )
    untouched(world, world.bob, world.first, instance)


@scenario("HTTP-011", Hook.OUTAGE)
def test_what_cannot_be_asked_is_not_told_as_nothing(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.web() as web, world.outage():
        known = world.last_known(world.alice, world.first)
        seen = web.status(world.alice, world.first)
        changes = (web.extend(world.alice, world.first), web.stop(world.alice, world.first))
        other = web.start(world.bob, world.first)
    _answered(seen, *((503, "unavailable") if known is None else (200, "last_known")))
    if known is not None:
        same(_instance(seen), instance)
    for change in changes:
        _answered(change, *((503, "unavailable") if known is None else (409, "out_of_reach")))
    _answered(other, 503, "unavailable")
    for answer in (seen, *changes, other):
        demand(answer.retry_after is not None, f"{answer.code} does not say when to come back")
    untouched(world, world.alice, world.first, instance)


@scenario("HTTP-012")
def test_parallel_starts_make_one(world: ScenarioContext) -> None:
    with world.web() as web:
        answers = together([partial(web.start, world.alice, world.first)] * CALLS)
    fresh = [answer for answer in answers if answer.status == 201]
    assert len(fresh) == 1, f"{len(fresh)} of {CALLS} parallel starts are answered 201"
    for answer in answers:
        if answer.status == 409:
            _answered(answer, 409, "busy")
            demand(answer.retry_after is not None, "busy does not say when to come back")
        elif answer is not fresh[0]:
            _answered(answer, 200, "already_running")
            same(_instance(fresh[0]), _instance(answer))
    untouched(world, world.alice, world.first, _instance(fresh[0]))


@scenario("HTTP-013", TEAMS)
def test_mates_share_and_others_do_not(world: ScenarioContext) -> None:
    starter, mate, stranger = world.mates[:3]
    with world.web() as web:
        answer = web.start(starter, world.first)
        shared = web.status(mate, world.first)
        hidden = web.status(stranger, world.first)
    _answered(answer, 201, "ok")
    same(_instance(answer), _instance(shared))
    demand(hidden.data is None, "a status shows another team's instance")


@scenario("HTTP-014", FEW_EXTENSIONS)
def test_an_extend_beyond_the_limit_is_a_conflict(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    before = fill_with_extensions(world, world.alice, world.first)
    with world.web() as web:
        _answered(web.extend(world.alice, world.first), 409, "extension_limit")
    untouched(world, world.alice, world.first, before)


@scenario("HTTP-015", Hook.OUTAGE, Hook.CLOCK)
def test_what_has_expired_is_not_shown_as_last_known(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    with world.web() as web, world.outage():
        world.advance(world.capabilities.timeout_seconds + 1)
        seen = web.status(world.alice, world.first)
        known = world.last_known(world.alice, world.first)
    demand(seen.data is None, "what has expired is shown as live")
    demand(known is None, "what has expired is what the endpoints would show as last known")


@scenario("HTTP-016", Hook.DISK, Hook.WORKER, LITTLE_DISK)
def test_a_status_says_why_an_instance_was_ended(world: ScenarioContext) -> None:
    challenge = world.challenges.little_disk
    assert challenge is not None
    with world.web() as web:
        nothing = web.status(world.alice, challenge)
        world.write_disk(started(world, world.alice, challenge), 2 * LITTLE_DISK_MB)
        world.run_worker()
        ended = web.status(world.alice, challenge)
        other = web.status(world.bob, challenge)
    _answered(ended, 200, "ok")
    if ended.data is None:  # else it could not write more
        assert ended.message != nothing.message, "a player is not told why the instance was ended"
    assert other.message == nothing.message, "somebody else is told"
    if world.capabilities.teams and world.mates:
        _tells_the_team_why(world, challenge, nothing.message)


def _tells_the_team_why(world: ScenarioContext, challenge: int, nothing: str) -> None:
    starter, mate, stranger = world.mates[:3]
    with world.web() as web:
        world.write_disk(started(world, starter, challenge), 2 * LITTLE_DISK_MB)
        world.run_worker()
        seen = {player: web.status(player, challenge) for player in (starter, mate, stranger)}
    if seen[starter].data is None:
        for player in (starter, mate):
            assert seen[player].message != nothing, "one of the team is not told why it was ended"
    assert seen[stranger].message == nothing, "another team is told"


@scenario("HTTP-017")
def test_a_change_needs_the_callers_own_csrf_token(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.web() as web:
        mine, another = web.log_in(world.alice), web.log_in(world.bob)[CSRF_HEADER]
        for told in ({}, {CSRF_HEADER: ""}, {CSRF_HEADER: another}):
            headers = {**_without_token(mine), **told}
            for action in ("stop", "extend", "start"):
                body = {"challenge_id": world.second if action == "start" else world.first}
                answer = web.ask("POST", action, body, headers, "a page of another site")
                _answered(answer, 403, "csrf_failed")
        untouched(world, world.alice, world.first, instance)
        gone(world, world.alice, world.second)
        own = web.ask("POST", "stop", {"challenge_id": world.first}, mine, "the player")
        _answered(own, 200, "ok")


@scenario("HTTP-018")
def test_who_is_not_logged_in_may_nothing(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    one = {"challenge_id": world.first, "user_id": world.alice.user_id}
    nobodys = {"Cookie": "session=made-up", CSRF_HEADER: "made-up"}
    with world.web() as web:
        for headers in ({}, nobodys):
            for action in ("start", "extend", "stop", "admin/stop", "admin/extend"):
                answer = web.ask("POST", action, one, headers, "nobody")
                _answered(answer, 401, "login_required")
            for path in (f"status?challenge_id={world.first}", "admin/instances", "admin/history"):
                _answered(web.ask("GET", path, None, headers, "nobody"), 401, "login_required")
    untouched(world, world.alice, world.first, instance)


@scenario("HTTP-019")
def test_players_are_no_admins(world: ScenarioContext) -> None:
    instance = started(world, world.bob, world.first)
    one = _of(world.bob, world.first)
    with world.web() as web:
        for action in ("stop", "extend", "solved", "stop-all"):
            body = {"all": True} if action == "stop-all" else one
            _answered(web.post(world.alice, f"admin/{action}", body), 403, "forbidden")
        for path in ("admin/instances", "admin/history"):
            answer = web.ask("GET", path, None, web.log_in(world.alice), "a player")
            _answered(answer, 403, "forbidden")
    untouched(world, world.bob, world.first, instance)


@scenario("HTTP-020")
def test_an_admins_change_needs_the_admins_own_csrf_token(world: ScenarioContext) -> None:
    instance = started(world, world.bob, world.first)
    with world.web() as web:
        admin, another = web.log_in_admin(), web.log_in(world.alice)[CSRF_HEADER]
        for told in ({}, {CSRF_HEADER: another}):
            headers = {**_without_token(admin), **told}
            for action in ("stop", "extend", "solved", "stop-all"):
                body = {"all": True} if action == "stop-all" else _of(world.bob, world.first)
                answer = web.ask("POST", f"admin/{action}", body, headers, "another site")
                _answered(answer, 403, "csrf_failed")
    untouched(world, world.bob, world.first, instance)


@scenario("HTTP-021", EXTENDS)
def test_an_admin_acts_for_the_player_who_is_named(world: ScenarioContext) -> None:
    hers = started(world, world.alice, world.first)
    started(world, world.bob, world.first)
    with world.web() as web:
        admin, one = web.log_in_admin(), _of(world.bob, world.first)
        _answered(web.ask("POST", "admin/extend", one, admin, "an admin"), 200, "ok")
        extended = live(world, world.bob, world.first)["extension_count"]
        demand(extended == 1, f"{extended} extensions are counted after an admin's")
        untouched(world, world.alice, world.first, hers)
        _answered(web.ask("POST", "admin/stop", one, admin, "an admin"), 200, "ok")
        _answered(web.ask("POST", "admin/stop", one, admin, "an admin"), 404, "not_found")
    gone(world, world.bob, world.first)
    untouched(world, world.alice, world.first, hers)


@scenario("HTTP-022")
def test_changes_are_asked_for_by_post_alone(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.web() as web:
        mine = web.log_in(world.alice)
        for action in ("start", "extend", "stop"):
            path, body = f"{action}?challenge_id={world.first}", {"challenge_id": world.first}
            answer = web.ask("GET", path, body, mine, "a picture on another page")
            _answered(answer, 405, "method_not_allowed")
    untouched(world, world.alice, world.first, instance)


@scenario("HTTP-023", Hook.OUTAGE, TEAMS)
def test_what_is_last_known_of_a_teams_is_shown_to_the_team(world: ScenarioContext) -> None:
    starter, mate, stranger = world.mates[:3]
    instance = started(world, starter, world.first)
    with world.web() as web, world.outage():
        known = world.last_known(starter, world.first)
        shown = [web.status(player, world.first) for player in (starter, mate)]
        others = [web.status(player, world.first) for player in (stranger, mate.leaves())]
    for answer in shown:
        _answered(answer, *((503, "unavailable") if known is None else (200, "last_known")))
        if known is not None:
            same(instance, _instance(answer))
    for answer in others:
        demand(answer.data is None, "a team's instance is shown to who is not in the team")


@scenario("HTTP-024", Hook.CALL_RATE, options=Options(calls_per_minute=CALLS_A_MINUTE))
def test_who_calls_too_often_has_to_wait(world: ScenarioContext) -> None:
    with world.web() as web:
        first = web.start(world.alice, world.first)
        _answered(first, 201, "ok")
        for _ in range(CALLS_A_MINUTE - 1):
            _answered(web.start(world.alice, world.first), 200, "already_running")
        for call in (web.stop, web.start):
            answer = call(world.alice, world.first)
            _answered(answer, 429, "rate_limited")
            wait = answer.retry_after or 0
            demand(1 <= wait <= 60, f"told to come back after {wait} s, the window is a minute")
        _answered(web.status(world.alice, world.first), 200, "ok")
        untouched(world, world.alice, world.first, _instance(first))
        _answered(web.start(world.bob, world.first), 201, "ok")


@scenario("HTTP-041", Hook.CALL_RATE, options=Options(calls_per_minute=CALLS_A_MINUTE))
def test_what_another_site_asks_for_takes_no_call_of_the_players(world: ScenarioContext) -> None:
    body = {"challenge_id": world.first}
    with world.web() as web:
        forged = _without_token(web.log_in(world.alice))
        for _ in range(2 * CALLS_A_MINUTE):
            answer = web.ask("POST", "stop", body, forged, "a page of another site")
            _answered(answer, 403, "csrf_failed")
        _answered(web.start(world.alice, world.first), 201, "ok")


@scenario("HTTP-025")
def test_a_body_is_one_small_object(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    one, other = world.first, world.second
    bad = [
        *(b"", b"{", b"\xff", b"null", b"[%d]" % one, b"[" * 3000),
        b'{"challenge_id": %d, "challenge_id": %d}' % (one, one),
        b'{"challenge_id": %d, "id": %d}' % (one, other),
        b'{"challenge": %d}' % one,
    ]
    good, long = b'{"challenge_id": %d}' % one, b" " * LONG_BODY
    with world.web() as web:
        for body in bad:
            for action in ("extend", "stop"):
                _answered(web.post(world.alice, action, body), 400, "bad_request")
        for mime in ("text/plain", "application/x-www-form-urlencoded"):
            answer = web.post(world.alice, "stop", good, {"Content-Type": mime})
            _answered(answer, 415, "not_json")
        for sent in ({}, {"Transfer-Encoding": "chunked"}):
            _answered(web.post(world.alice, "stop", good + long, sent), 413, "too_large")
        for query in ("status", f"status?id={one}&id={other}", "status?challenge_id=x"):
            seen = web.ask("GET", query, None, web.log_in(world.alice), "a page with a slip")
            _answered(seen, 400, "bad_request")
        untouched(world, world.alice, world.first, instance)
        _answered(web.post(world.alice, "stop", good), 200, "ok")


@scenario("HTTP-026")
def test_what_is_no_endpoint_says_so(world: ScenarioContext) -> None:
    with world.web() as web:
        mine = web.log_in(world.alice)
        for path in ("nothing", "start/", "admin/nothing"):
            _answered(web.ask("GET", path, None, mine, "a page"), 404, "no_such_endpoint")
        for method, path, allowed in (("GET", "start", "POST"), ("POST", "status", "GET")):
            answer = web.ask(method, path, None, mine, "a page")
            _answered(answer, 405, "method_not_allowed")
            told = answer.headers.get("Allow", "")
            listed = [part.strip() for part in told.split(",")]
            demand(allowed in listed, f"{path} takes {allowed}, Allow says {told!r}")
            demand(method not in listed, f"{path} does not take {method}, Allow says {told!r}")


@scenario("HTTP-027", Hook.CALL_RATE, Hook.CLOCK, options=Options(calls_per_minute=CALLS_A_MINUTE))
def test_who_has_waited_may_call_again(world: ScenarioContext) -> None:
    with world.web() as web:
        _answered(web.start(world.alice, world.first), 201, "ok")
        world.advance(0.5)  # so that the minute does not end at a whole second from now
        for _ in range(CALLS_A_MINUTE - 1):
            _answered(web.start(world.alice, world.first), 200, "already_running")
        answer = web.stop(world.alice, world.first)
        _answered(answer, 429, "rate_limited")
        world.advance(answer.retry_after or 0)
        _answered(web.stop(world.alice, world.first), 200, "ok")


@scenario("HTTP-028", Hook.CALL_RATE, TEAMS, options=Options(calls_per_minute=CALLS_A_MINUTE))
def test_mates_share_the_calls_of_a_minute(world: ScenarioContext) -> None:
    starter, mate, stranger = world.mates[:3]
    with world.web() as web:
        first = web.start(starter, world.first)
        _answered(first, 201, "ok")
        for _ in range(CALLS_A_MINUTE - 1):
            _answered(web.start(mate, world.first), 200, "already_running")
        for player in (mate, starter):
            _answered(web.stop(player, world.first), 429, "rate_limited")
        untouched(world, mate, world.first, _instance(first))
        _answered(web.start(stranger, world.first), 201, "ok")


@scenario("HTTP-029", TEAMS, EXTENDS)
def test_an_admin_acts_for_a_team_by_any_of_it(world: ScenarioContext) -> None:
    starter, mate = world.mates[:2]
    started(world, starter, world.first)
    with world.web() as web:
        admin = web.log_in_admin()
        one, alone = _of(mate, world.first), _of(mate.leaves(), world.first)
        _answered(web.ask("POST", "admin/extend", one, admin, "an admin"), 200, "ok")
        extended = live(world, starter, world.first)
        demand(extended["extension_count"] == 1, "an admin's extend of a team's is not counted")
        _answered(web.ask("POST", "admin/stop", alone, admin, "an admin"), 404, "not_found")
        untouched(world, starter, world.first, extended)
        _answered(web.ask("POST", "admin/stop", one, admin, "an admin"), 200, "ok")
    gone(world, starter, world.first)


@scenario("HTTP-030", Hook.OVERVIEW, Hook.AUDIT, EXTENDS)
def test_what_an_admin_does_is_told_as_the_admins(world: ScenarioContext) -> None:
    started(world, world.bob, world.first)
    with world.web() as web:
        admin, one = web.log_in_admin(), _of(world.bob, world.first)
        web.extend(world.bob, world.first)
        _answered(web.ask("POST", "admin/extend", one, admin, "an admin"), 200, "ok")
        _answered(web.ask("POST", "admin/stop", one, admin, "an admin"), 200, "ok")
    by = [(event.action, event.metadata.get("actor")) for event in world.events()[-2:]]
    told = [(Action.EXTENDED, ADMIN), (Action.STOPPED, ADMIN)]
    assert by == told, f"the audit log says of an admin's extend and stop: {by}"


@scenario("HTTP-031", Hook.OVERVIEW, Hook.CLOCK)
def test_an_admin_sees_what_is_live(world: ScenarioContext) -> None:
    live_ones = [started(world, player, world.first) for player in (world.alice, world.bob)]
    started(world, world.carol, world.first)
    done(world.stop(world.carol, world.first))
    with world.web() as web:
        admin = web.log_in_admin()
        shown = web.listed("admin/instances", admin)["instances"]
        told = sorted((row["user_id"], row["challenge_id"], row["container_id"]) for row in shown)
        players = zip((world.alice, world.bob), live_ones, strict=True)
        assert told == sorted(
            (player.user_id, world.first, instance["container_id"]) for player, instance in players
        ), "an admin is shown other instances than there are"
        world.advance(world.capabilities.timeout_seconds + 1)
        assert not web.listed("admin/instances", admin)["instances"], "what has expired is shown"


@scenario("HTTP-032", Hook.OVERVIEW, Hook.AUDIT)
def test_an_admin_sees_all_that_happened(world: ScenarioContext) -> None:
    for player in (world.alice, world.bob, world.alice):
        started(world, player, world.first)
        done(world.stop(player, world.first))
    with world.web() as web:
        everything = _history(web, "")
        hers = _history(web, f"&user_id={world.alice.user_id}")
    events = [(event.action.value, event.user_id) for event in reversed(world.events())]
    told = [(row["action"], row["user_id"]) for row in everything]
    assert told == events, "an admin is shown another history than was written"
    assert hers == [row for row in everything if row["user_id"] == world.alice.user_id], (
        "the history of one player is another"
    )


@scenario("HTTP-033")
def test_an_admins_change_is_for_ids_only(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    one = {**_of(world.alice, world.first), "team_id": world.alice.team_id}
    with world.web() as web:
        admin = web.log_in_admin()
        for action in ("extend", "stop", "solved"):
            for member in ("user_id", "team_id"):
                for bad in NO_IDS:
                    if (member, bad) == ("team_id", None):
                        continue  # which is no team
                    answer = web.ask(
                        "POST", f"admin/{action}", {**one, member: bad}, admin, "an admin"
                    )
                    _answered(answer, 400, "bad_request")
                    demand(member in answer.message, "a refusal does not name the field")
            nobodys = {"challenge_id": world.first}
            answer = web.ask("POST", f"admin/{action}", nobodys, admin, "an admin")
            _answered(answer, 400, "bad_request")
        untouched(world, world.alice, world.first, instance)
        _answered(web.ask("POST", "admin/stop", one, admin, "an admin"), 200, "ok")


@scenario("HTTP-034", Hook.OVERVIEW)
def test_a_stop_all_ends_what_fits_all_that_is_named(world: ScenarioContext) -> None:
    hers = started(world, world.alice, world.first)
    started(world, world.bob, world.first)
    his = started(world, world.carol, world.second)
    alice, bob, carol = (each.user_id for each in (world.alice, world.bob, world.carol))
    with world.web() as web:
        for name in CHALLENGE_NAMES:
            _ends(web, 0, **{name: world.first}, user_id=carol)
            _ends(web, 0, **{name: world.second}, user_id=alice)
        _ends(web, 1, challenge_id=world.first, user_id=bob)
        gone(world, world.bob, world.first)
        for player, challenge, instance in (
            (world.alice, world.first, hers),
            (world.carol, world.second, his),
        ):
            untouched(world, player, challenge, instance)
        _ends(web, 1, challenge_id=world.second)
        gone(world, world.carol, world.second)
        untouched(world, world.alice, world.first, hers)
        if world.capabilities.teams and world.mates:
            _ends_a_teams(world, web)
        _ends(web, 0, user_id=bob)
        started(world, world.bob, world.second)
        _ends(web, 2, all=True)
    for player, challenge in ((world.alice, world.first), (world.bob, world.second)):
        gone(world, player, challenge)


def _ends_a_teams(world: ScenarioContext, web: Web) -> None:
    """Beside a player's instance of the first challenge."""
    starter, _, stranger = world.mates[:3]
    started(world, starter, world.first)
    theirs = started(world, stranger, world.first)
    ours, others = starter.team_id, stranger.team_id
    _ends(web, 0, user_id=starter.user_id, team_id=others)
    _ends(web, 0, challenge_id=world.second, team_id=ours)
    _ends(web, 1, challenge_id=world.first, user_id=starter.user_id, team_id=ours)
    gone(world, starter, world.first)
    untouched(world, stranger, world.first, theirs)
    _ends(web, 1, team_id=others)
    gone(world, stranger, world.first)


@scenario("HTTP-035")
def test_a_stop_all_of_nothing_ends_nothing(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    one, alice = world.first, world.alice.user_id
    with world.web() as web:
        admin = web.log_in_admin()
        bad: list[Any] = [
            *({}, [], None, {"every": True}, {"challenge": one}),
            *({"all": no} for no in NOT_ALL),
            *({"all": True, "user_id": alice}, {"all": True, "challenge_id": one}),
            *({"all": False, "user_id": alice}, {"all": None, "challenge_id": one}),
            *({name: no} for name in ("user_id", "team_id", "challenge_id") for no in NO_IDS),
            {"challenge_id": one, "user_id": 0},
            {"challenge_id": one, "id": world.second},
        ]
        for body in bad:
            answer = web.ask("POST", "admin/stop-all", body, admin, "an admin with a slip")
            _answered(answer, 400, "bad_request")
    untouched(world, world.alice, world.first, instance)


@scenario("HTTP-036", Hook.OVERVIEW, Hook.AUDIT)
def test_what_a_stop_all_ends_is_told_as_the_admins(world: ScenarioContext) -> None:
    players = (world.alice, world.bob, world.carol)
    for player in players:
        started(world, player, world.first)
    with world.web() as web:
        _ends(web, len(players), challenge_id=world.first)
    by = sorted(
        (event.user_id, event.code, event.metadata.get("actor"))
        for event in events_of(world, Action.STOPPED)
    )
    told = sorted((player.user_id, Code.OK, ADMIN) for player in players)
    assert by == told, f"the audit log says of an admin's stop-all: {by}"


@scenario("HTTP-037")
def test_a_solve_ends_the_instance_it_was_made_on(world: ScenarioContext) -> None:
    hers = started(world, world.alice, world.first)
    his = started(world, world.bob, world.first)
    with world.web(GoesOnAfterSolves) as web:
        _solved(web, world.bob, world.first, ends=False)
        untouched(world, world.bob, world.first, his)
    with world.web(EndsOnSolve) as web:
        _solved(web, world.bob, world.second, ends=False)
        untouched(world, world.bob, world.first, his)
        _solved(web, world.bob, world.first, ends=True)
        gone(world, world.bob, world.first)
        if world.capabilities.teams and world.mates:
            starter, mate = world.mates[:2]
            ours = started(world, starter, world.first)
            _solved(web, mate.leaves(), world.first, ends=False)
            _solved(web, starter.leaves(), world.first, ends=False)
            untouched(world, starter, world.first, ours)
            _solved(web, mate, world.first, ends=True)
            gone(world, starter, world.first)
    untouched(world, world.alice, world.first, hers)


@scenario("HTTP-038", EXTENDS)
def test_what_cannot_be_looked_at_after_an_extend_is_shown_as_on_record(
    world: ScenarioContext,
) -> None:
    started(world, world.alice, world.first)
    with world.web(NotSeenAfterwards) as web:
        answer = web.extend(world.alice, world.first)
    _answered(answer, 200, "ok")
    known = world.last_known(world.alice, world.first)
    after = live(world, world.alice, world.first)
    assert after["extension_count"] == 1, "an extend over HTTP that is answered ok did not count"
    if known is None:
        demand(answer.data is None, "an instance is shown that is not on record")
    else:
        same(after, _instance(answer), (*FIXED, *UNCHANGING))


@scenario("HTTP-039", Hook.CALL_RATE, Hook.CLOCK, options=Options(calls_per_minute=CALLS_A_MINUTE))
def test_a_new_minute_has_as_many_calls(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.web() as web:
        for calls in (CALLS_A_MINUTE + 1, 1, CALLS_A_MINUTE + 1):
            for call in range(calls):
                answer = web.start(world.alice, world.first)
                if call < CALLS_A_MINUTE:
                    _answered(answer, 200, "already_running")
                else:
                    _answered(answer, 429, "rate_limited")
            world.advance(MINUTE + 1)
    untouched(world, world.alice, world.first, instance)


@scenario("HTTP-040")
def test_a_query_says_one_thing_of_each(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    one, other = world.first, world.second
    queries = [
        *(f"status?{name}={one}&{name}={other}" for name in CHALLENGE_NAMES),
        *(f"status?challenge_id={one}&{name}={other}" for name in ("chal_id", "id")),
        *(f"status?challenge_id={no}" for no in NO_NUMBERS),
    ]
    lists = [
        *(f"admin/history?{name}=1&{name}=2" for name in OF_A_HISTORY),
        *(f"admin/history?{name}={no}" for name in OF_A_HISTORY for no in NO_NUMBERS),
        "admin/history?limit=201",
    ]
    with world.web() as web:
        mine, admin = web.log_in(world.alice), web.log_in_admin()
        for query in queries:
            _answered(web.ask("GET", query, None, mine, "a page with a slip"), 400, "bad_request")
        for query in lists:
            _answered(web.ask("GET", query, None, admin, "a page with a slip"), 400, "bad_request")
        same_twice = f"status?challenge_id={one}&id={one}"
        _answered(web.ask("GET", same_twice, None, mine, "a page"), 200, "ok")


def _ends(web: Web, number: int, **named: object) -> None:
    """A stop-all of what is named must end so many, in as many calls as it takes."""
    ended, left = 0, 1
    while left:
        told = web.ordered("HTTP-034", "admin/stop-all", named, web.log_in_admin())
        demand(not told["failed"], f"a stop-all could not end what is live: {told['failed']}")
        demand(
            told["ended"] > 0 or not told["left"], "a stop-all has ended nothing, and is not over"
        )
        ended, left = ended + told["ended"], told["left"]
    demand(ended == number, f"a stop-all has ended {ended} instead of {number}")


def _solved(web: Web, player: Player, challenge: int, *, ends: bool) -> None:
    told = web.ordered("HTTP-037", "admin/solved", _of(player, challenge), web.log_in_admin())
    said = f"a solve is answered ended {told['ended']!r}"
    demand(told["ended"] is ends, f"{said}, not {ends}")


def _history(web: Web, wanted: str) -> list[dict[str, Any]]:
    """All its pages."""
    admin, rows, before = web.log_in_admin(), [], ""
    while True:
        page = web.listed(f"admin/history?limit=2{wanted}{before}", admin)
        rows += page["events"]
        if page["next_before"] is None or not page["events"]:
            return rows
        before = f"&before={page['next_before']}"
        demand(len(rows) <= MOST_ROWS, "the pages of the history have no end")


def _of(player: Player, challenge: int) -> dict[str, int | None]:
    """What an admin says of whom something is to be done for."""
    named: dict[str, int | None] = {"challenge_id": challenge, "user_id": player.user_id}
    return named if player.team_id is None else {**named, "team_id": player.team_id}


def _without_token(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != CSRF_HEADER}


def _answered(answer: WebAnswer, status: int, code: str) -> None:
    got = f"{answer.status} {answer.code}"
    demand(got == f"{status} {code}", f"answered {got} instead of {status} {code}")


def _instance(answer: WebAnswer) -> InstanceStatus:
    """The instance that an answer carries; its shape has been checked."""
    if answer.data is None:
        raise AssertionError(f"answered {answer.status} {answer.code} without the instance")
    return cast(InstanceStatus, answer.data)
