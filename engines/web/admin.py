"""The endpoints of admins: who has what running, what has happened, and acting for a player."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flask import request

from engines.audit import done_by
from engines.bulk_stop import EndingResult, InstanceSelection, end_all
from engines.contract import Code
from engines.solve import end_on_solve
from engines.web import answers, inputs
from engines.web.answers import HttpAnswer, Refused, WebCode
from engines.web.callers import Authorizer, Caller
from engines.web.calls import InstanceCalls
from engines.web.inputs import CHALLENGE_NAMES
from engines.web.overview import (
    DEFAULT_PAGE,
    LARGEST_PAGE,
    HistoryQuery,
    Overview,
    plain,
)
from engines.web.players import BackendProvider

log = logging.getLogger(__name__)


BATCH_SECONDS = 10.0
"""How long one request goes on ending instances: no server gives it up, and a page shows how far
it is."""


def told(done: EndingResult) -> str:
    """What became of it, for an admin."""
    said = f"{done.ended} ended"
    if done.failed:
        said += f", {len(done.failed)} could not be ended now"
    if done.left:
        said += f", {done.left} left: ask again"
    return said


class AdminEndpoints:
    """Lists, stop and extend, as views of Flask call them.

    Here, and nowhere else, the account comes from the body: ``user_id``, and ``team_id`` where the
    player plays for a team. The audit log says besides which admin it was.
    """

    def __init__(self, backend: BackendProvider, door: Authorizer, overview: Overview) -> None:
        self._backend = backend
        self._door = door
        self._overview = overview

    def instances(self) -> HttpAnswer:
        self._door.admin(request)
        found = [plain(instance) for instance in self._overview.live()]
        return answers.ok(f"{len(found)} live", {"instances": found})

    def history(self) -> HttpAnswer:
        self._door.admin(request)
        query = HistoryQuery(
            limit=inputs.number_in_query(request, "limit", LARGEST_PAGE) or DEFAULT_PAGE,
            before=inputs.number_in_query(request, "before"),
            user_id=inputs.number_in_query(request, "user_id"),
            team_id=inputs.number_in_query(request, "team_id"),
            challenge_id=inputs.number_in_query(request, "challenge_id"),
        )
        page = self._overview.history(query)
        data = {
            "events": [plain(event) for event in page.events],
            "next_before": page.next_before,
        }
        return answers.ok(f"{len(page.events)} events, the newest first", data)

    def stop(self) -> HttpAnswer:
        admin, player, challenge = self._order()
        with done_by(admin.user_id, admin.name):
            answer = self._calls(player, challenge).stop()
        self._note("stop", admin, player, challenge, answer.code.value)
        return answer

    def extend(self) -> HttpAnswer:
        admin, player, challenge = self._order()
        with done_by(admin.user_id, admin.name):
            answer = self._calls(player, challenge).extend()
        self._note("extend", admin, player, challenge, answer.code.value)
        return answer

    def stop_all(self) -> HttpAnswer:
        """End many, for at most :data:`BATCH_SECONDS`; ``left`` says how many to come back for."""
        admin = self._door.admin_who_changes(request)
        selection = self._selection(inputs.members(request))
        instances = self._overview.chosen(selection)
        with done_by(admin.user_id, admin.name):
            done = end_all(
                self._backend(), instances, f"ended with {selection}", seconds=BATCH_SECONDS
            )
        log.info(
            "admin %d: ended %d of %s, %d failed, %d left",
            *(admin.user_id, done.ended, selection, len(done.failed), done.left),
        )
        failed = [{**asdict(failure.which), "code": failure.code.value} for failure in done.failed]
        data = {"ended": done.ended, "failed": failed, "left": done.left}
        return answers.ok(told(done), data)

    def solved(self) -> HttpAnswer:
        """A player has solved a challenge: end the instance, where that is wanted."""
        admin, player, challenge = self._order()
        with done_by(admin.user_id, admin.name):
            result = end_on_solve(self._backend(), player.user_id, challenge, player.team_id)
        if result is None or result.code is Code.NOT_FOUND:
            return answers.ok("Nothing was ended", {"ended": False})
        self._note("solved", admin, player, challenge, result.code.value)
        return answers.done(result, {"ended": True})

    def _selection(self, found: Mapping[str, Any]) -> InstanceSelection:
        users, teams = (
            inputs.required(found, name) if name in found else None
            for name in ("user_id", "team_id")
        )
        named = any(name in found for name in CHALLENGE_NAMES)
        challenge = inputs.challenge_in_body(found) if named else None
        selection = InstanceSelection(challenge, users, teams)
        for_all = "all" in found
        if (selection == InstanceSelection()) is not for_all or found.get("all", True) is not True:
            raise Refused(
                WebCode.BAD_REQUEST,
                'Name challenge_id, user_id or team_id, or say {"all": true} and nothing else',
            )
        return selection

    def _calls(self, player: Caller, challenge: int) -> InstanceCalls:
        return InstanceCalls(self._backend(), player.user_id, challenge, player.team_id)

    def _order(self) -> tuple[Caller, Caller, int]:
        admin = self._door.admin_who_changes(request)
        found = inputs.members(request)
        player = Caller(inputs.required(found, "user_id"), inputs.optional(found, "team_id"))
        return admin, player, inputs.challenge_in_body(found)

    def _note(self, what: str, admin: Caller, player: Caller, challenge: int, code: str) -> None:
        # A backend that writes no audit log of ours says nowhere else who did it.
        log.info(
            "admin %d: %s for user %d, team %s, challenge %d: %s",
            admin.user_id,
            what,
            player.user_id,
            player.team_id,
            challenge,
            code,
        )
